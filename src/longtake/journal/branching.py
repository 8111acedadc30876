"""Another take that shares the beginning of one that there is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from longtake.errors import UserError
from longtake.journal.facts import Facts
from longtake.journal.founding import found_branch
from longtake.journal.rows import ChunkRow
from longtake.journal.store import Store
from longtake.journal.turning import check_kept, chunks_until, turn
from longtake.methods import Kind


def branch(
    home: Path,
    parent: Store,
    seconds: float,
    prompt: str | None,
    *,
    transition: float,
    num_frames: int | None,
    out: Path | None,
) -> Path:
    """See `Library.branch`; returns the folder of the branch."""
    facts = Facts.from_dict(parent.facts)
    if facts.kind == Kind.JOINT:
        raise UserError(f"{facts.model!r} makes the whole video at once; it cannot be branched from")
    with parent.transaction():
        rows, cues = parent.chunks(), parent.cues()
        keep = chunks_until(rows, seconds, facts.fps)
        check_kept(rows, keep, facts.fps)
        turned = turn(rows, cues, keep=keep, fps=facts.fps, prompt=prompt, transition=transition)
        copied = _untrimmed(parent, rows, keep, facts)
        own = replace(
            facts,
            id=str(uuid.uuid4()),
            created=time.time(),
            lengths=_lengths(facts, copied, num_frames),
            out=None if out is None else str(out.absolute()),
            parent=facts.id,
            branched_at=turned.seconds,
        )
        return found_branch(home, parent, own, turned, copied)


def _untrimmed(parent: Store, rows: Sequence[ChunkRow], keep: int, facts: Facts) -> int:
    """The last chunk of a finished take may be cut to the take's length; the branch makes the whole of it."""
    may_be_trimmed = facts.num_frames is not None and parent.is_finished()
    return keep - 1 if may_be_trimmed and keep == len(rows) else keep


def _lengths(facts: Facts, copied: int, num_frames: int | None) -> tuple[tuple[int, int | None], ...]:
    """The parent's lengths while its chunks were made, then the branch's own."""
    before = tuple(pair for pair in facts.lengths if pair[0] < copied)
    own = facts.num_frames if num_frames is None else num_frames
    return (*before, (copied, own))
