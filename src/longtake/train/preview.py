"""Sample sheets during training: whole clips of a few prompts by plain Euler steps with guidance.

For looking, not for measuring; the streaming engine makes the real thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.func import functional_call

from longtake.models.attention import WholeClip, block_causal_mask
from longtake.models.codec import Codec
from longtake.sampling.schedule import FlowSchedule
from longtake.train.counters import normal
from longtake.train.crops import Captions

if TYPE_CHECKING:
    from longtake.train.mini import Mini

__all__ = ["sample_sheet", "sheet"]

STEPS = 20
GUIDANCE = 3.0
COLUMNS = 8
LABEL = 14


def sample_sheet(
    recipe: Mini, weights: Mapping[str, Tensor], codec: Codec, prompts: Sequence[str], frames: int, path: Path
) -> None:
    """Sample each prompt once and write the clips as rows of a PNG."""
    latents = euler(recipe, weights, prompts, frames).cpu()
    pixels = codec.decode(latents, codec.start()).numpy()
    sheet(pixels, prompts).save(path)


def euler(recipe: Mini, weights: Mapping[str, Tensor], prompts: Sequence[str], frames: int) -> Tensor:
    """Latents `[B, C, F, h, w]`, block-causal mask, with guidance against the empty prompt."""
    channels, _, height, width = recipe.data.latent_shape
    device, count = recipe.compute.device, len(prompts)
    conditions = recipe.networks.conditions(
        Captions(
            texts=tuple((text,) for text in [*prompts, *[""] * count]),
            segment=np.zeros((2 * count, frames), int),
        )
    )
    rule = WholeClip(
        grid=recipe.grid,
        positions=tuple(range(frames)),
        mask=block_causal_mask(frames, recipe.config.block),
    )
    x = normal((count, channels, frames, height, width), recipe.config.seed, "preview", device=device)
    sigmas = FlowSchedule(recipe.config.noise.shift).uniform(STEPS)
    for sigma, following in pairwise(sigmas):
        timestep = torch.full((2 * count, frames), 1000 * sigma, device=device)
        inputs = (x.repeat(2, 1, 1, 1, 1), timestep, conditions, rule)
        with recipe.compute.autocast():
            told, untold = functional_call(recipe.networks, dict(weights), inputs).float().chunk(2)
        x = x + (following - sigma) * (untold + GUIDANCE * (told - untold))
    return x


def sheet(clips: np.ndarray, labels: Sequence[str]) -> Image.Image:
    """`uint8 [B, T, H, W, 3]` as one row a clip, up to eight frames evenly spread, the label above."""
    count, length, height, width = clips.shape[:4]
    columns = np.unique(np.linspace(0, length - 1, min(COLUMNS, length)).round().astype(int))
    page = Image.new(
        "RGB", (max(len(columns) * width, 6 * max(map(len, labels))), count * (height + LABEL)), "white"
    )
    draw = ImageDraw.Draw(page)
    for row, label in enumerate(labels):
        top = row * (height + LABEL)
        draw.text((2, top + 1), label, fill="black")
        for column, frame in enumerate(columns):
            page.paste(Image.fromarray(clips[row, frame]), (column * width, top + LABEL))
    return page
