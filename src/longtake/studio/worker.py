"""The one interface behind which takes are made: threads that own the models now, other machines later.

A worker gets orders and tells events, both plain values. Takes are addressed by id and their state is in the journal,
so a take that one worker let go can be resumed by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from longtake.studio.events import Begun, Listener
from longtake.studio.orders import Enhance, Order
from longtake.studio.pacing import Standing
from longtake.studio.pictures import LivePictures
from longtake.timeline import Receipt


class Making(Protocol):
    """One take that a worker makes. Safe from any thread."""

    def steer(self, prompt: str, transition: float) -> Receipt:
        """Change the prompt from the next chunk on; it is durable when this returns. UserError where it cannot."""
        ...

    def rewind(self, at: float) -> Future[float]:
        """Go on from an earlier moment; the media second that it is. `Rewound` is told. UserError where it cannot."""
        ...

    def hold(self, reason: str) -> None:
        """Make no further chunk until every reason to hold is gone."""
        ...

    def go(self, reason: str) -> None:
        """Take back a reason to hold."""
        ...

    def report(self, media_time: float, *, is_playing: bool) -> None:
        """What is on a viewer's screen."""
        ...

    def acknowledge(self) -> None:
        """A chunk that was told of has been taken over; at most two wait for that."""
        ...

    def picture_came(self) -> None:
        """A picture of a live source is there."""
        ...

    def standing(self) -> Standing:
        """How generation and playback stand."""
        ...

    def stop(self) -> None:
        """Let the take go after the chunk that is being made; `Ended` follows."""
        ...


class Worker(Protocol):
    """Makes takes."""

    @property
    def is_ready(self) -> bool:
        """Whether models are loaded and warm."""
        ...

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """What each model is and can, by name; the first is the default."""
        ...

    def prepare(self, order: Order) -> Future[Begun]:
        """Write a take down without making any of it; `Resume` makes it. UserError where it cannot be made."""
        ...

    def begin(
        self, order: Order, listener: Listener, *, is_live: bool, pictures: LivePictures | None = None
    ) -> Making:
        """Make a take. `Begun` or `Failed` is the first event.

        is_live: paced by playback and served first; otherwise as fast as what is left of the machine allows.
        """
        ...

    def enhance(self, order: Enhance, listener: Listener) -> None:
        """Make a take larger and cleaner, with what live takes leave.

        `Progressed` is told, then `Ended` or `Failed`.
        """
        ...

    def close(self) -> None:
        """Let every take go, then stop."""
        ...
