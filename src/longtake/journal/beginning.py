"""The beginning of a take: everything is checked and read before anything is written."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from longtake.footage import ImageInput, Picture, VideoFile, VideoInput, cover, read_frames, read_image
from longtake.journal.course import Course, picture_size
from longtake.journal.facts import Facts, SourceFile
from longtake.journal.fingerprint import fingerprint
from longtake.journal.founding import found
from longtake.journal.rows import CueRow
from longtake.journal.tape import Tape
from longtake.media import VideoFormat, encode_fragment
from longtake.pipeline import Pipeline
from longtake.settings import Settings
from longtake.timeline import Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """A take that is ready to make its first chunk, and what is to be recorded of it."""

    facts: Facts
    timeline: Timeline
    image: Picture | None
    clip: Picture | None
    course: Course

    @classmethod
    def prepare(
        cls,
        pipe: Pipeline,
        timeline: Timeline,
        *,
        id: str,
        seed: int,
        num_frames: int | None,
        settings: Settings | None,
        image: ImageInput | None,
        video: VideoInput | None,
        strength: float | None,
        clip: VideoInput | None,
        form: VideoFormat | None,
        out: Path | None,
        loading: Mapping[str, Any] | None,
        decode_beside: bool | None,
    ) -> Self:
        """See `Library.create`. Raises UserError for what `Pipeline.stream` refuses."""
        settings = settings or Settings()
        width, height = picture_size(pipe, asdict(settings))
        form = form or VideoFormat(width=width, height=height, fps=pipe.fps)
        rate = Fraction(form.fps)
        picture = None if image is None else read_image(image)
        source, tape = (None, None) if video is None else _source(video, pipe.fps, width, height)
        kept = None if clip is None else pipe.end_of(clip, settings)
        take = pipe.stream(
            timeline,
            seed=seed,
            num_frames=num_frames,
            settings=settings,
            image=picture,
            video=tape,
            strength=strength,
            clip=kept,
            decode_beside=decode_beside,
        )
        facts = Facts(
            id=id,
            created=time.time(),
            model=pipe.name,
            kind=take.engine.method.kind.value,
            loading=loading or {"model": pipe.name},
            seed=seed,
            settings=asdict(settings),
            lengths=((0, num_frames),),
            form=(form.width, form.height, rate.numerator, rate.denominator),
            fps=pipe.fps,
            strength=strength,
            has_image=picture is not None,
            has_source=tape is not None,
            clip_frames=0 if kept is None else len(kept),
            source=source,
            out=None if out is None else str(out.absolute()),
            parent=None,
            branched_at=None,
            fingerprint=fingerprint(pipe),
        )
        course = Course(take=take, tape=tape)
        return cls(facts=facts, timeline=timeline, image=picture, clip=kept, course=course)

    def found(self, home: Path) -> Path:
        """Put it down in `home`; returns its folder."""
        form = self.facts.video
        init, _ = encode_fragment(np.zeros((1, form.height, form.width, 3), np.uint8), form)
        cues = [CueRow(id=index, cue=cue, steered=False) for index, cue in enumerate(self.timeline.cues, 1)]
        return found(home, self.facts, init, cues, self.image, self.clip)


def _source(video: VideoInput, fps: int, width: int, height: int) -> tuple[SourceFile | None, Tape]:
    """The file of a source, where it is one, and its pictures."""
    if isinstance(video, str | os.PathLike):
        file = VideoFile.open(video)
        source, pictures = SourceFile.of(file.path), file.frames(fps)
    else:
        source, pictures = None, read_frames(video)
    fitted = (cover(picture, width, height) for picture in pictures)
    return source, Tape(iter(()), fitted, end=0)
