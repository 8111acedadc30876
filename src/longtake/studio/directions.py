"""What became of each direction of one take: from the receipts of its chunks to messages in two steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from longtake.timeline import Cue, Receipt, ReceiptStatus

MOST_WAITING = 64
"""Directions whose receipts may still be to come."""


@dataclass(kw_only=True, slots=True)
class Direction:
    """A direction that was given while the take runs."""

    prompt: str
    transition: float
    asked_at: float
    """Media second on screen when it was given."""
    event_id: str
    """The client's name for it, or one that the server made."""
    cue: Cue | None = None
    """What it became; None until the take has taken it."""
    is_accepted: bool = False
    """Whether `accepted` has been said."""
    has_begun: bool = False
    """Whether some of it is to be seen."""

    def is_about(self, cue: Cue) -> bool:
        """Whether a receipt's cue is this direction."""
        if self.cue is not None:
            return self.cue == cue
        return cue.at is None and (cue.prompt, cue.transition) == (self.prompt, self.transition)

    def accepted(self, chunk: int | None, media_time: float | None) -> dict[str, Any]:
        """The first step."""
        self.is_accepted = True
        return {
            "type": "session.interaction.queued",
            "event_id": self.event_id,
            "status": "accepted",
            "chunk": chunk,
            "media_time": media_time,
        }


@dataclass(kw_only=True, slots=True)
class Effect:
    """What one chunk's receipts say."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    """Media seconds from a direction to its first picture."""


class Directions:
    """The directions of one take."""

    def __init__(self) -> None:
        self._waiting: list[Direction] = []
        self._active: str | None = None

    def __len__(self) -> int:
        """Directions whose receipts are still to come."""
        return len(self._waiting)

    @property
    def active(self) -> list[str]:
        """The direction in force, if it is one that was given while the take runs."""
        return [] if self._active is None else [self._active]

    def add(self, direction: Direction) -> None:
        """One was given."""
        self._waiting.append(direction)

    def drop(self, direction: Direction) -> None:
        """The take did not take it."""
        self._waiting = [other for other in self._waiting if other is not direction]

    def read(self, receipts: tuple[Receipt, ...]) -> Effect:
        """What the receipts of a chunk say, in messages."""
        effect = Effect()
        for receipt in receipts:
            direction = next((one for one in self._waiting if one.is_about(receipt.cue)), None)
            effect.messages += self._messages(receipt, direction)
            self._follow(receipt, direction, effect)
        return effect

    def _messages(self, receipt: Receipt, direction: Direction | None) -> Iterator[dict[str, Any]]:
        if direction is not None and not direction.is_accepted:
            yield direction.accepted(receipt.first_chunk, receipt.first_time)
        is_applied = receipt.applied_chunk is not None
        status = "applied" if is_applied else "begun"
        yield {
            "type": "session.receipt",
            "event_id": None if direction is None else direction.event_id,
            "prompt": receipt.cue.prompt,
            "status": status if receipt.status is ReceiptStatus.ACCEPTED else receipt.status.value,
            "chunk": receipt.applied_chunk if is_applied else receipt.first_chunk,
            "media_time": receipt.applied_time if is_applied else receipt.first_time,
        }

    def _follow(self, receipt: Receipt, direction: Direction | None, effect: Effect) -> None:
        """Keep account of what is in force and what is still to come."""
        is_followed = receipt.status is ReceiptStatus.ACCEPTED
        if is_followed:
            self._active = None if direction is None else direction.event_id
        if direction is None:
            return
        if is_followed and not direction.has_begun:
            direction.has_begun = True
            effect.started.append(direction.event_id)
            if receipt.first_time is not None:
                effect.lags.append(max(0.0, receipt.first_time - direction.asked_at))
        if is_followed and receipt.applied_chunk is not None:
            effect.completed.append(direction.event_id)
        if not is_followed or receipt.applied_chunk is not None:
            self.drop(direction)
