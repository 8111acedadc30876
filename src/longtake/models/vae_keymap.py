"""Names of the Wan 2.1 VAE's tensors: the published file's (`Wan2.1_VAE.pth`) and diffusers'.

Both hold the same tensors in the same shapes; only the names differ, so each map is a renaming. diffusers groups the
decoder's upsampling layers by level, the published file counts them through: the number of residual blocks a level
(three in the published VAE) is what tells one from the other.

Source: the layouts of https://github.com/Wan-Video/Wan2.1 and of diffusers' `AutoencoderKLWan`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from longtake.errors import UserError

__all__ = ["is_original", "to_diffusers", "to_original"]

Value = TypeVar("Value")

_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_STEMS = {
    "conv1": "quant_conv",
    "conv2": "post_quant_conv",
    **{
        f"{side}.{theirs}": f"{side}.{ours}"
        for side in ("encoder", "decoder")
        for theirs, ours in (
            ("conv1", "conv_in"),
            ("middle.0", "mid_block.resnets.0"),
            ("middle.1", "mid_block.attentions.0"),
            ("middle.2", "mid_block.resnets.1"),
            ("head.0", "norm_out"),
            ("head.2", "conv_out"),
        )
    },
}
_NAME = re.compile(
    r"(?P<stem>(?:encoder|decoder)\.(?:middle\.\d+|head\.\d+|conv1|downsamples\.\d+|upsamples\.\d+)|conv[12])"
    r"\.(?:(?P<part>residual\.\d+|shortcut)\.)?(?P<rest>.+)"
)


def is_original(names: Iterable[str]) -> bool:
    """Whether tensors are named as in the published file rather than as in diffusers."""
    return any(name.startswith(("encoder.downsamples.", "decoder.upsamples.")) for name in names)


def to_diffusers(state: Mapping[str, Value], *, num_res_blocks: int = 2) -> dict[str, Value]:
    """Rename tensors of the published file as diffusers names them.

    `num_res_blocks` is the VAE's own (the decoder has one more a level). Raises UserError for names that the published
    layout does not have, and names the first.
    """
    return {_renamed(name, num_res_blocks + 1): value for name, value in state.items()}


def to_original(state: Mapping[str, Value], *, num_res_blocks: int = 2) -> dict[str, Value]:
    """Rename diffusers' tensors as the published file names them: the inverse of `to_diffusers`."""
    return {_original(name, num_res_blocks + 1): value for name, value in state.items()}


def _renamed(name: str, blocks: int) -> str:
    match = _NAME.fullmatch(name)
    part = match["part"] if match else None
    if match is None or (part is not None and part not in _RESIDUAL):
        raise UserError(
            f"{name!r} is no tensor of a Wan 2.1 VAE; give Wan2.1_VAE.pth or a diffusers vae folder"
        )
    inner = "" if part is None else f"{_RESIDUAL[part]}."
    return f"{_stem(match['stem'], blocks)}.{inner}{match['rest']}"


def _stem(stem: str, blocks: int) -> str:
    """Where diffusers keeps a layer; a level of the decoder has `blocks` residual blocks and one upsampler."""
    side, _, index = stem.rpartition(".")
    if side == "encoder.downsamples":
        return f"encoder.down_blocks.{index}"
    if side == "decoder.upsamples":
        level, place = divmod(int(index), blocks + 1)
        return f"decoder.up_blocks.{level}." + (f"resnets.{place}" if place < blocks else "upsamplers.0")
    return _STEMS.get(stem, stem)


_PARTS_BACK = {ours: theirs for theirs, ours in _RESIDUAL.items()}
_STEMS_BACK = {ours: theirs for theirs, ours in _STEMS.items()}
_UP_BLOCK = re.compile(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)")
_DIFFUSERS_NAME = re.compile(
    r"(?P<stem>(?:encoder|decoder)\.(?:mid_block\.(?:resnets|attentions)\.\d+|norm_out|conv_out|conv_in"
    r"|down_blocks\.\d+|up_blocks\.\d+\.(?:resnets|upsamplers)\.\d+)|quant_conv|post_quant_conv)"
    r"\.(?:(?P<part>norm1|conv1|norm2|conv2|conv_shortcut)\.)?(?P<rest>.+)"
)


def _original(name: str, blocks: int) -> str:
    match = _DIFFUSERS_NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name!r} is no tensor of diffusers' AutoencoderKLWan for Wan 2.1")
    inner = "" if match["part"] is None else f"{_PARTS_BACK[match['part']]}."
    return f"{_stem_back(match['stem'], blocks)}.{inner}{match['rest']}"


def _stem_back(stem: str, blocks: int) -> str:
    if stem.startswith("encoder.down_blocks."):
        return stem.replace("down_blocks", "downsamples")
    if up := _UP_BLOCK.fullmatch(stem):
        level, kind, place = int(up[1]), up[2], int(up[3])
        return f"decoder.upsamples.{level * (blocks + 1) + (place if kind == 'resnets' else blocks)}"
    return _STEMS_BACK[stem]
