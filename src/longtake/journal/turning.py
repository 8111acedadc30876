"""Turning at an earlier moment: which chunks stay, and which directions are still to come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.journal.rows import ChunkRow, CueRow
from longtake.timeline import Cue

_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What a take is from a moment on."""

    rows: tuple[ChunkRow, ...]
    """The chunks that stay."""
    cues: tuple[CueRow, ...]
    """The directions that stay, of those that there are."""
    new: Cue | None
    """The direction that comes in addition."""
    seconds: float
    """Media seconds at which the take goes on."""

    @property
    def steers(self) -> bool:
        """Whether the new direction comes while the take runs; otherwise it is what the take begins with."""
        return bool(self.rows)


def turn(
    rows: Sequence[ChunkRow],
    cues: Sequence[CueRow],
    *,
    keep: int,
    fps: int,
    prompt: str | None,
    transition: float,
) -> Turn:
    """A take that goes on after its first `keep` chunks, under `prompt` where one is given.

    Directions that came for later chunks are left out; with a prompt, cues of the timeline that have not begun too.
    """
    stay = tuple(rows[:keep])
    seconds = (stay[-1].start_frame + stay[-1].frames) / fps if stay else 0.0
    following = stay[-1].chunk + 1 if stay else 0
    begun = {_cue(receipt) for row in stay for receipt in json.loads(row.receipts)}
    kept = tuple(
        row
        for row in cues
        if (row.cue.at_chunk or 0) < following or not row.steered
        if prompt is None or row.cue in begun or _is_past(row, following)
    )
    return Turn(rows=stay, cues=kept, new=_direction(prompt, transition, following), seconds=seconds)


def _cue(receipt: dict[str, dict[str, object]]) -> Cue:
    return Cue(**receipt["cue"])  # type: ignore[arg-type]


def _is_past(row: CueRow, following: int) -> bool:
    return row.steered and (row.cue.at_chunk or 0) < following


def _direction(prompt: str | None, transition: float, following: int) -> Cue | None:
    if prompt is None:
        return None
    if following == 0:
        return Cue(prompt=prompt, at=0.0)
    return Cue(prompt=prompt, at_chunk=following, transition=transition)


def chunks_until(rows: Sequence[ChunkRow], seconds: float, fps: int) -> int:
    """How many chunks end at or before a media second. Raises UserError for a moment that is not in the take."""
    end = (rows[-1].start_frame + rows[-1].frames) / fps if rows else 0.0
    if not 0 <= seconds <= end + _TOLERANCE:
        raise UserError(
            f"{seconds:g} s is not in this take, which has {end:g} s; give a time from 0 to {end:g}"
        )
    return sum((row.start_frame + row.frames) / fps <= seconds + _TOLERANCE for row in rows)


def check_kept(rows: Sequence[ChunkRow], keep: int, fps: int) -> None:
    """Refuse a moment whose media retention has taken (UserError)."""
    gone = [row for row in rows if row.expired]
    if gone and 0 < keep <= gone[-1].number:
        first = (gone[-1].start_frame + gone[-1].frames) / fps
        raise UserError(
            f"the take is kept from {first:g} s on, what came before went to make room; give a later time, or 0"
        )
