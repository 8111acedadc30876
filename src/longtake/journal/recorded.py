"""A take that writes everything down: what it yields is on disk already."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from safetensors import SafetensorError

from longtake.chunk import Chunk, Observer
from longtake.errors import UserError
from longtake.journal.course import Course, Navigator
from longtake.journal.files import SNAPSHOTS, snapshot_file
from longtake.journal.lock import Ownership
from longtake.journal.retention import Budget
from longtake.journal.scribe import Saved, Scribe
from longtake.journal.threads import as_begun
from longtake.journal.turning import check_kept, chunks_until, turn
from longtake.methods import Kind
from longtake.timeline import Receipt

_UNWRITABLE = (OSError, SafetensorError, sqlite3.OperationalError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A chunk that is durable."""

    chunk: Chunk
    """The chunk, as the take made it."""
    segment: bytes
    """`moof mdat`: its frames as they lie in the take's media and in its file."""
    index: int
    """Number of the chunk in the record, from 0 without gaps (`chunk.index` may skip some)."""
    recording: float
    """Seconds that writing it down took, encoding not counted."""

    @property
    def start_time(self) -> float:
        """Media seconds of its first frame."""
        return self.chunk.start_time


class _Unwritten(NamedTuple):
    """A chunk that is made and not recorded yet."""

    chunk: Chunk
    saved: Saved | None


class RecordedTake:
    """A take and its journal; owned by this process until `close`. Made by `Library`.

    Iterate it in one thread; `steer`, `pause`, `resume` and `rewind` are safe from any other.
    """

    def __init__(
        self,
        navigator: Navigator,
        ownership: Ownership,
        budget: Budget,
        *,
        course: Course | None = None,
        observers: Sequence[Observer] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """course: the take where its record ends, where that is known; otherwise it is found."""
        store = navigator.store
        self._navigator, self._store = navigator, store
        self._facts = navigator.facts
        self._ownership, self._budget = ownership, budget
        self._observers = tuple(observers)
        self._running = threading.Event()
        self._running.set()
        self._making, self._steering = threading.RLock(), threading.RLock()
        self._unwritten: _Unwritten | None = None
        self._closed = False
        self.id = self._facts.id
        """A UUID in lower case."""
        self.init_segment: bytes = store.init_segment
        """`ftyp moov`: what a player needs before the first segment."""
        self.notes = tuple(notes)
        """What was found when the take was opened: damage that was cut, another build. Empty for a new one."""
        self._over = store.is_finished()
        self._course: Course | None = None
        self._scribe = Scribe(store, self._facts.video)
        if not self._over:
            self._follow(course or navigator.reach_end())

    @property
    def seed(self) -> int:
        """Decides every random number of it."""
        return self._facts.seed

    @property
    def chunks(self) -> int:
        """Chunks that are recorded."""
        return self._scribe.number

    @property
    def course(self) -> int:
        """How often chunks of it were dropped: rewound, or cut."""
        return self._store.course()

    @property
    def memory_bytes(self) -> int:
        """What it remembers of its past (the key-value cache and the like); 0 once it is over."""
        return 0 if self._course is None else self._course.take.memory_bytes

    def _follow(self, course: Course) -> None:
        """Go on from where `course` stands."""
        _sweep(self._navigator)
        self._unwritten = None
        self._scribe = Scribe(self._store, self._facts.video)
        course.take.recorder = self
        self._course = course
        if course.differs_from is not None:
            differs = f"this build makes chunk {course.differs_from} otherwise than the record has it"
            self.notes = (*self.notes, f"{differs}; what follows chunk {self.chunks} may differ too")

    def accept(self, receipt: Receipt) -> None:
        """See `Recorder`: a direction is on disk before it is accepted."""
        try:
            self._store.add_cue(receipt.cue)
        except sqlite3.OperationalError as reason:
            raise self._failure(reason) from reason

    def __iter__(self) -> Iterator[Recorded]:
        return self

    def __next__(self) -> Recorded:
        """The next chunk, once it is durable. Raises UserError where it cannot be written down (disk full).

        What is committed stays then, and the next call tries again.
        """
        while True:
            self._running.wait()
            with self._making, as_begun(self._facts):
                if self._running.is_set():
                    return self._next()

    def _next(self) -> Recorded:
        if self._over or self._closed:
            raise StopIteration
        course = self._course
        if course is None:  # a turn was interrupted
            self._follow(course := self._navigator.reach_end())
        unwritten = self._unwritten = self._unwritten or self._make(course)
        try:
            written = self._scribe.write(unwritten.chunk, unwritten.saved, course.tape)
        except _UNWRITABLE as reason:
            raise self._failure(reason) from reason
        self._unwritten = None
        size = len(written.segment) + unwritten.chunk.latents.nbytes
        self._budget.spend(size + (unwritten.saved.snapshot.num_bytes if unwritten.saved else 0))
        for observer in self._observers:
            observer(unwritten.chunk)
        return Recorded(
            chunk=unwritten.chunk,
            segment=written.segment,
            index=written.number,
            recording=written.seconds,
        )

    def _make(self, course: Course) -> _Unwritten:
        try:
            chunk = next(course.take)
        except StopIteration:
            self._store.add_event("finished")
            self._over = True
            raise
        return _Unwritten(chunk, self._save(course) if self._scribe.wants_snapshot else None)

    def _save(self, course: Course) -> Saved | None:
        """The state after the chunk that was just made; None where the method has none between chunks."""
        if self._facts.kind == Kind.JOINT:
            return None
        with self._steering:
            last_cue = self._store.last_cue()
            try:
                return Saved(course.take.snapshot(), last_cue)
            except UserError:  # the chunk after it is being made already, and has failed; it will say so
                return None

    def _failure(self, reason: Exception) -> UserError:
        what = reason.strerror if isinstance(reason, OSError) else str(reason)
        return UserError(
            f"take {self.id} cannot be recorded: {what}; its first {self.chunks} chunks are safe: make room, "
            "and resume it"
        )

    def steer(self, prompt: str, *, transition: float = 0.0) -> Receipt:
        """Change the prompt from the next chunk on. When this returns, the direction survives a kill.

        Raises UserError for an empty prompt, and for a method that cannot be steered.
        """
        with self._steering:
            if self._course is None or self._over or self._closed:
                raise UserError(f"take {self.id} is over; rewind it, or branch from it")
            return self._course.take.steer(prompt, transition=transition)

    def pause(self) -> None:
        """Hold before the next chunk: `next()` waits until `resume()`."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running.set()

    def rewind(self, seconds: float, prompt: str | None = None, *, transition: float = 0.0) -> float:
        """Go on from an earlier moment, under another prompt where one is given; returns the media second it is.

        That is the end of the last chunk that ends at or before `seconds`. What came after is dropped from the take
        (its rows and files stay until retention takes them). Waits for the chunk that is being made.

        Raises UserError when that moment is not kept any more, or the method cannot be steered.
        """
        if self._facts.kind == Kind.JOINT:
            raise UserError(f"{self._facts.model!r} makes the whole video at once; it cannot be rewound")
        with self._making, self._steering, as_begun(self._facts):
            rows, cues, fps = self._store.chunks(), self._store.cues(), self._facts.fps
            keep = chunks_until(rows, seconds, fps)
            check_kept(rows, keep, fps)
            turned = turn(rows, cues, keep=keep, fps=fps, prompt=prompt, transition=transition)
            kept = {row.id for row in turned.cues}
            self._course, self._over = None, False
            with self._store.transaction():
                event = self._store.cut(keep, "rewound", f"to {turned.seconds:g} s, chunk {keep}")
                self._store.drop_cues([row.id for row in cues if row.id not in kept], event)
                if turned.new is not None:
                    self._store.add_cue(turned.new, steered=turned.steers)
            self._follow(self._navigator.reach_end())
            return turned.seconds

    def close(self) -> None:
        """Let the take go: it can be resumed, here or in another process."""
        self._closed = True
        self._running.set()
        with self._making, self._steering:
            self._store.close()
            self._ownership.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sweep(navigator: Navigator) -> None:
    """Remove snapshots that nothing speaks of: of dropped chunks, or written right before a kill."""
    store = navigator.store
    live = {snapshot_file(store.folder, row.id) for row in store.snapshots()}
    for path in (store.folder / SNAPSHOTS).iterdir():
        if path not in live:
            path.unlink()
