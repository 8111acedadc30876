"""Sizes of a Wan transformer, and how the config files of its publishers spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from longtake.errors import UserError
from longtake.models.attention import Grid

ORIGINAL_NAMES = {
    "num_heads": "num_attention_heads",
    "in_dim": "in_channels",
    "out_dim": "out_channels",
    "ffn_dim": "ffn_dim",
    "freq_dim": "freq_dim",
    "text_dim": "text_dim",
    "num_layers": "num_layers",
    "eps": "eps",
    "patch_size": "patch_size",
}
"""Names in the `config.json` of Wan's own repositories, and diffusers'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WanConfig:
    """Sizes, with diffusers' names; the defaults are Wan2.1-T2V-1.3B."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 12
    attention_head_dim: int = 128
    in_channels: int = 16
    """Latent channels; image-to-video models have a mask and the picture's latents beside them."""
    out_channels: int = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 8960
    num_layers: int = 30
    cross_attn_norm: bool = True
    qk_norm: str = "rms_norm_across_heads"
    eps: float = 1e-6
    rope_max_seq_len: int = 1024
    image_dim: int | None = None
    """Width of the image tokens (CLIP) that cross-attention reads beside the text; None where there are none."""
    added_kv_proj_dim: int | None = None
    """Width in which cross-attention receives the image tokens: the model's own, or None with `image_dim`."""
    pos_embed_seq_len: int | None = None
    """Image tokens that have a learnt position (first and last frame to video); None: no positions."""

    def __post_init__(self) -> None:
        self._check_sizes()
        if self.patch_size[0] != 1:
            raise UserError(f"patch_size {self.patch_size}: streaming needs a temporal patch of 1")
        if self.attention_head_dim % 2 or self.attention_head_dim < 12:
            raise UserError(f"attention_head_dim {self.attention_head_dim}: must be even and at least 12")
        if self.qk_norm != "rms_norm_across_heads" or not self.cross_attn_norm:
            raise UserError(
                "only qk_norm 'rms_norm_across_heads' with cross_attn_norm true is known (Wan 2.1)"
            )
        if self.added_kv_proj_dim != (None if self.image_dim is None else self.dim):
            raise UserError(
                f"image_dim {self.image_dim} with added_kv_proj_dim {self.added_kv_proj_dim}: both are null, "
                f"or the second is the model's width, {self.dim}"
            )

    def _check_sizes(self) -> None:
        optional = {"image_dim", "added_kv_proj_dim", "pos_embed_seq_len"}
        sizes = {f.name: getattr(self, f.name) for f in fields(self) if f.type in ("int", "int | None")}
        sizes |= {f"patch_size[{i}]": size for i, size in enumerate(self.patch_size)}
        for name, size in sizes.items():
            if size is None and name in optional:
                continue
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise UserError(f"{name} {size!r} is not a size; a whole number from 1 is needed")
        if not isinstance(self.eps, float) or not 0 < self.eps < 1:
            raise UserError(f"eps {self.eps!r} is not a small positive number, such as 1e-6")

    @property
    def dim(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    def grid(self, height: int, width: int) -> Grid:
        """Tokens of a latent frame of `height × width`; refuses sizes that the patch does not divide."""
        _, ph, pw = self.patch_size
        if height % ph or width % pw:
            raise UserError(f"latent size {width}x{height} is not a multiple of the patch {pw}x{ph}")
        return Grid(height // ph, width // pw)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> WanConfig:
        """Read diffusers' `config.json`; keys that do not change the network are ignored."""
        return cls(**declared(config))

    def to_dict(self) -> dict[str, Any]:
        """Diffusers' `config.json`."""
        return {"_class_name": "WanTransformer3DModel"} | asdict(self)


def declared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `WanConfig` that a `config.json` of diffusers or of Wan itself sets.

    Empty when it describes something else. What it sets to null is left to be inferred or defaulted.
    """
    if "num_heads" in config and "dim" in config:
        values = {ours: config[theirs] for theirs, ours in ORIGINAL_NAMES.items() if theirs in config}
        values |= _head_dim(config)
    elif "attention_head_dim" in config or str(config.get("_class_name", "")).startswith("Wan"):
        known = {f.name for f in fields(WanConfig)}
        values = {key: value for key, value in config.items() if key in known}
    else:
        return {}
    values = {key: value for key, value in values.items() if value is not None}
    if "patch_size" in values:
        values["patch_size"] = _patch(values["patch_size"])
    return values


def _patch(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(isinstance(n, int) for n in value):
        raise UserError(
            f"config has patch_size {value!r}; three whole numbers (time, height, width) are needed"
        )
    return tuple(value)


def _head_dim(config: Mapping[str, Any]) -> dict[str, int]:
    dim, heads = config.get("dim"), config["num_heads"]
    if not isinstance(dim, int) or not isinstance(heads, int) or heads < 1 or dim % heads:
        raise UserError(f"config has dim {dim!r} and num_heads {heads!r}; the first must be a multiple")
    return {"attention_head_dim": dim // heads}
