"""The one error a user is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one plain line: what was given, what is accepted, what to do. The command line prints it
    after `error: ` and exits with 2; in Python it is raised as it is.
    """
