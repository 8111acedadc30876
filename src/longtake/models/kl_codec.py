"""Stable Diffusion's picture VAE as a codec: every frame by itself, so nothing is carried from one to the next.

diffusers' `AutoencoderKL`; encoding, a latent is the posterior's mode.
Shapes: B batch, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from longtake.models.codec import Codec, StreamState
from longtake.models.containers import open_container
from longtake.models.files import load_strict, read_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

__all__ = ["CLASS_NAME", "SD_VAE", "KlCodec", "modern_names"]

CLASS_NAME = "AutoencoderKL"
SD_VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
"""Sizes of Stable Diffusion's VAE."""
_OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class KlCodec(Codec):
    """See the module's text."""

    temporal_stride = 1

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.latent_channels = int(vae.config.latent_channels)
        self.spatial_stride = 2 ** (len(vae.config.block_out_channels) - 1)
        self.scale = float(vae.config.scaling_factor)

    @classmethod
    def blank(cls, config: Mapping[str, Any] | None = None) -> KlCodec:
        """Without contents (on the meta device); None stands for Stable Diffusion's."""
        from diffusers import AutoencoderKL

        with torch.device("meta"):
            vae = AutoencoderKL.from_config(dict(config or SD_VAE))
        return cls(vae.eval().requires_grad_(False))

    @classmethod
    def from_pretrained(cls, folder: Path, dtype: torch.dtype, *, allow_pt: bool = False) -> KlCodec:
        """Read a diffusers folder. Raises UserError when it is missing, damaged or does not fit."""
        codec = cls.blank(read_json(folder / "config.json"))
        codec.fill(open_container(folder, allow_pt=allow_pt).tensors, folder, dtype)
        return codec

    def fill(self, state: Mapping[str, Tensor], source: Path, dtype: torch.dtype) -> None:
        """Take these weights, under old names or new. Raises UserError when they do not fit."""
        load_strict(self.vae, modern_names(state), source=source, assign=True)
        self.vae.requires_grad_(False).to(dtype)

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        """See `Codec.encode_step`."""
        latent: Tensor = self.vae.encode(pixels[:, :, 0]).latent_dist.mode()
        return (latent * self.scale)[:, :, None]

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        """See `Codec.decode_step`."""
        pixels: Tensor = self.vae.decode(latent[:, :, 0] / self.scale).sample
        return pixels[:, :, None]


def modern_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's tensors under today's names of its attention; older files say `query`, `key`, `value`, `proj_attn`."""
    return {_modern(name): tensor for name, tensor in state.items()}


def _modern(name: str) -> str:
    for old, new in _OLD.items():
        if ".attentions." in name:
            name = name.replace(old, new)
    return name
