"""The Wan 2.1 video transformer, at any size (Wan Team, arXiv 2503.20314).

One set of weights and one forward; which frames see which is an `AttentionRule` (see `attention.py`): the whole clip,
block-causal training, or a block beside a KV cache. Parameters carry the names of diffusers'
`WanTransformer3DModel`, so a saved folder opens in either.

Shapes: B batch, C latent channels, T latent frames, N tokens a frame, L text tokens, S captions, M model channels.
The prediction is the flow velocity `noise − x0` for `x_t = (1−σ)·x0 + σ·noise`; timesteps are 1000·σ.
Not covered: the image-to-video variant's CLIP tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.attention import AttentionRule, Grid, KeyValue, WholeClip, attend
from longtake.models.files import load_strict, read_json, read_safetensors

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class WanConfig:
    """Sizes, with diffusers' names; the defaults are Wan2.1-T2V-1.3B."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = 12
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 8960
    num_layers: int = 30
    cross_attn_norm: bool = True
    qk_norm: str = "rms_norm_across_heads"
    eps: float = 1e-6
    rope_max_seq_len: int = 1024

    def __post_init__(self) -> None:
        if self.patch_size[0] != 1:
            raise UserError(f"patch_size {self.patch_size}: streaming needs a temporal patch of 1")
        if self.attention_head_dim % 2 or self.attention_head_dim < 12:
            raise UserError(f"attention_head_dim {self.attention_head_dim}: must be even and at least 12")
        if self.qk_norm != "rms_norm_across_heads" or not self.cross_attn_norm:
            raise UserError(
                "only qk_norm 'rms_norm_across_heads' with cross_attn_norm true is known (Wan 2.1)"
            )

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
        """Read diffusers' `config.json`; keys that do not change the text-to-video network are ignored."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in config.items() if key in known}
        if config.get("image_dim") is not None or config.get("added_kv_proj_dim") is not None:
            raise UserError("this transformer is an image-to-video variant, which is not supported yet")
        return cls(**{**values, "patch_size": tuple(values.get("patch_size", (1, 2, 2)))})


class TextContext(NamedTuple):
    """Cross-attention keys and values of the captions, one entry a layer, each `[B, S, L, H, D]`."""

    layers: tuple[KeyValue, ...]


class Modulation(NamedTuple):
    """Shift, scale and gate of one sub-layer, each `[B, T, 1, M]`."""

    shift: Tensor
    scale: Tensor
    gate: Tensor


def sinusoid(timestep: Tensor, dim: int) -> Tensor:
    """`[..., ] → [..., dim]`: cosines first, then sines, of t·10000^(−k/(dim/2)), in float64."""
    k = torch.arange(dim // 2, dtype=torch.float64, device=timestep.device)
    angle = timestep.double()[..., None] * 10000.0 ** (-k / (dim // 2))
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class MLP(nn.Module):
    """linear_1 → activation → linear_2."""

    def __init__(self, inner: int, outer: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inner, outer)
        self.act = activation
        self.linear_2 = nn.Linear(outer, outer)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(self.act(self.linear_1(x)))
        return out


class ConditionEmbedder(nn.Module):
    """Timesteps and text into the model's width."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.freq_dim = config.freq_dim
        self.time_embedder = MLP(config.freq_dim, config.dim, nn.SiLU())
        self.time_proj = nn.Linear(config.dim, 6 * config.dim)
        self.text_embedder = MLP(config.text_dim, config.dim, nn.GELU(approximate="tanh"))

    def forward(self, timestep_BT: Tensor) -> tuple[Tensor, Tensor]:
        """→ time embedding `[B, T, M]` (for the head) and its projection `[B, T, 6, M]` (for the blocks)."""
        dtype = self.time_proj.weight.dtype
        embedding = self.time_embedder(sinusoid(timestep_BT, self.freq_dim).to(dtype))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))


class Attention(nn.Module):
    """Projections of one attention layer; queries and keys are RMS-normed over all heads together."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        dim = config.dim
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q = nn.RMSNorm(dim, eps=config.eps)
        self.norm_k = nn.RMSNorm(dim, eps=config.eps)

    def query(self, x: Tensor) -> Tensor:
        return self._split(self.norm_q(self.to_q(x)))

    def key_value(self, x: Tensor) -> KeyValue:
        return KeyValue(self._split(self.norm_k(self.to_k(x))), self._split(self.to_v(x)))

    def out(self, x: Tensor) -> Tensor:
        projected: Tensor = self.to_out[0](x.flatten(-2))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


class GeluProjection(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inner, outer)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GeluProjection(dim, inner), nn.Identity(), nn.Linear(inner, dim)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))
        return out


class WanBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; tokens are `[B, T, N, M]`."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.attn1 = Attention(config)
        self.norm2 = nn.LayerNorm(dim, eps)
        self.attn2 = Attention(config)
        self.norm3 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = FeedForward(dim, config.ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        text: KeyValue,
        segment_BT: Tensor | None,
        rule: AttentionRule,
        layer: int,
    ) -> Tensor:
        attention, feed = self._modulation(time)
        x = x + attention.gate * self._self_attention(modulate(self.norm1(x), attention), rule, layer)
        x = x + self._cross_attention(self.norm2(x), text, segment_BT)
        return x + feed.gate * self.ffn(modulate(self.norm3(x), feed))

    def _modulation(self, time: Tensor) -> tuple[Modulation, Modulation]:
        parts = (self.scale_shift_table + time)[:, :, None].unbind(3)
        return Modulation(*parts[:3]), Modulation(*parts[3:])

    def _self_attention(self, x: Tensor, rule: AttentionRule, layer: int) -> Tensor:
        tokens = x.flatten(1, 2)
        k, v = self.attn1.key_value(tokens)
        return self.attn1.out(rule(layer, self.attn1.query(tokens), k, v)).view_as(x)

    def _cross_attention(self, x: Tensor, text: KeyValue, segment_BT: Tensor | None) -> Tensor:
        if segment_BT is None:
            return self.attn2.out(
                attend(self.attn2.query(x.flatten(1, 2)), text.k[:, 0], text.v[:, 0])
            ).view_as(x)
        batch = torch.arange(x.shape[0], device=x.device)[:, None]
        k, v = (part[batch, segment_BT].flatten(0, 1) for part in text)
        return self.attn2.out(attend(self.attn2.query(x.flatten(0, 1)), k, v)).view_as(x)


def modulate(x: Tensor, m: Modulation) -> Tensor:
    return x * (1 + m.scale) + m.shift


class WanTransformer(nn.Module):
    """Latents, a timestep per latent frame and text → flow velocity."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.config = config
        patch, dim = config.patch_size, config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, patch, stride=patch)
        self.condition_embedder = ConditionEmbedder(config)
        self.blocks = nn.ModuleList(WanBlock(config) for _ in range(config.num_layers))
        self.norm_out = nn.LayerNorm(dim, config.eps, elementwise_affine=False)
        self.proj_out = nn.Linear(dim, config.out_channels * patch[0] * patch[1] * patch[2])
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(
        self,
        latents_BCTHW: Tensor,
        timestep_BT: Tensor,
        text: Tensor | TextContext,
        *,
        attention: AttentionRule | None = None,
        segment_BT: Tensor | None = None,
    ) -> Tensor:
        """Velocity `[B, C, T, H, W]`.

        timestep_BT: 1000·σ of each latent frame. text: `[B, L, text_dim]`, or `[B, S, L, text_dim]` with
        `segment_BT` saying which of the S captions each latent frame reads, or a `text_context` made before.
        attention: default is the whole clip, bidirectional.
        """
        grid = self.config.grid(*latents_BCTHW.shape[-2:])
        rule = attention or WholeClip(grid=grid, positions=tuple(range(latents_BCTHW.shape[2])))
        context = text if isinstance(text, TextContext) else self.text_context(text)
        x = self._patchify(latents_BCTHW)
        embedding, time = self.condition_embedder(timestep_BT)
        for layer, block in enumerate(self.blocks):
            x = block(x, time, context.layers[layer], segment_BT, rule, layer)
        shift, scale = (self.scale_shift_table + embedding[:, :, None]).unbind(2)
        x = self.proj_out(self.norm_out(x) * (1 + scale[:, :, None]) + shift[:, :, None])
        return self._unpatchify(x, grid)

    def text_context(self, text: Tensor) -> TextContext:
        """Keys and values of every layer for `text [B, L, text_dim]` or `[B, S, L, text_dim]`.

        All L positions are attended, padding too: that is how Wan was trained.
        """
        captions = text[:, None] if text.ndim == 3 else text
        hidden = self.condition_embedder.text_embedder(captions.to(self.dtype))
        layers = (cast(WanBlock, block).attn2.key_value(hidden) for block in self.blocks)
        return TextContext(tuple(layers))

    @property
    def dtype(self) -> torch.dtype:
        return self.proj_out.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.proj_out.weight.device

    def _patchify(self, latents_BCTHW: Tensor) -> Tensor:
        x: Tensor = self.patch_embedding(latents_BCTHW)
        return x.permute(0, 2, 3, 4, 1).flatten(2, 3)

    def _unpatchify(self, x: Tensor, grid: Grid) -> Tensor:
        _, ph, pw = self.config.patch_size
        x = x.unflatten(-1, (ph, pw, -1)).unflatten(2, grid)
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def save_pretrained(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write a folder that diffusers' `WanTransformer3DModel.from_pretrained` opens."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"_class_name": "WanTransformer3DModel", "image_dim": None, "added_kv_proj_dim": None}
        (folder / CONFIG_FILE).write_text(json.dumps(config | asdict(self.config), indent=2) + "\n")
        state = {
            key: value.detach().to(dtype or value.dtype).contiguous()
            for key, value in self.state_dict().items()
        }
        save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: Path, *, torch_dtype: torch.dtype = torch.float32) -> WanTransformer:
        """Read a diffusers folder. Raises UserError when a file is missing, damaged or of another shape."""
        model = cls(WanConfig.from_dict(read_json(folder / CONFIG_FILE)))
        load_strict(model, read_safetensors(folder / WEIGHTS_FILE), source=folder / WEIGHTS_FILE)
        return model.to(torch_dtype).eval().requires_grad_(False)
