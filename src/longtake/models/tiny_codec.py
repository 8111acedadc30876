"""The tiny autoencoder TAEHV as a streaming codec: a fast stand-in for the Wan VAE (weights `taew2_1`).

Plain 2-D convolutions; time enters through memory blocks, which see their own input of the time step before, and
through layers that merge or split time steps. Inside, pixels are in [0, 1] and latents are those of the generator:
no mean, no deviation. The "lighttae" weights of the same shape work on the Wan VAE's own latents instead and need both;
`latents_mean` and `latents_std` of the config say so.

Carrying every memory block's last input over makes streaming exact. The decoder makes four frames of every latent
frame; the first three of a stream are dropped, so that the first latent frame stands for one pixel frame. The
encoder does the mirror image: the first pixel frame is taken four times. What comes out is therefore what the reference
makes of a clip whose first frame is given three times more. (For a clip of 1 + 4(n - 1) frames as it is, the reference
repeats the *last* frame and so looks three frames ahead, which a stream cannot.)

Source: https://github.com/madebyollin/taehv (MIT).
Shapes: B batch, F time steps, N = B * F pictures, D features, C latent channels, H W pixels, h w rows and columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from longtake.errors import UserError
from longtake.models.codec import Codec, StreamState
from longtake.models.files import load_strict, read_json
from longtake.models.tensor_file import read_tensors
from longtake.models.wan_codec import WAN_LATENTS_MEAN, WAN_LATENTS_STD

__all__ = ["LIGHT_TAE", "TinyCodec", "TinyCodecConfig"]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyCodecConfig:
    """Sizes of a tiny autoencoder; the defaults are those of `taew2_1`."""

    latent_channels: int = 16
    """Channels of a latent frame."""
    encoder_width: int = 64
    """Features of the encoder."""
    decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    """Features of the decoder's three stages and of its end."""
    memory_blocks: int = 3
    """Memory blocks of a stage."""
    merged: tuple[int, int, int] = (2, 2, 1)
    """Time steps that each stage of the encoder makes one of."""
    grown: tuple[int, int, int] = (1, 2, 2)
    """Time steps that each stage of the decoder makes of one."""
    latents_mean: tuple[float, ...] = ()
    """Per channel, for weights that work on the VAE's own latents; empty for those that work on the generator's."""
    latents_std: tuple[float, ...] = ()
    """As `latents_mean`."""

    def __post_init__(self) -> None:
        if self.stride_in_time(self.merged) != self.stride_in_time(self.grown):
            raise UserError(
                f"tiny codec: merged {self.merged} and grown {self.grown} time steps differ; "
                "a codec gives back as many frames as it took"
            )
        for name in ("latents_mean", "latents_std"):
            if len(getattr(self, name)) not in (0, self.latent_channels):
                raise UserError(
                    f"tiny codec: {name} has {len(getattr(self, name))} entries for {self.latent_channels} channels; "
                    "give one per channel, or none"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TinyCodecConfig:
        """From plain values, whose lists become tuples."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields)

    @staticmethod
    def stride_in_time(factors: tuple[int, int, int]) -> int:
        """Pixel frames per latent frame."""
        return factors[0] * factors[1] * factors[2]


LIGHT_TAE = TinyCodecConfig(latents_mean=WAN_LATENTS_MEAN, latents_std=WAN_LATENTS_STD)
"""The "lighttae" weights: the same shape, on the Wan VAE's own latents."""


def _conv(channels_in: int, channels_out: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, stride=stride, bias=bias)


class _SoftClamp(nn.Module):
    """Keeps latents within ±3, smoothly."""

    def forward(self, x_BFDhw: Tensor) -> Tensor:
        return 3 * torch.tanh(x_BFDhw / 3)


class _MemoryBlock(nn.Module):
    """A residual block that also sees its own input of one time step ago."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)
        )

    def forward(self, x_BFDhw: Tensor, before_BDhw: Tensor) -> Tensor:
        past = torch.cat([before_BDhw.unsqueeze(1), x_BFDhw[:, :-1]], dim=1)
        seen = torch.cat([x_BFDhw, past], dim=2)
        return F.relu(self.conv(seen.flatten(0, 1)).unflatten(0, x_BFDhw.shape[:2]) + x_BFDhw)


class _Merge(nn.Module):
    """Makes one time step of `steps`."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(steps * width, width, 1, bias=False)

    def forward(self, x_BFDhw: Tensor) -> Tensor:
        batch, count, width, rows, columns = x_BFDhw.shape
        merged = x_BFDhw.reshape(batch * count // self.steps, self.steps * width, rows, columns)
        return self.conv(merged).unflatten(0, (batch, count // self.steps))


class _Grow(nn.Module):
    """Makes `steps` time steps of one."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(width, steps * width, 1, bias=False)

    def forward(self, x_BFDhw: Tensor) -> Tensor:
        batch, count, width, rows, columns = x_BFDhw.shape
        grown = self.conv(x_BFDhw.flatten(0, 1))
        return grown.reshape(batch, count * self.steps, width, rows, columns)


def _encoder(config: TinyCodecConfig) -> nn.Sequential:
    width = config.encoder_width
    layers: list[nn.Module] = [_conv(3, width), nn.ReLU()]
    for steps in config.merged:
        layers += [_Merge(width, steps), _conv(width, width, stride=2, bias=False)]
        layers += [_MemoryBlock(width) for _ in range(config.memory_blocks)]
    return nn.Sequential(*layers, _conv(width, config.latent_channels))


def _decoder(config: TinyCodecConfig) -> nn.Sequential:
    widths = config.decoder_widths
    layers: list[nn.Module] = [_SoftClamp(), _conv(config.latent_channels, widths[0]), nn.ReLU()]
    for width, following, steps in zip(widths, widths[1:], config.grown, strict=False):
        layers += [_MemoryBlock(width) for _ in range(config.memory_blocks)]
        layers += [nn.Upsample(scale_factor=2), _Grow(width, steps), _conv(width, following, bias=False)]
    return nn.Sequential(*layers, nn.ReLU(), _conv(widths[-1], 3))


def _through(layers: nn.Sequential, x_BFDhw: Tensor, stream: StreamState) -> Tensor:
    """Run the layers over some time steps; the stream's slots are what each memory block saw last."""
    befores = [slot for slot in stream.slots if isinstance(slot, Tensor)]
    remembered: list[Tensor] = []
    for layer in layers:
        if isinstance(layer, _MemoryBlock):
            before = befores[len(remembered)] if befores else torch.zeros_like(x_BFDhw[:, 0])
            remembered.append(x_BFDhw[:, -1].clone())
            x_BFDhw = layer(x_BFDhw, before)
        elif isinstance(layer, _Merge | _Grow):
            x_BFDhw = layer(x_BFDhw)
        else:
            x_BFDhw = layer(x_BFDhw.flatten(0, 1)).unflatten(0, x_BFDhw.shape[:2])
    stream.slots = list(remembered)
    return x_BFDhw


class TinyCodec(Codec):
    """A tiny autoencoder behind the streaming contract; its tensors carry the names of the published file.

    `raw_encode` gives encoded latents in the Wan VAE's own space, without mean and deviation; see `WanCodec`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TinyCodecConfig | None = None, *, raw_encode: bool = False) -> None:
        super().__init__()
        self.raw_encode = raw_encode
        self.config = config = config or TinyCodecConfig()
        self.latent_channels = config.latent_channels
        self.spatial_stride = 2 ** len(config.grown)
        self.temporal_stride = config.stride_in_time(config.grown)
        self.encoder = _encoder(config)
        self.decoder = _decoder(config)
        mean = config.latents_mean or (0.0,) * config.latent_channels
        std = config.latents_std or (1.0,) * config.latent_channels
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1, 1), persistent=False)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        dtype: torch.dtype = torch.float32,
        *,
        config: TinyCodecConfig | None = None,
        allow_pt: bool = False,
        raw_encode: bool = False,
    ) -> TinyCodec:
        """Load a folder that `save_pretrained` wrote, or the published file (`taew2_1.pth`, `.safetensors`).

        `config` are the sizes of a single file; those of `taew2_1` if not given. `allow_pt`: true only where a person
        named this very path. Raises UserError for what is missing, damaged or of other sizes.
        """
        path = Path(path)
        if path.is_dir():
            config = _read_config(path / CONFIG_NAME)
            path /= WEIGHTS_NAME
        codec = cls(config, raw_encode=raw_encode)
        tensors = _cut_growth(read_tensors(path, allow_pt=allow_pt), codec.decoder)
        load_strict(codec, tensors, source=path)
        return codec.to(dtype).eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and the weights in the dtype that they have."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"_class_name": type(self).__name__, **asdict(self.config)}
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(self.state_dict(), folder / WEIGHTS_NAME, metadata={"format": "pt"})

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        if stream.position == 0:
            pixels = pixels.expand(-1, -1, self.temporal_stride, -1, -1)
        latent = _through(self.encoder, (pixels.transpose(1, 2) + 1) / 2, stream).transpose(1, 2)
        if self.raw_encode:
            return latent if self.config.latents_std else _as_the_vae(latent)
        return (latent - self.mean.to(latent.dtype)) / self.std.to(latent.dtype)

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        latent = latent * self.std.to(latent.dtype) + self.mean.to(latent.dtype)
        pixels = _through(self.decoder, latent.transpose(1, 2), stream)
        first = self.temporal_stride - 1 if stream.position == 0 else 0
        return 2 * pixels[:, first:].transpose(1, 2) - 1


def _as_the_vae(latent: Tensor) -> Tensor:
    """Latents of the generator in the Wan VAE's own space."""
    mean, std = (latent.new_tensor(each)[:, None, None, None] for each in (WAN_LATENTS_MEAN, WAN_LATENTS_STD))
    return latent * std + mean


def _cut_growth(tensors: dict[str, Tensor], decoder: nn.Sequential) -> dict[str, Tensor]:
    """Published weights can grow time by more than the decoder does: the last time step is the one to keep."""
    cut = dict(tensors)
    for index, layer in enumerate(decoder):
        name = f"decoder.{index}.conv.weight"
        if isinstance(layer, _Grow) and name in cut and cut[name].ndim == 4:
            cut[name] = cut[name][-layer.conv.out_channels :]
    return cut


def _read_config(path: Path) -> TinyCodecConfig:
    values = read_json(path)
    given = values.pop("_class_name", None)
    if given != TinyCodec.__name__:
        raise UserError(f"{path} describes a {given!r}; this loader reads {TinyCodec.__name__}")
    unknown = sorted(set(values) - {field.name for field in fields(TinyCodecConfig)})
    if unknown:
        raise UserError(f"{path} has unknown fields: {', '.join(unknown)}; this version cannot read it")
    return TinyCodecConfig.from_dict(values)
