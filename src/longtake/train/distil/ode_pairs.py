"""Making ODE pairs: a teacher's trajectories from noise to a clip, at the student's timesteps (arXiv 2412.07772).

The teacher is bidirectional, with guidance, or a causal model that goes block after block (Causal-Forcing, arXiv
2602.02214: on bidirectional trajectories one causal input has several targets). Made by the engine's own methods.

A pair is a function of config, teacher, clips and number, and finished shards are kept, so the making may be stopped
and started; `pairs_settings.py` keeps pairs of different makings apart. The files: `pairs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.methods import Conditions, Method
from longtake.methods.build import causal
from longtake.methods.joint import Joint
from longtake.models.steps import OdeSpec as EulerSteps
from longtake.sampling.noise import CounterNoise, Purpose
from longtake.sampling.ode import FlowODE
from longtake.sampling.schedule import FlowSchedule
from longtake.train.counters import numbers
from longtake.train.device import Compute
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.clips import Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import StepLevels
from longtake.train.distil.pairs import FORMAT, VALIDATION
from longtake.train.distil.pairs_settings import keep_settings
from longtake.train.distil.specs import OdePairsSpec
from longtake.train.log import RunLog
from longtake.train.shard_file import write_text
from longtake.train.timing import Clock

__all__ = ["kept_states", "make_pairs", "pair_method", "trajectory"]

TOLERANCE = 10.0
"""Timesteps by which a step of the teacher's grid may miss the student's."""

Progress = Callable[[int, int], None]
"""Told (shards done, shards in all)."""
Stop = Callable[[], bool]
"""Asked between two pairs."""


def kept_states(levels: StepLevels, spec: OdePairsSpec) -> list[int]:
    """For each of the student's timesteps the number of Euler steps after which the teacher is there; then all.

    Raises UserError when the teacher's grid does not come near one of them.
    """
    grid = np.array(FlowSchedule(spec.shift).uniform(spec.num_inference_steps)) * 1000
    nearest = [int(np.abs(grid - timestep).argmin()) for timestep in levels.timesteps[:-1]]
    for place, timestep in zip(nearest, levels.timesteps, strict=False):
        if abs(grid[place] - timestep) > TOLERANCE:
            raise UserError(
                f"the teacher's {spec.num_inference_steps} steps with shift {spec.shift:g} come no nearer to the "
                f"student's timestep {timestep:g} than {grid[place]:.1f}; use a number of steps that the student's "
                "divide, and the student's shift"
            )
    return [*nearest, spec.num_inference_steps]


def pair_method(config: DistilConfig, spec: OdePairsSpec, teacher: Backbone) -> Method:
    """What makes a trajectory."""
    sampler = FlowODE(num_inference_steps=spec.num_inference_steps, shift=spec.shift)
    if spec.teacher == "bidirectional":
        return Joint(
            backbone=teacher.transformer,
            sampler=sampler,
            limit=spec.frames,
            guidance_scale=spec.guidance_scale,
        )
    steps = EulerSteps(kind="ode", num_inference_steps=spec.num_inference_steps, shift=spec.shift)
    policy = config.student.model_copy(update={"sampler": steps})
    return causal(policy, teacher.transformer, sampler, guidance_scale=spec.guidance_scale)


@torch.no_grad()
def trajectory(
    method: Method,
    conditions: Conditions,
    seed: int,
    frames: int,
    latent_shape: tuple[int, int, int],
    kept: Sequence[int],
) -> Tensor:
    """The states `[len(kept), C, F, h, w]` after so many steps, on the CPU; of each block its own trajectory."""
    noise, state, parts = CounterNoise(seed), method.start(latent_shape), []
    position = 0
    while position < frames:
        plan = method.next(position, frames)
        states = [noise(Purpose.INITIAL, plan.denoise, 0, latent_shape)]

        def note(step: int, timestep: float, latents: Tensor, states: list[Tensor] = states) -> Tensor:
            states.append(latents.cpu())
            return latents

        clean = method.denoise(plan, noise, conditions, state, note)
        state.memory.commit(plan.final, clean, conditions.text, None)
        parts.append(torch.cat([states[place] for place in kept]))
        position = plan.final.stop
    return torch.cat(parts, dim=2)[:, :, :frames]


def make_pairs(
    config: DistilConfig,
    spec: OdePairsSpec,
    clips: Clips,
    teacher: Backbone,
    out: Path,
    compute: Compute,
    *,
    progress: Progress,
    stop: Stop = lambda: False,
) -> bool:
    """Make all shards that are missing; False when stopped before. Captions come from the clips.

    Raises UserError when `out` holds pairs of other settings, or the disk is full.
    """
    kept = kept_states(StepLevels.of(config.sampler), spec)
    maker = _Maker(config=config, spec=spec, clips=clips, teacher=teacher, compute=compute, kept=kept)
    keep_settings(out, config, spec, clips, teacher)
    every = _jobs(spec)
    jobs = [job for job in every if not (out / f"{job.name}.json").exists()]
    log = RunLog(out)
    clock = Clock(max((record["seconds"] for record in log.records() if "seconds" in record), default=0.0))
    for done, job in enumerate(jobs):
        progress(done, len(jobs))
        if not maker.write(out, job, stop):
            return False
        step = len(every) - len(jobs) + done + 1
        log.write({"kind": "pairs", "step": step, "of": len(every), "seconds": round(clock.total(), 1)})
    progress(len(jobs), len(jobs))
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    name: str
    first: int
    """Number of its first pair."""
    count: int


def _jobs(spec: OdePairsSpec) -> list[_Job]:
    jobs = [
        _Job(
            name=f"pairs-{first // spec.shard_pairs:06d}",
            first=first,
            count=min(spec.shard_pairs, spec.pairs - first),
        )
        for first in range(0, spec.pairs, spec.shard_pairs)
    ]
    aside = [_Job(name=VALIDATION, first=2**40, count=spec.validation_pairs)] if spec.validation_pairs else []
    return aside + jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class _Maker:
    config: DistilConfig
    spec: OdePairsSpec
    clips: Clips
    teacher: Backbone
    compute: Compute
    kept: list[int]

    def write(self, out: Path, job: _Job, stop: Stop) -> bool:
        """Make one shard; False, and nothing written, when stopped."""
        states, captions = [], []
        for number in range(job.first, job.first + job.count):
            if stop():
                return False
            made, caption = self.one(number)
            states.append(made)
            captions.append(caption)
        path = out / f"{job.name}.safetensors"
        unfinished = path.with_suffix(".part")
        try:
            save_file({"states": torch.stack(states).half()}, unfinished)
            unfinished.replace(path)
            write_text(path.with_suffix(".json"), json.dumps({"format": FORMAT, "captions": captions}))
        except (OSError, SafetensorError) as reason:
            unfinished.unlink(missing_ok=True)
            raise UserError(
                f"shard {path} cannot be written ({reason}); free some space and start again: finished shards stay"
            ) from None
        return True

    @torch.no_grad()
    def one(self, number: int) -> tuple[Tensor, str]:
        """States `[K + 1, C, F, h, w]` and caption of a pair."""
        rng = numbers(self.config.seed, "pair", number)
        record = self.clips.data.batch(number, [False], self.spec.levels).records[0]
        wordings = record.segments[0].captions
        caption = wordings[int(rng.integers(len(wordings)))]
        transformer = self.teacher.transformer
        with self.compute.autocast():
            text, null = (transformer.text_context(self.teacher.read([prompt])) for prompt in (caption, ""))
            states = trajectory(
                pair_method(self.config, self.spec, self.teacher),
                Conditions(text=text, null_text=null),
                int(rng.integers(2**62)),
                self.spec.frames,
                self.clips.latent_shape,
                self.kept,
            )
        return states, caption
