"""A denoiser whose answer at a frame depends on every frame of its window, and the whole-video loop as the oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.enhance.blending import Blending
from longtake.enhance.levels import Level, flow_levels, scaled_linear_alphas, table_levels
from longtake.enhance.solver import Ddim, DpmSde, Solver
from longtake.enhance.tiling import Tiling
from longtake.enhance.window import Course
from longtake.sampling.noise import CounterNoise, Purpose

CHANNELS, SIDE = 3, 2
SOLVERS: dict[str, tuple[Solver, tuple[Level, ...]]] = {
    "flow": (Ddim(), tuple(flow_levels(0.7, 4, shift=2.0))),
    "ddim": (Ddim(eta=1.0), tuple(table_levels(scaled_linear_alphas(), 0.6, 5))),
    "dpm": (DpmSde(), tuple(table_levels(scaled_linear_alphas(), 0.6, 5))),
}


def video(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, CHANNELS, frames, SIDE, SIDE, generator=generator)


def denoise(x: Tensor, level: Level, frames: range) -> Tensor:
    """Mixes the frames of the window, so that every output depends on where the window's edges are."""
    place = torch.arange(x.shape[2], dtype=torch.float32)
    mix = torch.cos(0.7 * place[:, None] - 0.3 * place[None, :] + level.timestep / 300) / x.shape[2] ** 0.5
    return torch.tanh(torch.einsum("bcthw,ut->bcuhw", x, mix) + 0.5 * x)


def course(
    solver: str = "flow", blending: Blending | None = None, length: int = 6, overlap: int = 2, seed: int = 3
) -> Course:
    chosen = Blending() if blending is None else blending
    rule, levels = SOLVERS[solver]
    return Course(
        tiling=Tiling(length=length, overlap=overlap),
        blending=chosen,
        levels=levels,
        solver=rule,
        denoise=denoise,
        noise=CounterNoise(seed),
        thresholds=chosen.thresholds(seed, overlap),
    )


def whole_video(course: Course, clean: Tensor) -> Tensor:
    """One tensor for the whole video, every window at every step: slow, plain, the oracle of the exact mode."""
    total, levels, target = clean.shape[2], course.levels, course.blending.target
    shape = (clean.shape[1], *clean.shape[3:])
    windows = course.tiling.over(total)
    noise = course.noise(Purpose.ENHANCE, range(total), 0, shape)
    x = levels[0].alpha * clean + levels[0].sigma * noise
    history: dict[int, Tensor] = {}
    before: Tensor | None = None
    for step in range(course.steps):
        fresh = (
            course.noise(Purpose.ENHANCE, range(total), step + 1, shape) if course.solver.is_random else None
        )
        predictions = [course.denoise(x[:, :, w.start : w.stop], levels[step], w) for w in windows]
        if target == "x0":
            x0 = _compose(course, windows, predictions, step)
            x, before = course.solver.step(x, x0, before, levels, step, fresh), x0
            continue
        stepped = []
        for index, (window, x0) in enumerate(zip(windows, predictions, strict=True)):
            own = slice(window.start, window.stop)
            own_noise = None if fresh is None else fresh[:, :, own]
            stepped.append(course.solver.step(x[:, :, own], x0, history.get(index), levels, step, own_noise))
            history[index] = x0
        x = _compose(course, windows, stepped, step)
    return x


def _compose(course: Course, windows: list[range], values: list[Tensor], step: int) -> Tensor:
    """Frame by frame: which window (or the mean of which two) it comes from."""
    picked = []
    for frame in range(windows[-1].stop):
        owner = 0
        mean = None
        for join in range(len(windows) - 1):
            first = windows[join].stop - course.tiling.overlap
            if course.blending.rule == "average" and first <= frame < windows[join].stop:
                mean = (join, join + 1)
            elif frame >= first + course.thresholds(join, step):
                owner = join + 1
        parts = [values[i][:, :, frame - windows[i].start] for i in (mean or (owner,))]
        picked.append(sum(parts) / len(parts))
    return torch.stack(picked, dim=2)
