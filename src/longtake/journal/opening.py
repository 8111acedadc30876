"""Opens a take that is on disk, to go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from longtake.chunk import Observer
from longtake.errors import UserError
from longtake.footage import VideoInput
from longtake.journal.course import Course, Navigator
from longtake.journal.damage import cut_damage
from longtake.journal.facts import Facts
from longtake.journal.fingerprint import changed, fingerprint
from longtake.journal.lock import Ownership
from longtake.journal.recorded import RecordedTake
from longtake.journal.retention import Budget
from longtake.journal.store import Store
from longtake.journal.threads import as_begun
from longtake.methods import Kind
from longtake.pipeline import Pipeline


def open_take(
    folder: Path,
    pipe: Pipeline,
    *,
    course: Course | None,
    video: VideoInput | None,
    observers: Sequence[Observer],
    decode_beside: bool | None,
    others: Callable[[], Iterable[Path]],
    retention_bytes: int,
) -> RecordedTake:
    """See `Library.resume`. course: where the take stands, if it is new."""
    with ExitStack() as meanwhile, ExitStack() as kept:
        ownership = Ownership(folder)
        kept.callback(ownership.close)
        store = Store(folder)
        kept.callback(store.close)
        facts = Facts.from_dict(store.facts)
        meanwhile.enter_context(as_begun(facts))
        notes = [] if course else _look(store, facts, pipe)
        take = RecordedTake(
            Navigator(pipe=pipe, facts=facts, store=store, video=video, decode_beside=decode_beside),
            ownership,
            Budget(store, others, retention_bytes),
            course=course,
            observers=observers,
            notes=notes,
        )
        kept.pop_all()
        return take


def _look(store: Store, facts: Facts, pipe: Pipeline) -> list[str]:
    """Check that the take can go on with this model; returns what is to be said about it."""
    if pipe.name != facts.model:
        raise UserError(
            f"take {facts.id} is of model {facts.model!r}, this is {pipe.name!r}; load that model"
        )
    damage = cut_damage(store)
    if facts.kind == Kind.JOINT and not store.is_finished():
        raise UserError(
            f"{facts.model!r} makes the whole video at once, and cannot go on in mid-course; make take {facts.id} "
            f"again with seed {facts.seed}"
        )
    other = changed(facts.fingerprint, fingerprint(pipe))
    number = len(store.chunks())
    build = (
        f"another build ({other}): from chunk {number} on it may differ from an unbroken run" if other else ""
    )
    if not store.is_finished():
        store.add_event("resumed", build)
    return [note for note in (damage, build) if note]
