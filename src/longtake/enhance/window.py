"""One window on its way from noise to clean latents, and the steps that all ways of streaming share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.enhance.blending import Blending, Thresholds
from longtake.enhance.levels import Level, check_levels
from longtake.enhance.solver import Solver
from longtake.enhance.tiling import Tiling
from longtake.sampling.noise import NoiseSource, Purpose

Denoise = Callable[[Tensor, Level, range], Tensor]
"""`(latents [1, C, T, H, W] at a level, the level, which frames they are) → predicted clean latents`."""

_OWN = 32
"""Bits of the frame's number below the window's number, in the counter of noise that is not shared."""


@dataclass(kw_only=True, slots=True)
class Window:
    """One window. Tensors are `[1, C, T, H, W]`, T its length."""

    index: int
    """Number of the window."""
    frames: range
    """Latent frames of the video."""
    x: Tensor
    """Latents at the level of `step`; when all steps are done, clean."""
    step: int = 0
    """Steps whose result is in `x`."""
    before: Tensor | None = None
    """Clean latents predicted at the step before, for solvers that look back."""
    value: Tensor | None = None
    """What the step under way gave, before it is joined with the window on the right; None between steps."""

    def part(self, frames: range) -> slice:
        """Where some of its frames lie in its tensors."""
        return slice(frames.start - self.frames.start, frames.stop - self.frames.start)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """For a snapshot."""
        counts = [self.index, self.frames.start, self.frames.stop, self.step]
        named = {"counts": torch.tensor(counts, dtype=torch.int64), "x": self.x}
        named |= {} if self.before is None else {"before": self.before}
        named |= {} if self.value is None else {"value": self.value}
        return {f"{name}.{key}": tensor.clone() for key, tensor in named.items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], name: str) -> Window:
        """The window that `tensors(name)` was called on."""
        index, start, stop, step = tensors[f"{name}.counts"].tolist()
        before, value = tensors.get(f"{name}.before"), tensors.get(f"{name}.value")
        return cls(
            index=index,
            frames=range(start, stop),
            x=tensors[f"{name}.x"].clone(),
            step=step,
            before=None if before is None else before.clone(),
            value=None if value is None else value.clone(),
        )


@dataclass(frozen=True, kw_only=True)
class Course:
    """How every window goes; never changed by one."""

    tiling: Tiling
    blending: Blending
    levels: tuple[Level, ...]
    """S + 1 of them, falling, the last clean."""
    solver: Solver
    denoise: Denoise
    noise: NoiseSource
    """Initial noise at step 0, fresh noise of step s at s + 1, both under `Purpose.ENHANCE`."""
    thresholds: Thresholds
    start_scale: float = 1.0
    """Factor on the noised latents; not 1 only to reproduce the published refiner exactly."""

    def __post_init__(self) -> None:
        check_levels(self.levels)
        self.blending.check(self.tiling.overlap)

    @property
    def steps(self) -> int:
        """S, network evaluations of a window."""
        return len(self.levels) - 1

    def begin(self, index: int, frames: range, clean: Tensor) -> Window:
        """A window with its noise; `clean` are the latents of the video that is enhanced."""
        first = self.levels[0]
        noise = self._noise(index, frames, 0, clean)
        return Window(
            index=index, frames=frames, x=self.start_scale * (first.alpha * clean + first.sigma * noise)
        )

    def advance(self, window: Window) -> None:
        """Predict, and step where that is what is joined. Leaves the result in `value`."""
        level = self.levels[window.step]
        x0 = self.denoise(window.x, level, window.frames)
        if self.blending.target == "x0":
            window.value = x0
        else:
            window.value = self._solve(window, x0)
            window.before = x0

    def settle(self, window: Window) -> None:
        """Take the joined result over; the step is done."""
        assert window.value is not None
        if self.blending.target == "x0":
            window.x, window.before = self._solve(window, window.value), window.value
        else:
            window.x = window.value
        window.step, window.value = window.step + 1, None

    def joins(self, step: int) -> bool:
        """Whether windows are joined at this step."""
        return self.blending.exchanges or step == self.steps - 1

    def _solve(self, window: Window, x0: Tensor) -> Tensor:
        noise = None
        if self.solver.is_random and window.step + 1 < self.steps:
            noise = self._noise(window.index, window.frames, window.step + 1, x0)
        return self.solver.step(window.x, x0, window.before, self.levels, window.step, noise)

    def _noise(self, index: int, frames: range, step: int, like: Tensor) -> Tensor:
        offset = index << _OWN if self.blending.own_noise else 0
        shape = (like.shape[1], like.shape[3], like.shape[4])
        numbered = [frame + offset for frame in frames]
        return self.noise(Purpose.ENHANCE, numbered, step, shape).to(like)
