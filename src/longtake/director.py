"""Decides, chunk by chunk, which prompt is in force, and writes the receipts.

Decisions are made once, before a chunk is generated, from media time and chunk index alone; never from the clock. They
are part of the take's state, so a restored take follows the record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtake.errors import UserError
from longtake.models.prompt import parse
from longtake.timeline import Cue, Receipt, ReceiptStatus

Mix = tuple[tuple[str, float], ...]
"""Prompts and their weights, which sum to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What one chunk is made under."""

    mix: Mix
    """The prompt in force; several while one turns into another."""
    receipts: tuple[Receipt, ...]
    """Receipts that this chunk changed."""


class Director:
    """The cues of one take, those of its timeline and those that arrive while it runs. Steer from any thread."""

    def __init__(
        self,
        pending: Sequence[Cue],
        *,
        interpolate: int = 1,
        active: Receipt | None = None,
        origin: Mix = (),
        mix: Mix = (),
    ) -> None:
        """`interpolate`: chunks over which a cue is blended in that has no transition of its own.

        Raises UserError for a prompt with a weight that is none, here and in `steer`.
        """
        for cue in pending:
            parse(cue.prompt)
        self._interpolate = interpolate
        self._lock = threading.Lock()
        self._pending = list(pending)
        self._active = active
        self._origin = origin
        self._mix = mix
        self._next = 0, 0.0
        """Chunk that follows the last one decided, and the media second at which it begins."""

    def steer(
        self,
        prompt: str,
        transition: float,
        chunk: int,
        start: float,
        record: Callable[[Receipt], None] | None = None,
    ) -> Receipt:
        """Accept a prompt from `chunk` on, the next to be generated, which begins at `start` media seconds.

        Where that one has been decided on meanwhile, it is the one after it. `record` is called before any chunk can
        be made under the prompt; what it raises refuses it. Latest wins: an earlier direction for the same chunk is
        dropped, and superseded in that chunk's receipts.
        """
        with self._lock:
            chunk, start = max((chunk, start), self._next)
            cue = Cue(prompt=prompt, at_chunk=chunk, transition=transition)
            parse(prompt)
            receipt = Receipt(cue=cue, status=ReceiptStatus.ACCEPTED, first_chunk=chunk, first_time=start)
            if record is not None:
                record(receipt)
            self._pending.append(cue)
        return receipt

    def follow(self, cues: Sequence[Cue]) -> None:
        """Take directions over from a record, in the order in which they were accepted."""
        with self._lock:
            self._pending.extend(cues)

    def decide(self, chunk: int, start: float, end: float) -> Decision:
        """The decision for chunk `chunk`, which spans the media seconds from `start` to `end`."""
        with self._lock:
            due = [cue for cue in self._pending if cue.applies(chunk, start)]
            self._pending = [cue for cue in self._pending if cue not in due]
            self._next = chunk + 1, end
        receipts = [Receipt(cue=cue, status=ReceiptStatus.SUPERSEDED) for cue in due[:-1]]
        if due:
            receipts += self._begin(due[-1], chunk, start)
        return Decision(mix=self._advance(chunk, start, end, receipts), receipts=tuple(receipts))

    def _begin(self, cue: Cue, chunk: int, start: float) -> list[Receipt]:
        last = self._active
        self._origin = self._mix
        self._active = Receipt(cue=cue, status=ReceiptStatus.ACCEPTED, first_chunk=chunk, first_time=start)
        if last is None or last.applied_chunk is not None:
            return []
        return [replace(last, status=ReceiptStatus.SUPERSEDED)]

    def _advance(self, chunk: int, start: float, end: float, receipts: list[Receipt]) -> Mix:
        active = self._active
        if active is None:
            raise UserError(f"no cue applies at chunk {chunk}; the first cue of a timeline must be at 0")
        if active.applied_chunk is not None:
            return self._mix
        weight = self._weight(active, chunk, start, end) if self._origin else None
        if weight is None:
            self._active = active = replace(active, applied_chunk=chunk, applied_time=start)
            self._mix = ((active.cue.prompt, 1.0),)
        else:
            self._mix = _blend(self._origin, active.cue.prompt, weight)
        if chunk in (active.first_chunk, active.applied_chunk):
            receipts.append(active)
        return self._mix

    def _weight(self, active: Receipt, chunk: int, start: float, end: float) -> float | None:
        """Share of the new prompt in a chunk of its transition; None when that is over."""
        cue = active.cue
        assert active.first_chunk is not None
        if not cue.transition:
            share = (chunk - active.first_chunk + 1) / self._interpolate
            return share if share < 1 else None
        begin = cue.at if cue.at is not None else active.first_time
        assert begin is not None
        return None if start >= begin + cue.transition - 1e-6 else min(1.0, (end - begin) / cue.transition)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        with self._lock:
            pending = [cue.to_dict() for cue in self._pending]
        active = self._active.to_dict() if self._active else None
        return {
            "pending": pending,
            "interpolate": self._interpolate,
            "active": active,
            "origin": self._origin,
            "mix": self._mix,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Director:
        """The director that `to_dict` was taken from."""
        active = values["active"]
        return cls(
            [Cue(**cue) for cue in values["pending"]],
            interpolate=values["interpolate"],
            active=receipt_from_dict(active) if active else None,
            origin=_mix(values["origin"]),
            mix=_mix(values["mix"]),
        )


def receipt_from_dict(values: Mapping[str, Any]) -> Receipt:
    """What `Receipt.to_dict` was made of."""
    return Receipt(**{**values, "cue": Cue(**values["cue"]), "status": ReceiptStatus(values["status"])})


def _blend(origin: Mix, prompt: str, weight: float) -> Mix:
    parts: dict[str, float] = {}
    for old, share in origin:
        parts[old] = parts.get(old, 0.0) + share * (1 - weight)
    parts[prompt] = parts.get(prompt, 0.0) + weight
    return tuple(parts.items())


def _mix(pairs: Sequence[Sequence[Any]]) -> Mix:
    return tuple((str(prompt), float(weight)) for prompt, weight in pairs)
