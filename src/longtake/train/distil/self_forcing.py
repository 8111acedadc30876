"""Self-Forcing (arXiv 2506.08009): distribution matching on what the student makes of its own past.

A rollout as the engine makes it, from a cache that the student's own blocks fill. One exit step is drawn for all blocks
of a training step: a block is denoised up to it, without a gradient before it, and the clean prediction there is both
what the scores judge and what the cache remembers. So training meets the errors that streaming makes, and the
gradient of a block ends at the block. Needs prompts, no clips.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.sampling.noise import MAX_SEED, CounterNoise, NoiseSource
from longtake.train.config import Stage
from longtake.train.counters import numbers
from longtake.train.device import Compute
from longtake.train.distil.clips import Source, first_captions
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.dmd import Generated, Matching
from longtake.train.distil.rollout import Rollout
from longtake.train.distil.specs import SelfForcingSpec
from longtake.train.distil.stage import Roles

__all__ = ["SelfForcing"]


class SelfForcing(Matching):
    """The recipe. See `recipe.Adversarial`."""

    def __init__(
        self,
        spec: SelfForcingSpec,
        config: DistilConfig,
        clips: Source,
        roles: Roles,
        compute: Compute,
        *,
        name: str = "self-forcing",
    ) -> None:
        super().__init__(name, spec, config, clips, roles, compute)
        self.grad_frames = spec.grad_frames or spec.frames
        self.rollout = Rollout(
            transformer=self.student.transformer,
            policy=self.policy,
            latent_shape=clips.latent_shape,
            noisy_context=spec.noisy_context,
            compute=compute,
        )

    def generate(self, stage: Stage, step: int, *, trained: bool) -> Generated:
        """Clips rolled out from noise."""
        who = "student" if trained else "critic"
        captions = first_captions(self.clips.draw(stage, step, who).captions)
        skipped = self.skipped(who, step)
        counts = torch.arange(stage.frames) >= stage.frames - self.grad_frames
        made = [
            self._roll(text, stage.frames, self._source(who, step, i), skipped, trained)
            for i, (text,) in enumerate(captions.texts)
        ]
        counts = counts.to(self.compute.device).expand(len(made), -1)
        return Generated(torch.cat(made), captions, counts)

    def skipped(self, who: str, step: int) -> int:
        """Last steps of the list that the rollout of a step leaves out: the same for all blocks and processes."""
        update = step // self.parts
        return int(numbers(self.config.seed, f"{who} exit", update).integers(self.levels.steps))

    def _roll(self, prompt: str, frames: int, noise: NoiseSource, skipped: int, trained: bool) -> Tensor:
        memory, rows = self.rollout.start(), self.student.read([prompt])
        text = self.rollout.read(rows)
        blocks = []
        for first in range(0, frames, self.block):
            block = range(first, first + self.block)
            counted = block.stop > frames - self.grad_frames
            made = self.rollout.block(
                memory, block, rows, text, noise, skipped=skipped, trained=trained and counted
            )
            self.rollout.remember(memory, block, made, text, noise)
            blocks.append(made)
        return torch.cat(blocks, dim=2)

    def _source(self, who: str, *index: int) -> NoiseSource:
        """The noise of one sample, as of a take with a seed of its own."""
        return CounterNoise(int(numbers(self.config.seed, f"{who} noise", *index).integers(MAX_SEED)))
