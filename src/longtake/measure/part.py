"""Parts of a benchmark's takes, for several processes that fill one ledger."""

from __future__ import annotations

import re
from typing import NamedTuple

from longtake.errors import UserError

__all__ = ["Part", "PartDone"]


class PartDone(Exception):
    """A part of the takes is done and others are not, so that there is no result yet."""


class Part(NamedTuple):
    """Every so-manieth take, so that several processes fill one ledger."""

    number: int
    """From 1."""
    of: int

    @classmethod
    def read(cls, text: str) -> Part:
        """From `K/N`. Raises UserError for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        part = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= part.number <= part.of:
            raise UserError(f"part {text!r} is not one; give K/N with K from 1 to N, as 1/2 and 2/2")
        return part

    def holds(self, index: int) -> bool:
        """Whether the take of this index, from 0, is in it."""
        return index % self.of == self.number - 1
