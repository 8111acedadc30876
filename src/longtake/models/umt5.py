"""The UMT5 text encoder, its tensors named as transformers names them.

Written out here because importing transformers' takes longer than all else that the first frame of a cold command waits
for; a test holds it against transformers' `UMT5EncoderModel`. As there, each layer has its own table of relative
positions, scores are not scaled, and norms have no mean and no bias.

Source: UniMax (UMT5, arXiv 2304.09151) on T5's architecture (arXiv 1910.10683).
Shapes: B prompts, L token rows, D text channels, H heads.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.models.network import TextNetwork
from longtake.models.wan_layers import drawn

__all__ = ["UMT5Encoder", "transformers_config"]


class UMT5Encoder(nn.Module):
    """Token ids to rows. Weights are drawn as T5's are."""

    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.sizes = sizes
        self.shared = _Table(sizes.vocab_size, sizes.d_model, std=1.0)
        self.encoder = _Stack(sizes)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shared.weight.device

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`[B, L]` ids and mask (1 where a token is) to `[B, L, D]`; no row sees what is masked."""
        rows: Tensor = self.encoder(self.shared(ids), mask)
        return rows


class _Stack(nn.Module):
    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.sizes = sizes
        self.block = nn.ModuleList(_Block(sizes) for _ in range(sizes.num_layers))
        self.final_layer_norm = _Norm(sizes)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        unseen = rows.new_zeros(mask.shape).masked_fill(mask == 0, torch.finfo(rows.dtype).min)
        buckets = _buckets(rows.shape[1], self.sizes, rows.device)
        for block in self.block:
            rows = block(rows, unseen[:, None, None], buckets)
        normed: Tensor = self.final_layer_norm(rows)
        return normed


class _Block(nn.Module):
    """Attention, then the gated layer, each after a norm and beside the row itself."""

    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            nn.ModuleDict({name: part, "layer_norm": _Norm(sizes)})
            for name, part in (("SelfAttention", _Attention(sizes)), ("DenseReluDense", _Gated(sizes)))
        )

    def forward(self, rows: Tensor, unseen: Tensor, buckets: Tensor) -> Tensor:
        first, second = self.layer
        assert isinstance(first, nn.ModuleDict)
        assert isinstance(second, nn.ModuleDict)
        rows = rows + first["SelfAttention"](first["layer_norm"](rows), unseen, buckets)
        gated: Tensor = second["DenseReluDense"](second["layer_norm"](rows))
        return rows + gated


class _Attention(nn.Module):
    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.heads = sizes.num_heads
        inner = sizes.num_heads * sizes.d_kv
        self.q = _linear(sizes.d_model, inner, (sizes.d_model * sizes.d_kv) ** -0.5)
        self.k = _linear(sizes.d_model, inner, sizes.d_model**-0.5)
        self.v = _linear(sizes.d_model, inner, sizes.d_model**-0.5)
        self.o = _linear(inner, sizes.d_model, inner**-0.5)
        buckets = sizes.relative_attention_num_buckets
        self.relative_attention_bias = _Table(buckets, sizes.num_heads, std=sizes.d_model**-0.5)

    def forward(self, rows: Tensor, unseen: Tensor, buckets: Tensor) -> Tensor:
        q, k, v = (
            part(rows).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        bias = self.relative_attention_bias(buckets).permute(2, 0, 1)  # [H, L, L]
        scores = q @ k.transpose(-1, -2) + bias + unseen
        shares = scores.float().softmax(-1).to(v.dtype)
        mixed: Tensor = self.o((shares @ v).transpose(1, 2).flatten(2))
        return mixed


class _Gated(nn.Module):
    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.wi_0 = _linear(sizes.d_model, sizes.d_ff, sizes.d_model**-0.5)
        self.wi_1 = _linear(sizes.d_model, sizes.d_ff, sizes.d_model**-0.5)
        self.wo = _linear(sizes.d_ff, sizes.d_model, sizes.d_ff**-0.5)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.wo(F.gelu(self.wi_0(rows), approximate="tanh") * self.wi_1(rows))
        return out


class _Norm(nn.Module):
    """Root mean square, taken in float32."""

    def __init__(self, sizes: TextNetwork) -> None:
        super().__init__()
        self.eps = sizes.layer_norm_epsilon
        self.weight = nn.Parameter(torch.ones(sizes.d_model))

    def forward(self, rows: Tensor) -> Tensor:
        square = rows.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (rows * torch.rsqrt(square + self.eps)).to(self.weight.dtype)


class _Table(nn.Module):
    """A row for each number."""

    def __init__(self, count: int, dim: int, *, std: float) -> None:
        super().__init__()
        self.weight = drawn(count, dim, std=std)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


def _linear(wide: int, out: int, std: float) -> nn.Linear:
    layer = nn.Linear(wide, out, bias=False)
    layer.weight = drawn(out, wide, std=std)
    return layer


def _buckets(length: int, sizes: TextNetwork, device: torch.device) -> Tensor:
    """`[L, L]`: the row of the table for every query and key.

    Half of the rows are for keys behind the query. Of each half, half are for one distance each, the others for
    distances that grow by a factor, up to the greatest; all beyond it share the last.
    """
    half = sizes.relative_attention_num_buckets // 2
    exact = half // 2
    place = torch.arange(length, device=device)
    offset = place[None, :] - place[:, None]
    distance = offset.abs()
    grown = torch.log(distance.float() / exact) / math.log(sizes.relative_attention_max_distance / exact)
    far = (exact + (grown * (half - exact)).long()).clamp(max=half - 1)
    return (offset > 0).long() * half + torch.where(distance < exact, distance, far)


def transformers_config(sizes: TextNetwork) -> dict[str, Any]:
    """The `config.json` with which transformers' `UMT5EncoderModel` opens the encoder."""
    return {
        "architectures": ["UMT5EncoderModel"],
        "model_type": "umt5",
        **sizes.model_dump(),
        "dense_act_fn": "gelu_new",
        "feed_forward_proj": "gated-gelu",
        "is_gated_act": True,
        "is_encoder_decoder": False,
        "dropout_rate": 0.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
