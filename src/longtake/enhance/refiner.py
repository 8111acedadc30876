"""The network of the published refiner (MS-Vid2Vid-XL): ModelScope's 3-D UNet with other paddings.

Rows of its latents (90 for 720 pixels) do not halve three times. So the convolutions that halve pad two rows above and
below, which makes 90 → 46 → 24 → 13, and after doubling the first and the last row are cut off, which leads back:
13 → 24 → 46 → 90. Columns are padded by one, as usual. Every level must have an even number of rows, which rows that
are two more than a multiple of eight have.

Parameters carry diffusers' names; `refiner_name` translates those of the published file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.errors import UserError

ROWS = 8
"""Rows of the latents are this many times a whole number, plus `MORE`."""
MORE = 2
PUBLISHED_FILE = "non_ema_0035000.pth"
_PADDING = (2, 1)
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTSIDE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "input_blocks.0.1": "transformer_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": 0, "1": "attentions.0", "2": "temp_attentions.0", "3": 1}


class CroppedUpsample(nn.Module):
    """Doubles by repetition, cuts off the first and the last row, and convolves."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """`[N, C, H, W]` → `[N, C, 2H − 2, 2W]`; the size follows from the rows alone."""
        large = F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, 1:-1]
        out: Tensor = self.conv(large.contiguous())
        return out


def refiner_unet(config: Mapping[str, Any] | None = None) -> Any:
    """diffusers' `UNet3DConditionModel` with the refiner's paddings; None stands for the published sizes."""
    from diffusers import UNet3DConditionModel

    unet = UNet3DConditionModel(**(config or {}))
    for block in unet.down_blocks:
        for down in block.downsamplers or ():
            down.conv.padding = _PADDING
    for block in unet.up_blocks:
        if block.upsamplers is not None:
            block.upsamplers = nn.ModuleList(CroppedUpsample(up.conv) for up in block.upsamplers)
    return unet


def check_rows(rows: int, columns: int, cell: int) -> None:
    """Refuse latents that the network cannot halve and double back; `cell` pixels a latent cell."""
    if rows % ROWS != MORE or columns % ROWS:
        high = (max(0, round((rows - MORE) / ROWS)) * ROWS + MORE) * cell
        wide = max(1, round(columns / ROWS)) * ROWS * cell
        raise UserError(
            f"size {columns * cell}x{rows * cell} cannot be made by the refiner: its height must be "
            f"{MORE * cell} more than a multiple of {ROWS * cell}, its width a multiple of {ROWS * cell}; "
            f"use {wide}x{high}"
        )


def refiner_state(state: Mapping[str, Tensor], layers_per_block: int = 2) -> dict[str, Tensor]:
    """A published state dict under diffusers' names, temporal projections as linear layers."""
    renamed = {refiner_name(name, layers_per_block): value for name, value in state.items()}
    return {name: _squeezed(name, value) for name, value in renamed.items()}


def _squeezed(name: str, value: Tensor) -> Tensor:
    temporal = "temp_attentions" in name or name.startswith("transformer_in")
    if temporal and re.search(r"\.proj_(in|out)\.weight$", name) and value.ndim == 3:
        return value.squeeze(-1)
    return value


def refiner_name(name: str, layers_per_block: int = 2) -> str:
    """diffusers' name of a parameter of the published file."""
    for old, new in _OUTSIDE.items():
        if name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    kind, *rest = name.split(".")
    if kind == "middle_block":
        return _middle(rest)
    if kind == "input_blocks":
        number, part = int(rest[0]) - 1, rest[1:]
        block, layer = divmod(number, layers_per_block + 1)
        if part[0] == "op":
            return f"down_blocks.{block}.downsamplers.0.conv.{part[1]}"
        return _layer(f"down_blocks.{block}", layer, part)
    if kind == "output_blocks":
        block, layer = divmod(int(rest[0]), layers_per_block + 1)
        if rest[2] == "conv":
            return f"up_blocks.{block}.upsamplers.0.conv.{rest[3]}"
        return _layer(f"up_blocks.{block}", layer, rest[1:])
    raise UserError(f"{name} is no parameter of the published refiner; give its own file")


def _layer(block: str, layer: int, part: list[str]) -> str:
    """Parameter `part` (its module's number first) of a layer: 0 convolutions, 1 spatial, 2 temporal attention."""
    where, tail = part[0], part[1:]
    if where == "0":
        return _convolutions(block, layer, tail)
    return f"{block}.{'attentions' if where == '1' else 'temp_attentions'}.{layer}.{'.'.join(tail)}"


def _middle(rest: list[str]) -> str:
    place = _MIDDLE[rest[0]]
    if isinstance(place, int):
        return _convolutions("mid_block", place, rest[1:])
    return f"mid_block.{place}.{'.'.join(rest[1:])}"


def _convolutions(block: str, layer: int, tail: list[str]) -> str:
    if tail[0] == "temopral_conv":  # as it is spelt in the file
        return f"{block}.temp_convs.{layer}.{'.'.join(tail[1:])}"
    name = ".".join(tail)
    for old, new in _RESNET.items():
        if name.startswith(f"{old}."):
            return f"{block}.resnets.{layer}.{new}{name.removeprefix(old)}"
    raise UserError(f"{name} is no parameter of the published refiner; give its own file")


def fill_refiner(unet: nn.Module, state: Mapping[str, Tensor], source: Any, dtype: torch.dtype) -> None:
    """Give an outline of the network the weights of a file, under published names or diffusers'."""
    from longtake.models.files import load_strict

    published = any(name.startswith("input_blocks.") for name in state)
    named = refiner_state(state) if published else dict(state)
    load_strict(unet, {name: value.to(dtype) for name, value in named.items()}, source=source, assign=True)
