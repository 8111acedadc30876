"""What broke a take, as a typed event: a take ends alone, whatever it was."""

from __future__ import annotations

import sqlite3

import torch

from longtake.errors import UserError
from longtake.studio.events import Failed


class NotFiniteError(Exception):
    """A chunk holds numbers that are not finite."""


def explain(failure: Exception) -> Failed:
    """The event for what was raised. Only a UserError's own words reach the user."""
    if isinstance(failure, UserError):
        return Failed(code="invalid_request", message=str(failure))
    if isinstance(failure, torch.OutOfMemoryError | MemoryError) or _is_allocation(failure):
        return Failed(
            code="out_of_memory", message="the machine ran out of memory; use a smaller size or try later"
        )
    if isinstance(failure, NotFiniteError):
        return Failed(
            code="not_finite",
            message="the model made numbers that are not finite, and the take was ended; try another seed or model",
        )
    if isinstance(failure, OSError | sqlite3.Error):
        return Failed(code="not_recorded", message="the take could not be written down; the disk may be full")
    return Failed(code="model_error", message="the model failed while making this take; the log says more")


def _is_allocation(failure: Exception) -> bool:
    """PyTorch's allocator on the CPU raises a plain RuntimeError."""
    return isinstance(failure, RuntimeError) and "not enough memory" in str(failure)
