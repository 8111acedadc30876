"""Stable Video Diffusion (arXiv 2311.15127): a clip from a picture. The prompt plays no part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image, ImageOps

from longtake.footage import Picture, cover
from longtake.models.first_clip import as_frames, opened


@dataclass(frozen=True, kw_only=True, slots=True)
class StableVideo:
    """A `FirstClip` on diffusers' `StableVideoDiffusionPipeline`; the defaults are StreamingT2V's."""

    pipe: Any
    image: Picture
    """What it begins from, `uint8 [H, W, 3]`; scaled and cut to a square."""
    frames: int = 25
    """Frames that it makes."""
    kept: int = 16
    """Of these, the first ones that are used."""
    size: tuple[int, int] = (576, 1024)
    """Height and width in pixels; the square picture stands in the middle, black beside it, and is cut out again."""
    steps: int = 25
    decode_chunk: int = 8

    @classmethod
    def open(cls, folder: Path, image: Picture) -> Self:
        """Open a folder."""
        from diffusers import StableVideoDiffusionPipeline

        return cls(pipe=opened(StableVideoDiffusionPipeline, folder), image=image)

    def make(self, prompt: str, *, seed: int) -> Picture:
        """See `FirstClip.make`. A pipeline's own frame count and size are those it was trained for."""
        height, width = self.size
        square = Image.fromarray(cover(self.image, height, height))
        bars = (width - height) // 2
        made = self.pipe(
            ImageOps.expand(square, (bars, 0, width - height - bars, 0)),
            height=height,
            width=width,
            num_frames=self.frames,
            num_inference_steps=self.steps,
            decode_chunk_size=self.decode_chunk,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        )
        return as_frames(made.frames[0])[: self.kept, :, bars : bars + height]
