"""The exact mode: every window runs one step behind the one before it.

Window i + 1 makes step s right after it has come in for step 0, or in the turn after window i has made it; then the two
are joined at that step, and window i has all that its next step needs. So in every turn one new window comes in, each
window that is on its way makes one step, and the oldest is done: the same result as the whole video in one loop, in
memory for S windows, with a delay of S windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from longtake.enhance.intake import Arrived, Intake
from longtake.enhance.window import Course, Window


class Wavefront:
    """Latents in, enhanced latents out, in order and without gaps."""

    mode = "exact"

    def __init__(self, course: Course) -> None:
        self.course = course
        self._intake = Intake(course.tiling)
        self._windows: list[Window] = []
        self._emitted = 0

    @property
    def delay(self) -> int:
        """Latent frames that must have come before the first leaves: S windows."""
        return self.course.tiling.regular(self.course.steps - 1).stop

    def push(self, latents: Tensor) -> list[Tensor]:
        """Take the next `[1, C, n, H, W]`; what is done now."""
        return [part for arrived in self._intake.push(latents) for part in self._turn(arrived)]

    def finish(self) -> list[Tensor]:
        """The rest, when no more will come. Raises UserError when the whole video is shorter than a window."""
        slid = self._intake.finish()
        out = [] if slid is None else [*self._turn(slid)]
        while self._windows:
            out += self._turn(None)
        return out

    def _turn(self, arrived: Arrived | None) -> Iterator[Tensor]:
        """A step of every window, the newest first."""
        course, windows = self.course, self._windows
        if arrived is None:
            yield from self._settle_last()
        else:
            windows.append(course.begin(*arrived))
        done: list[Tensor] = []
        for place in reversed(range(len(windows))):
            window = windows[place]
            if window.step == course.steps:
                break
            course.advance(window)
            if place:
                self._join(windows[place - 1], window)
            if window.step == course.steps - 1:
                done.append(self._take(window, window.frames.stop - course.tiling.overlap))
        self._windows = [window for window in windows if window.step < course.steps]
        yield from (latents for latents in done if latents.shape[2])

    def _settle_last(self) -> Iterator[Tensor]:
        """The newest window has nobody on its right: its step is done as it is."""
        last = self._windows[-1]
        is_done = last.step == self.course.steps - 1
        if is_done:
            yield self._take(last, last.frames.stop)
        self.course.settle(last)
        if is_done:
            self._windows.pop()

    def _join(self, left: Window, right: Window) -> None:
        """Join two windows at the step that both have just made; the left one has then done it."""
        assert left.value is not None
        assert right.value is not None
        course, step = self.course, right.step
        if course.joins(step):
            join = course.tiling.join(left.frames)
            here, there = left.part(join), right.part(join)
            threshold = course.thresholds(left.index, step)
            joined = course.blending.join(left.value[:, :, here], right.value[:, :, there], threshold)
            left.value, right.value = left.value.clone(), right.value.clone()
            left.value[:, :, here] = right.value[:, :, there] = joined
            shared = range(right.frames.start, join.start)  # of a window that was slid back
            right.value[:, :, right.part(shared)] = left.value[:, :, left.part(shared)]
        course.settle(left)

    def _take(self, window: Window, stop: int) -> Tensor:
        """Frames up to `stop` that have not left, from the result of a window's last step."""
        assert window.value is not None
        frames = range(self._emitted, stop)
        self._emitted = stop
        return window.value[:, :, window.part(frames)].clone()

    def tensors(self) -> dict[str, Tensor]:
        """For a snapshot: windows on their way, latents that wait, position."""
        counts = torch.tensor([self._emitted, len(self._windows)], dtype=torch.int64)
        named = self._intake.tensors() | {"counts": counts}
        for place, window in enumerate(self._windows):
            named |= window.tensors(f"window.{place}")
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the moment of `tensors`."""
        self._intake.restore(tensors)
        self._emitted, count = tensors["counts"].tolist()
        self._windows = [Window.restored(tensors, f"window.{place}") for place in range(count)]
