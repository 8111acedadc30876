"""A small codec that works at once: principal components of pixel patches, and a causal decoder on top.

The first pixel frame is cut into patches of 8x8 pixels, every later group of four frames into patches of
8x8x4 (the sizes come from the config). Each kind of patch is centred and projected on its own leading
principal components. Channels are then *half-whitened*: divided by the square root of their spread, so that a
generator neither drowns the fine channels nor spends itself on them as it would at unit variance each. One
overall factor brings the mean variance to 1. Decoding inverts this linear map and lets `PatchDecoder` correct
the picture.

The latent space is fixed by the closed form alone: training the decoder never changes it.

Shapes: B batch, F latent frames, T pixel frames, C latent channels, h w latent cells, P values of a patch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import convert_conv2d_weight_memory_format

from longtake.errors import UserError
from longtake.models.codec import Codec, StreamState
from longtake.models.files import load_strict, read_json, read_safetensors
from longtake.models.patch_decoder import PatchDecoder

__all__ = ["PatchBasis", "PatchCodec", "PatchCodecConfig"]

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
CONFIG_NAME = "config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchCodecConfig:
    """Sizes of a patch codec."""

    latent_channels: int = 24
    """Principal components kept of each patch."""
    spatial_stride: int = 8
    """Pixels per latent cell, down and across."""
    temporal_stride: int = 4
    """Pixel frames per latent frame after the first."""
    width: int = 64
    """Features of the decoder on the latent grid."""
    num_blocks: int = 3
    """Residual blocks of the decoder on the latent grid; each looks one latent frame back."""
    detail_channels: int = 8
    """Features handed from the latent grid to each pixel frame on the fine grid."""
    detail_width: int = 24
    """Features of the convolutions on the fine grid."""
    detail_scale: int = 2
    """Pixels per cell of the fine grid."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise UserError(f"patch codec: {name} is {value!r}; it must be a whole number of at least 1")
        if self.spatial_stride % self.detail_scale:
            raise UserError(
                f"patch codec: spatial_stride {self.spatial_stride} is not a multiple of detail_scale "
                f"{self.detail_scale}; the fine grid must divide a latent cell"
            )
        if self.latent_channels > 3 * self.spatial_stride**2:
            raise UserError(
                f"patch codec: {self.latent_channels} latent channels asked of patches of "
                f"{3 * self.spatial_stride**2} values; use at most as many"
            )


class PatchBasis(nn.Module):
    """The linear map of one kind of patch: `latent = scale * basis @ (patch - mean)` and its inverse."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, channels: int, frames: int, stride: int) -> None:
        super().__init__()
        self.frames, self.stride = frames, stride
        values = 3 * frames * stride**2
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("basis", torch.eye(channels, values))
        self.register_buffer("scale", torch.ones(channels))

    def patches(self, pixels: Tensor) -> Tensor:
        """`[B, 3, n * frames, H, W]` to `[B, n, h, w, P]`, P running over colour, frame, row, column."""
        batch, _, count, height, width = pixels.shape
        cut = pixels.reshape(
            batch,
            3,
            count // self.frames,
            self.frames,
            height // self.stride,
            self.stride,
            width // self.stride,
            self.stride,
        )
        return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)

    def pixels(self, patches: Tensor) -> Tensor:
        """`[B, n, h, w, P]` to `[B, n * frames, 3, H, W]`."""
        batch, count, rows, columns = patches.shape[:4]
        whole = patches.reshape(batch, count, rows, columns, 3, self.frames, self.stride, self.stride)
        whole = whole.permute(0, 1, 5, 4, 2, 6, 3, 7)
        return whole.reshape(batch, count * self.frames, 3, rows * self.stride, columns * self.stride)

    def analyse(self, pixels: Tensor) -> Tensor:
        """`[B, 3, n * frames, H, W]` to latents `[B, C, n, h, w]`."""
        weight = self.scale[:, None] * self.basis
        return F.linear(self.patches(pixels), weight, -(weight @ self.mean)).permute(0, 4, 1, 2, 3)

    def synthesise(self, latents_BFChw: Tensor) -> Tensor:
        """`[B, n, C, h, w]` to pictures `[B, n * frames, 3, H, W]`."""
        weight = self.basis.T / self.scale
        return self.pixels(F.linear(latents_BFChw.permute(0, 1, 3, 4, 2), weight, self.mean))


class PatchCodec(Codec):
    """The codec of mini. See the module's text; `patch_fit.fit_patch_codec` makes one from clips."""

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_channels = config.latent_channels
        self.spatial_stride = config.spatial_stride
        self.temporal_stride = config.temporal_stride
        self.first = PatchBasis(config.latent_channels, 1, config.spatial_stride)
        self.later = PatchBasis(config.latent_channels, config.temporal_stride, config.spatial_stride)
        self.decoder = PatchDecoder(**asdict(config))
        convert_conv2d_weight_memory_format(self.decoder, torch.channels_last)  # faster on CPU

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        return (self.later if stream.position else self.first).analyse(pixels)

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        history = [slot for slot in stream.slots if isinstance(slot, Tensor)] or None
        pictures, remembered = self._pictures(latent.transpose(1, 2), history)
        stream.slots = list(remembered)
        return pictures.transpose(1, 2)

    def reconstruct(self, latents: Tensor) -> Tensor:
        """Whole clips with gradients: `[B, C, F, h, w]` from a stream's start to `[B, 3, T, H, W]`, not
        clamped.

        Training uses it, and it is what streaming is tested against.
        """
        latents_BFChw = latents.transpose(1, 2)
        pictures, history = self._pictures(latents_BFChw[:, :1], None)
        if latents.shape[2] > 1:
            later, _ = self._pictures(latents_BFChw[:, 1:], history)
            pictures = torch.cat([pictures, later], dim=1)
        return pictures.transpose(1, 2)

    def closed_form(self, latents: Tensor) -> Tensor:
        """As `reconstruct`, by the linear map alone."""
        latents_BFChw = latents.transpose(1, 2)
        pictures = [self.first.synthesise(latents_BFChw[:, :1]), self.later.synthesise(latents_BFChw[:, 1:])]
        return torch.cat(pictures, dim=1).transpose(1, 2)

    def _pictures(self, latents_BFChw: Tensor, history: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        coarse = (self.first if history is None else self.later).synthesise(latents_BFChw)
        return self.decoder(latents_BFChw, coarse, history)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and the weights, stored as float16, in diffusers' layout."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"_class_name": type(self).__name__, **asdict(self.config)}
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tensors = {
            name: tensor.detach().to(torch.float16).contiguous() for name, tensor in self.state_dict().items()
        }
        save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PatchCodec:
        """Read what `save_pretrained` wrote; computes in float32. Missing or damaged files are a
        `UserError`."""
        folder = Path(folder)
        codec = cls(_read_config(folder / CONFIG_NAME, cls.__name__))
        tensors = read_safetensors(folder / WEIGHTS_NAME)
        load_strict(
            codec, {name: tensor.float() for name, tensor in tensors.items()}, source=folder / WEIGHTS_NAME
        )
        return codec.eval()


def _read_config(path: Path, class_name: str) -> PatchCodecConfig:
    values = read_json(path)
    given = values.pop("_class_name", None)
    if given != class_name:
        raise UserError(f"{path} describes a {given!r}; this loader reads {class_name}")
    unknown = sorted(set(values) - {field.name for field in fields(PatchCodecConfig)})
    if unknown:
        raise UserError(f"{path} has unknown fields: {', '.join(unknown)}; this version cannot read it")
    return PatchCodecConfig(**values)
