"""ModelScope's text-to-video, the published default of StreamingT2V's first clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from longtake.footage import Picture
from longtake.models.first_clip import as_frames, opened


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScope:
    """A `FirstClip` on diffusers' `TextToVideoSDPipeline`; the defaults are StreamingT2V's."""

    pipe: Any
    frames: int = 16
    size: int = 256
    """Height and width in pixels."""
    steps: int = 50
    guidance_scale: float = 9.0

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder, with the published solver (DPM-Solver++, second order) in place of its own scheduler."""
        from diffusers import DPMSolverMultistepScheduler, TextToVideoSDPipeline

        pipe = opened(TextToVideoSDPipeline, folder)
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        return cls(pipe=pipe)

    def make(self, prompt: str, *, seed: int) -> Picture:
        """See `FirstClip.make`."""
        made = self.pipe(
            prompt,
            num_frames=self.frames,
            height=self.size,
            width=self.size,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )
        return as_frames(made.frames[0])
