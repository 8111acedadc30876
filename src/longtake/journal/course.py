"""From a record to a take that stands where the record ends.

The newest snapshot that can be read is restored, or the take is begun anew where there is none. What is recorded after
it is then made again, oldest first and block by block, under the directions of the record: the same bytes on the same
build. It is compared with the record, and thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtake.errors import UserError
from longtake.footage import Picture, VideoInput
from longtake.journal.facts import Facts
from longtake.journal.files import clip_file, image_file, load_pictures, snapshot_file
from longtake.journal.rows import CueRow, SnapshotRow, digest
from longtake.journal.scribe import to_file
from longtake.journal.store import Store
from longtake.journal.tape import Tape, new_pictures, recorded_pictures
from longtake.pipeline import Pipeline
from longtake.settings import Settings
from longtake.slots.source import Source
from longtake.snapshot import Snapshot
from longtake.take import Take
from longtake.timeline import Cue, Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A take and where it stands."""

    take: Take
    """Ready to make its next chunk."""
    tape: Tape | None
    """Where its pictures come from, when it is made from a video."""
    differs_from: int | None = None
    """The first recorded chunk that this build does not make as the record has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Navigator:
    """Finds the place in a take where its record ends."""

    pipe: Pipeline
    facts: Facts
    store: Store
    video: VideoInput | None = None
    """A live source, from where it is now."""
    decode_beside: bool | None = None

    def reach_end(self) -> Course:
        """The take after its last recorded chunk."""
        rows = self.store.chunks()
        course, number = self._nearest()
        differs_from = None
        for row in rows[number:]:
            course.take.num_frames = self.facts.length_at(row.number)
            same = digest(to_file(next(course.take).latents)) == row.latents_digest
            if not same and differs_from is None:
                differs_from = row.number
        course.take.num_frames = self.facts.length_at(len(rows))
        return replace(course, differs_from=differs_from)

    def _nearest(self) -> tuple[Course, int]:
        """The take at its newest usable snapshot, or at its start; and the chunks recorded before that."""
        for row in reversed(self.store.snapshots()):
            try:
                snapshot = Snapshot.load(snapshot_file(self.store.folder, row.id))
            except UserError:
                continue  # gone or cut off; an older one leads to the same place
            return self._from(row, snapshot), row.number
        return self.begin(), 0

    def begin(self) -> Course:
        """The take before its first chunk, made from what it was given."""
        facts, cues = self.facts, self.store.cues()
        tape = self._tape(0)
        take = self.pipe.stream(
            Timeline(cues=tuple(row.cue for row in cues if not row.steered)),
            seed=facts.seed,
            num_frames=facts.length_at(0),
            settings=Settings(**facts.settings),
            image=self._image(),
            video=tape,
            strength=facts.strength,
            clip=self._clip(),
            decode_beside=self.decode_beside,
        )
        take.follow([row.cue for row in cues if row.steered])
        return Course(take=take, tape=tape)

    def _from(self, row: SnapshotRow, snapshot: Snapshot) -> Course:
        cues = self.store.cues()
        director = _directed(snapshot.meta["director"], cues)
        meta = {**snapshot.meta, "director": director, "num_frames": self.facts.length_at(row.number)}
        tape = self._tape(_pulled(snapshot)) if self.facts.has_source else None
        take = self.pipe.restore(replace(snapshot, meta=meta), video=tape, decode_beside=self.decode_beside)
        take.follow([cue.cue for cue in cues if cue.id > row.last_cue])
        return Course(take=take, tape=tape)

    def _image(self) -> Picture | None:
        return load_pictures(image_file(self.store.folder), 1)[0] if self.facts.has_image else None

    def _clip(self) -> list[Picture] | None:
        count = self.facts.clip_frames
        return load_pictures(clip_file(self.store.folder), count) if count else None

    def _tape(self, first: int) -> Tape | None:
        if not self.facts.has_source:
            return None
        rows = self.store.given()
        end = rows[-1].first + rows[-1].count if rows else 0
        width, height = picture_size(self.pipe, self.facts.settings)
        return Tape(
            recorded_pictures(self.store.folder, rows, first),
            _later(self.facts, self.video, end, width, height),
            end=end,
        )


def picture_size(pipe: Pipeline, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels of a take's picture."""
    return settings["width"] or pipe.width, settings["height"] or pipe.height


def _later(facts: Facts, video: VideoInput | None, end: int, width: int, height: int) -> Iterator[Picture]:
    """The source is opened when what is on record is used up: it may be gone, and not be needed."""
    yield from new_pictures(facts, video, end, width, height)


def _directed(director: Mapping[str, Any], cues: Sequence[CueRow]) -> dict[str, Any]:
    """The director of a snapshot without the directions that were dropped since."""
    count = {row.cue for row in cues}
    return {**director, "pending": [cue for cue in director["pending"] if Cue(**cue) in count]}


def _pulled(snapshot: Snapshot) -> int:
    """Pictures that the take of a snapshot has taken from its source."""
    return int(snapshot.part(f"slot.{Source.kind}")["counts"][0])
