"""What a worker works at, a piece at a time."""

from __future__ import annotations

from typing import Protocol

from longtake.studio.events import Event
from longtake.studio.scheduling import Candidate


class Task(Candidate, Protocol):
    """A take, or something that is made of one. Called by the worker alone, in one thread at a time."""

    is_stopping: bool
    """Whether it is to be let go instead of its next piece."""

    def make(self) -> Event | None:
        """The next piece, told to whoever asked; None at the end. Raises whatever broke it."""
        ...

    def tell(self, event: Event) -> None:
        """Tell whoever asked."""
        ...

    def close(self) -> None:
        """Let go what it holds."""
        ...
