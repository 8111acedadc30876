"""The live mode: window after window, each through all its steps.

Of a window's end, the overlap, what it had at every step is kept; the next window is joined towards that at each of its
own steps. The left window does not hear of the right one, so it is done before the next has come. Frames of an overlap
leave with the next window, all others at once. Memory: one window, and S overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from longtake.enhance.intake import Arrived, Intake
from longtake.enhance.window import Course, Window


class Live:
    """Latents in, enhanced latents out, in order and without gaps."""

    mode = "live"

    def __init__(self, course: Course) -> None:
        self.course = course
        self._intake = Intake(course.tiling)
        self._kept: list[Tensor] = []
        self._left = range(0)
        self._emitted = 0

    @property
    def delay(self) -> int:
        """Latent frames that must have come before the first leaves: one window."""
        return self.course.tiling.length

    def push(self, latents: Tensor) -> list[Tensor]:
        """Take the next `[1, C, n, H, W]`; what is done now."""
        done = [self._run(arrived) for arrived in self._intake.push(latents)]
        return [self._take(w.x, w.frames, w.frames.stop - self.course.tiling.overlap) for w in done]

    def finish(self) -> list[Tensor]:
        """The rest, when no more will come. Raises UserError when the whole video is shorter than a window."""
        slid = self._intake.finish()
        if slid is not None:
            window = self._run(slid)
            return [self._take(window.x, window.frames, window.frames.stop)]
        if self._emitted == self._left.stop:
            return []
        join = self.course.tiling.join(self._left)
        return [self._take(self._kept[-1], join, join.stop)]

    def _run(self, arrived: Arrived) -> Window:
        """A window through all its steps."""
        course = self.course
        window = course.begin(*arrived)
        kept = []
        while window.step < course.steps:
            course.advance(window)
            assert window.value is not None
            if self._kept and course.joins(window.step):
                self._join(window)
            kept.append(window.value[:, :, window.part(course.tiling.join(window.frames))].clone())
            course.settle(window)
        self._kept, self._left = kept, window.frames
        return window

    def _join(self, window: Window) -> None:
        """Join the window's beginning towards what the one before it had at this step."""
        course = self.course
        assert window.value is not None
        here = window.part(course.tiling.join(self._left))
        threshold = course.thresholds(window.index - 1, window.step)
        value = window.value.clone()
        value[:, :, here] = course.blending.join(self._kept[window.step], value[:, :, here], threshold)
        window.value = value

    def _take(self, latents: Tensor, held: range, stop: int) -> Tensor:
        """Frames up to `stop` that have not left, of `latents`, which are those of the frames `held`."""
        first, self._emitted = self._emitted, stop
        return latents[:, :, first - held.start : stop - held.start].clone()

    def tensors(self) -> dict[str, Tensor]:
        """For a snapshot: the overlaps that are kept, latents that wait, position."""
        counts = torch.tensor([self._emitted, self._left.start, self._left.stop], dtype=torch.int64)
        named = self._intake.tensors() | {"counts": counts}
        return named | ({"kept": torch.stack(self._kept)} if self._kept else {})

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `tensors`."""
        self._intake.restore(tensors)
        self._emitted, start, stop = tensors["counts"].tolist()
        self._left = range(start, stop)
        self._kept = [*tensors["kept"].clone().unbind(0)] if "kept" in tensors else []
