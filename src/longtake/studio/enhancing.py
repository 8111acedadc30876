"""A take being made larger and cleaner in a worker's thread, with what live takes leave of it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.footage import VideoFile
from longtake.journal import Library
from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.studio.events import Event, Listener, Progressed
from longtake.studio.orders import Enhance
from longtake.studio.signing import prompts_in
from longtake.studio.stage import Stage
from longtake.timeline import Cue, Timeline


class Enhancing:
    """See `Task`. It is begun by its first turn, since opening an enhancer may take a while."""

    is_live = False

    def __init__(self, stage: Stage, library: Library, order: Enhance, listener: Listener) -> None:
        self.is_stopping = False
        self.spent = 0.0
        self._listener = listener
        self._steps = _enhance(stage, library, order)

    def tell(self, event: Event) -> None:
        """See `Task.tell`."""
        self._listener(event)

    def wait(self) -> float:
        """See `Candidate.wait`."""
        return 0.0

    def make(self) -> Progressed | None:
        """See `Task.make`."""
        began = time.monotonic()
        share = next(self._steps, None)
        self.spent += time.monotonic() - began
        return None if share is None else Progressed(share=share)

    def close(self) -> None:
        """See `Task.close`."""
        self._steps.close()

    def stop(self) -> None:
        """Leave it."""
        self.is_stopping = True


def _enhance(stage: Stage, library: Library, order: Enhance) -> Generator[float, None, None]:
    """Write the larger video chunk by chunk; yields the share that is done. Raises UserError where it cannot be."""
    record = library.get(order.take_id)
    pipe = stage.pipe(record.model)
    with library.media(record.id) as media:
        receipts = [receipt for segment in media.segments() for receipt in segment.receipts]
    enhancement = pipe.enhance(
        _pictures(order.source, record.fps), _timeline(prompts_in(receipts), record.prompt), seed=record.seed
    )
    form = VideoFormat(width=enhancement.width, height=enhancement.height, fps=record.fps)
    with FragmentedMp4Writer(order.out, form, overwrite=True) as writer:
        for chunk in enhancement:
            if len(chunk.frames):
                writer.write(chunk.frames)
            yield min(1.0, writer.frames / max(1, record.frames))


def _pictures(source: Path, fps: int) -> Iterator[NDArray[np.uint8]]:
    return VideoFile.open(source).frames(fps)


def _timeline(prompts: tuple[tuple[float, str], ...], first: str) -> Timeline:
    """What was to be seen, from the first picture on."""
    cues = [Cue(prompt=prompt, at=at) for at, prompt in prompts] or [Cue(prompt=first, at=0.0)]
    return Timeline(cues=tuple(cues))
