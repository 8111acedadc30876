"""The layers that a Wan transformer is made of, with diffusers' names for their parameters.

Shapes: B batch, T latent frames, S tokens, I image tokens, H heads, D head channels, M model channels.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.attention import KeyValue
from longtake.models.wan_config import WanConfig


def sinusoid(timestep: Tensor, dim: int) -> Tensor:
    """`[..., ] → [..., dim]`: cosines first, then sines, of t·10000^(−k/(dim/2)), in float64."""
    k = torch.arange(dim // 2, dtype=torch.float64, device=timestep.device)
    angle = timestep.double()[..., None] * 10000.0 ** (-k / (dim // 2))
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def drawn(*shape: int, std: float) -> nn.Parameter:
    """A new parameter from a normal distribution. On the meta device none is drawn: torch would import its compiler."""
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else values.normal_(std=std))


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


class GeluProjection(nn.Module):
    """linear → GELU; in one kernel on a CPU, where torch's tanh form by itself takes longer than the product."""

    def __init__(self, inner: int, outer: int, approximate: str) -> None:
        super().__init__()
        self.proj = nn.Linear(inner, outer)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        if self._one_kernel(x):
            made: Tensor = torch.ops.mkldnn._linear_pointwise(  # what torch.compile makes of the two
                x, self.proj.weight, self.proj.bias, "gelu", [], self.approximate
            )
            return made
        return F.gelu(self.proj(x), approximate=self.approximate)

    def _one_kernel(self, x: Tensor) -> bool:
        """Whether oneDNN takes both: in bfloat16 it has the product anyway. No gradients, and plain weights only."""
        return (
            x.device.type == "cpu"
            and x.dtype == torch.bfloat16
            and not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and type(self.proj) is nn.Linear
            and type(self.proj.weight) is nn.Parameter
            and self.proj.weight.dtype == torch.bfloat16
            and _has_one_kernel()
        )


@cache
def _has_one_kernel() -> bool:
    """Whether this torch and this CPU have the kernel in bfloat16."""
    ops = torch.ops.mkldnn
    return hasattr(ops, "_linear_pointwise") and bool(ops._is_mkldnn_bf16_supported())


class FeedForward(nn.Module):
    def __init__(self, dim: int, inner: int, outer: int, approximate: str = "tanh") -> None:
        super().__init__()
        projection = GeluProjection(dim, inner, approximate)
        self.net = nn.ModuleList([projection, nn.Identity(), nn.Linear(inner, outer)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))
        return out


class ImageEmbedder(nn.Module):
    """Image tokens `[B, I, image_dim] → [B, I, M]`."""

    def __init__(self, image_dim: int, dim: int, positions: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(image_dim)
        self.ff = FeedForward(image_dim, image_dim, dim, approximate="none")
        self.norm2 = nn.LayerNorm(dim)
        self.pos_embed = None if positions is None else drawn(1, positions, image_dim, std=1.0)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.pos_embed is not None:
            tokens = tokens + self.pos_embed
        out: Tensor = self.norm2(self.ff(self.norm1(tokens)))
        return out


class ConditionEmbedder(nn.Module):
    """Timesteps, text and image tokens into the model's width."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        self.freq_dim = config.freq_dim
        self.time_embedder = MLP(config.freq_dim, config.dim, nn.SiLU())
        self.time_proj = nn.Linear(config.dim, 6 * config.dim)
        self.text_embedder = MLP(config.text_dim, config.dim, nn.GELU(approximate="tanh"))
        self.image_embedder = (
            None
            if config.image_dim is None
            else ImageEmbedder(config.image_dim, config.dim, config.pos_embed_seq_len)
        )

    def forward(self, timestep_BT: Tensor) -> tuple[Tensor, Tensor]:
        """→ time embedding `[B, T, M]` (for the head) and its projection `[B, T, 6, M]` (for the blocks)."""
        dtype = self.time_proj.weight.dtype
        embedding = self.time_embedder(sinusoid(timestep_BT, self.freq_dim).to(dtype))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))


class RMSNorm(nn.RMSNorm):
    """Root mean square norm, rounded to the dtype of `x` before it meets the weight, as in Wan's own code."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, eps=self.eps) * self.weight


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
        self.norm_q = RMSNorm(dim, eps=config.eps)
        self.norm_k = RMSNorm(dim, eps=config.eps)

    def query(self, x: Tensor) -> Tensor:
        return self._split(self.norm_q(self.to_q(x)))

    def key_value(self, x: Tensor) -> KeyValue:
        return KeyValue(self._split(self.norm_k(self.to_k(x))), self._split(self.to_v(x)))

    def out(self, x: Tensor) -> Tensor:
        projected: Tensor = self.to_out[0](x.flatten(-2))
        return projected

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


class CrossAttention(Attention):
    """Attention to the text, and beside it to the image tokens of image-to-video models."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__(config)
        if config.added_kv_proj_dim is not None:
            self.add_k_proj = nn.Linear(config.added_kv_proj_dim, config.dim)
            self.add_v_proj = nn.Linear(config.added_kv_proj_dim, config.dim)
            self.norm_added_k = RMSNorm(config.dim, eps=config.eps)

    def image_key_value(self, x: Tensor) -> KeyValue:
        return KeyValue(self._split(self.norm_added_k(self.add_k_proj(x))), self._split(self.add_v_proj(x)))
