"""The Wan VAE as a streaming codec: diffusers' `AutoencoderKLWan`, its feature caches held outside.

diffusers clears the caches before and after every call, so each call starts a new stream. Here the caches
live in the stream's state, and the encoder and decoder are stepped one latent frame at a time as diffusers
does inside one call. Encoding, a latent is the posterior's mean, normalised by the `latents_mean` and
`latents_std` of the VAE's config.

The causal convolutions keep their last two input frames. The temporal upsampling keeps the mark "Rep" after
the very first latent frame, which it passes through unchanged (one latent frame = one pixel frame), and
features later.

Source: Wan 2.1 (https://github.com/Wan-Video/Wan2.1) and diffusers' port of its VAE.
Shapes: B batch, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.codec import Codec, Slot, StreamState

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

__all__ = ["WanCodec"]


class WanCodec(Codec):
    """An `AutoencoderKLWan` behind the streaming contract. The VAE itself is never changed."""

    mean: Tensor
    std: Tensor

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        config = vae.config
        for name in ("latents_mean", "latents_std"):
            if len(config[name]) != config["z_dim"]:
                raise UserError(
                    f"the VAE's {name} has {len(config[name])} entries for {config['z_dim']} channels; "
                    "give one per channel"
                )
        self.vae = vae.eval()
        self.latent_channels = config["z_dim"]
        self.patch = config["patch_size"] or 1
        self.spatial_stride = self.patch * 2 ** (len(config["dim_mult"]) - 1)
        self.temporal_stride = 2 ** sum(config["temperal_downsample"])
        self.register_buffer(
            "mean", torch.tensor(config["latents_mean"]).view(1, -1, 1, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(config["latents_std"]).view(1, -1, 1, 1, 1), persistent=False
        )
        self._encoder_slots = _count_causal(vae.encoder)
        self._decoder_slots = _count_causal(vae.decoder)

    @classmethod
    def from_pretrained(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> WanCodec:
        """Load a diffusers `vae` folder from disk; nothing is fetched."""
        from diffusers import AutoencoderKLWan

        try:
            vae = AutoencoderKLWan.from_pretrained(folder, torch_dtype=dtype, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no Wan VAE can be read from {folder} ({error}); give a diffusers vae folder"
            ) from error
        return cls(vae)

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        if self.patch > 1:
            from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

            pixels = patchify(pixels, self.patch)
        slots = _slots(stream, self._encoder_slots)
        moments = self.vae.quant_conv(self.vae.encoder(pixels, feat_cache=slots, feat_idx=[0]))
        stream.slots = _kept(slots)
        return (moments[:, : self.latent_channels] - self.mean) / self.std

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        slots = _slots(stream, self._decoder_slots)
        features = self.vae.post_quant_conv(latent * self.std + self.mean)
        pixels = self.vae.decoder(features, feat_cache=slots, feat_idx=[0], first_chunk=stream.position == 0)
        stream.slots = _kept(slots)
        if self.patch > 1:
            from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

            pixels = unpatchify(pixels, self.patch)
        return pixels


def _count_causal(module: nn.Module) -> int:
    """Cache slots the VAE counts through: one per causal convolution (1x1x1 shortcuts leave theirs empty)."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    return sum(isinstance(part, WanCausalConv3d) for part in module.modules())


def _slots(stream: StreamState, count: int) -> list[Slot]:
    """A list that the VAE may write into; the stream keeps its own until the step has succeeded."""
    if len(stream.slots) not in (0, count):
        raise UserError(
            f"this state has {len(stream.slots)} cache slots, this VAE {count}; restore it with its own model"
        )
    return list(stream.slots) or [None] * count


def _kept(slots: list[Slot]) -> list[Slot]:
    """Slots in the memory layout that a restored snapshot has too, so that both meet the same kernels."""
    return [slot.contiguous() if isinstance(slot, Tensor) else slot for slot in slots]
