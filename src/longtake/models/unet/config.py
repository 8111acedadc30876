"""Sizes of a 3-D UNet, in diffusers' words, and of what StreamingT2V adds to it. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from longtake.errors import UserError

CLASS_NAME = "StreamingUNet"


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """The defaults are those of the published network (ModelScope's UNet, arXiv 2308.06571; StreamingT2V's sizes)."""

    in_channels: int = 4
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Channels of each level; all but the last halve the picture and attend to the text."""
    layers_per_block: int = 2
    cross_attention_dim: int = 1024
    """Channels of a text token, and of an image token."""
    attention_head_dim: int = 64
    """Channels of a head, everywhere."""
    norm_num_groups: int = 32

    video_length: int = 16
    """Latent frames of a clip."""
    condition_length: int = 8
    """Latent frames of a clip that show again what came before (short-term memory)."""
    condition_channels: tuple[int, ...] = (32, 96, 256, 512)
    """Channels of the frame encoder; each but the first halves the picture."""
    condition_norm: bool = False
    """Whether the frame encoder has layer norms: StreamingSVD's has, StreamingT2V's release has not."""
    text_tokens: int = 77
    image_tokens: int = 16
    """Tokens that an anchor becomes (long-term memory)."""
    image_embedding_dim: int = 1024
    """Channels of an image's embedding."""
    token_hidden_dim: int = 1280
    """Hidden channels of what makes tokens of an embedding."""

    def __post_init__(self) -> None:
        if any(channels % self.attention_head_dim for channels in self.block_out_channels):
            raise UserError(
                f"channels {list(self.block_out_channels)} are not all multiples of heads of "
                f"{self.attention_head_dim}; correct the network's config"
            )
        if not 0 < self.condition_length < self.video_length:
            raise UserError(
                f"a clip of {self.video_length} frames cannot begin with {self.condition_length} known ones; "
                "correct the network's config"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UNetConfig:
        """Read a `config.json`; keys of diffusers that do not concern us are passed over."""
        known = {field.name for field in fields(cls)}
        chosen: dict[str, Any] = {key: value for key, value in values.items() if key in known}
        lists = {key: tuple(value) for key, value in chosen.items() if isinstance(value, list)}
        return cls(**(chosen | lists))

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`."""
        return {"_class_name": CLASS_NAME, **asdict(self)}

    @property
    def stock(self) -> dict[str, Any]:
        """Arguments of diffusers' `UNet3DConditionModel`."""
        levels = len(self.block_out_channels)
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "cross_attention_dim": self.cross_attention_dim,
            "attention_head_dim": self.attention_head_dim,
            "norm_num_groups": self.norm_num_groups,
            "down_block_types": ("CrossAttnDownBlock3D",) * (levels - 1) + ("DownBlock3D",),
            "up_block_types": ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * (levels - 1),
        }

    @property
    def skip_channels(self) -> tuple[int, ...]:
        """Channels of each skip connection, from the first convolution to the deepest level."""
        first, *_ = self.block_out_channels
        inside = []
        for level, channels in enumerate(self.block_out_channels):
            is_last = level == len(self.block_out_channels) - 1
            inside += [channels] * (self.layers_per_block + (not is_last))
        return (first, *inside)

    @property
    def new_length(self) -> int:
        """Latent frames that a clip adds to the video."""
        return self.video_length - self.condition_length

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """Frames, rows and columns of latents that must be whole: a picture is halved once a level."""
        side = 2 ** (len(self.block_out_channels) - 1)
        return 1, side, side

    @property
    def frame_stride(self) -> int:
        """Pixels a latent cell, as the frame encoder sees it."""
        return int(2 ** (len(self.condition_channels) - 1))
