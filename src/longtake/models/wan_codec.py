"""The Wan VAE as a streaming codec: diffusers' `AutoencoderKLWan`, its feature caches held outside.

diffusers clears the caches before and after every call, so each call starts a new stream. Here the caches
live in the stream's state, and the encoder and decoder are stepped one latent frame at a time as diffusers
does inside one call. Encoding, a latent is the posterior's mean, normalised by the `latents_mean` and
`latents_std` of the VAE's config.

The causal convolutions keep their last two input frames. The temporal upsampling keeps the mark "Rep" after
the very first latent frame, which it passes through unchanged (one latent frame = one pixel frame), and
features later. A step frees each old cache as it writes the new one.

Source: Wan 2.1 (https://github.com/Wan-Video/Wan2.1) and diffusers' port of its VAE.
Shapes: B batch, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.codec import Codec, Slot, StreamState
from longtake.models.files import load_strict
from longtake.models.tensor_file import read_tensors
from longtake.models.vae_keymap import is_original, to_diffusers

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

__all__ = ["WAN_LATENTS_MEAN", "WAN_LATENTS_STD", "WanCodec"]

WAN_LATENTS_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
"""Mean of each channel of the Wan 2.1 VAE's latents."""
WAN_LATENTS_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
"""Deviation of each channel of the Wan 2.1 VAE's latents."""


class WanCodec(Codec):
    """An `AutoencoderKLWan` behind the streaming contract. The VAE itself is never changed.

    `raw_encode` leaves encoded latents as the VAE makes them, without mean and deviation, while decoding expects
    normalised ones: StreamDiffusionV2 feeds its network so. Every other model wants it off.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vae: AutoencoderKLWan, *, raw_encode: bool = False) -> None:
        super().__init__()
        config = vae.config
        for name in ("latents_mean", "latents_std"):
            if len(config[name]) != config["z_dim"]:
                raise UserError(
                    f"the VAE's {name} has {len(config[name])} entries for {config['z_dim']} channels; "
                    "give one per channel"
                )
        self.vae = vae.eval()
        self.raw_encode = raw_encode
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
    def from_pretrained(
        cls,
        path: str | Path,
        dtype: torch.dtype = torch.float32,
        *,
        raw_encode: bool = False,
        allow_pt: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> WanCodec:
        """Load a diffusers `vae` folder or the published file (`Wan2.1_VAE.pth`, or its tensors as safetensors).

        `config` are the sizes of a single file, in diffusers' words; the published VAE's if not given. `allow_pt`: true
        only where a person named this very path. Nothing is fetched.
        """
        path = Path(path)
        vae = _from_file(path, config or {}, allow_pt) if path.is_file() else _from_folder(path, dtype)
        return cls(vae.to(dtype).requires_grad_(False), raw_encode=raw_encode)

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        if self.patch > 1:
            from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

            pixels = patchify(pixels, self.patch)
        slots = _taken(stream, self._encoder_slots)
        moments = self.vae.quant_conv(self.vae.encoder(pixels, feat_cache=slots, feat_idx=[0]))
        stream.slots = _kept(slots)
        latent = moments[:, : self.latent_channels]
        return (
            latent if self.raw_encode else (latent - self.mean.to(latent.dtype)) / self.std.to(latent.dtype)
        )

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        slots = _taken(stream, self._decoder_slots)
        features = self.vae.post_quant_conv(latent * self.std.to(latent.dtype) + self.mean.to(latent.dtype))
        pixels = self.vae.decoder(features, feat_cache=slots, feat_idx=[0], first_chunk=stream.position == 0)
        stream.slots = _kept(slots)
        if self.patch > 1:
            from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

            pixels = unpatchify(pixels, self.patch)
        return pixels


def _from_folder(folder: Path, dtype: torch.dtype) -> AutoencoderKLWan:
    from diffusers import AutoencoderKLWan

    try:
        return AutoencoderKLWan.from_pretrained(folder, torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Wan VAE can be read from {folder} ({error}); give a diffusers vae folder or Wan2.1_VAE.pth"
        ) from error


def _from_file(path: Path, config: Mapping[str, Any], allow_pt: bool) -> AutoencoderKLWan:
    from diffusers import AutoencoderKLWan

    tensors = read_tensors(path, allow_pt=allow_pt)
    with torch.device("meta"):
        vae = AutoencoderKLWan(**config)
    if is_original(tensors):
        tensors = to_diffusers(tensors, num_res_blocks=vae.config["num_res_blocks"])
    load_strict(vae, tensors, source=path, assign=True)
    return vae


def _count_causal(module: nn.Module) -> int:
    """Cache slots the VAE counts through: one per causal convolution (1x1x1 shortcuts leave theirs empty)."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    return sum(isinstance(part, WanCausalConv3d) for part in module.modules())


def _taken(stream: StreamState, count: int) -> list[Slot]:
    """The stream's slots, for the VAE to write into: each old one is freed as soon as it is replaced."""
    if len(stream.slots) not in (0, count):
        raise UserError(
            f"this state has {len(stream.slots)} cache slots, this VAE {count}; restore it with its own model"
        )
    slots, stream.slots = stream.slots or [None] * count, []
    return slots


def _kept(slots: list[Slot]) -> list[Slot]:
    """Slots in the memory layout that a restored snapshot has too, so that both meet the same kernels."""
    return [slot.contiguous() if isinstance(slot, Tensor) else slot for slot in slots]
