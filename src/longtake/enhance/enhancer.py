"""An enhancer, ready to use: a network, a codec, and what belongs to their weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.enhance.denoiser import Denoiser, Prompted
from longtake.enhance.enhancement import Enhancement
from longtake.enhance.live import Live
from longtake.enhance.opening import enhancer_in, find_enhancer, open_enhancer
from longtake.enhance.settings import EnhanceSettings
from longtake.enhance.spec import EnhancerSpec
from longtake.enhance.upscale import Canvas
from longtake.enhance.wavefront import Wavefront
from longtake.enhance.window import Course
from longtake.errors import UserError
from longtake.footage import Picture, read_frames
from longtake.models.codec import Codec
from longtake.models.text import TextEncoder
from longtake.sampling.noise import CounterNoise, check_seed
from longtake.timeline import Timeline


class Enhancer:
    """Makes videos larger and cleaner. Any number of enhancements can be made with it, each with its own state."""

    def __init__(self, spec: EnhancerSpec, denoiser: Denoiser[Any], codec: Codec) -> None:
        self.spec = spec
        self.denoiser = denoiser
        self.codec = codec

    @classmethod
    def from_pretrained(cls, model: str | Path, *, torch_dtype: torch.dtype | None = None) -> Enhancer:
        """The enhancer of a model, by the model's name or folder, or from a folder of its own.

        Raises UserError for a model that has none, naming those that have.
        """
        return cls(*open_enhancer(find_enhancer(model), torch_dtype))

    @classmethod
    def of_model(cls, folder: Path | None, name: str, codec: Codec, text_encoder: TextEncoder) -> Enhancer:
        """The enhancer in the folder of a model that is open already, whose codec and text encoder it shares."""
        return cls(*open_enhancer(enhancer_in(folder, name), codec=codec, text_encoder=text_encoder))

    def size(self, width: int, height: int, settings: EnhanceSettings | None = None) -> tuple[int, int]:
        """`(width, height)` that pictures of `width × height` become. UserError when that is off the grid."""
        multiple = self.codec.spatial_stride * self.denoiser.patch
        return (settings or EnhanceSettings()).size(self.spec, width, height, multiple)

    def stream(
        self,
        video: Iterable[Any],
        prompt: str | Timeline,
        *,
        fps: float,
        seed: int = 0,
        settings: EnhanceSettings | None = None,
    ) -> Enhancement:
        """Enhance a video while it comes in. Iterate the result for chunks.

        video: chunks (anything with `frames`, such as a running `Take`), arrays `uint8 [T, H, W, 3]`, or pictures.
        prompt: what is to be seen; of a timeline each window is made under the cue in force at its middle. fps: frames
        a second of the video, kept as they are. The first picture is taken at once, for its size. Raises UserError for
        values that cannot be used.
        """
        settings = settings or EnhanceSettings()
        prompts = _prompts(prompt)
        tiling, blending = settings.tiling(self.spec), settings.joined(self.spec)
        course = Course(
            tiling=tiling,
            blending=blending,
            levels=settings.levels(self.spec),
            solver=self.spec.schedule.solver,
            denoise=Prompted(self.denoiser, prompts, self.codec.temporal_stride / fps),
            noise=CounterNoise(check_seed(seed)),
            thresholds=blending.thresholds(seed, tiling.overlap),
            start_scale=self.spec.start_scale,
        )
        pictures, width, height = _measured(read_frames(_frames(video)))
        canvas = Canvas.around(*self.size(width, height, settings), width, height)
        stream = Wavefront(course) if settings.mode == "exact" else Live(course)
        return Enhancement(pictures, self.codec, stream, canvas=canvas, fps=fps, kernel=settings.kernel)


def _frames(video: Iterable[Any]) -> Iterator[Any]:
    """The pictures of chunks, and everything else as it is."""
    for item in video:
        yield item.frames if hasattr(item, "frames") else item


def _measured(pictures: Iterator[Picture]) -> tuple[Iterator[NDArray[np.uint8]], int, int]:
    """The pictures, their width and height."""
    first = next(pictures, None)
    if first is None:
        raise UserError("the video has no frames; give one with at least 1")
    return chain([first], pictures), first.shape[1], first.shape[0]


def _prompts(prompt: str | Timeline) -> Sequence[tuple[float, str]]:
    """Prompts and the media seconds at which they begin."""
    if isinstance(prompt, str):
        return [(0.0, prompt)]
    if any(cue.at_chunk for cue in prompt.cues):
        raise UserError("cues at a chunk cannot be placed in an enhanced video; give them `at` seconds")
    return [(cue.at or 0.0, cue.prompt) for cue in prompt.cues]
