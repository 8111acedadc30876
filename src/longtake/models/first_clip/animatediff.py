"""AnimateDiff (arXiv 2307.04725): a picture model with a motion adapter, saved as one pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from longtake.footage import Picture
from longtake.models.first_clip import as_frames, opened


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateDiff:
    """A `FirstClip` on diffusers' `AnimateDiffPipeline`; the defaults are StreamingT2V's."""

    pipe: Any
    frames: int = 16
    size: int = 512
    """Height and width in pixels."""
    steps: int = 25
    guidance_scale: float = 7.5
    negative_prompt: str = "bad quality, worse quality"

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder, with the published sampler (DDIM on linear betas, linspace timesteps)."""
        from diffusers import AnimateDiffPipeline, DDIMScheduler

        pipe = opened(AnimateDiffPipeline, folder)
        pipe.scheduler = DDIMScheduler.from_config(
            pipe.scheduler.config,
            beta_schedule="linear",
            timestep_spacing="linspace",
            steps_offset=1,
            clip_sample=False,
        )
        return cls(pipe=pipe)

    def make(self, prompt: str, *, seed: int) -> Picture:
        """See `FirstClip.make`."""
        made = self.pipe(
            prompt,
            negative_prompt=self.negative_prompt,
            num_frames=self.frames,
            height=self.size,
            width=self.size,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )
        return as_frames(made.frames[0])
