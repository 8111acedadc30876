"""The Wan 2.1 video transformer, at any size (Wan Team, arXiv 2503.20314).

One set of weights and one forward; which frames see which is an `AttentionRule` (see `attention.py`): the whole clip,
block-causal training, or a block beside a KV cache. Parameters carry the names of diffusers'
`WanTransformer3DModel`, so a saved folder opens in either.

Shapes: B batch, C latent channels, T latent frames, N tokens a frame, L text tokens, S captions, M model channels.
The prediction is the flow velocity `noise − x0` for `x_t = (1−σ)·x0 + σ·noise`; timesteps are 1000·σ.
Image-to-video models (`image_dim` in the config) also read I image tokens (CLIP) in cross-attention.

In bfloat16 everything is bfloat16, as the causal models were trained and released (Self-Forcing, arXiv 2506.08009):
norms compute in float32 inside, angles in float64, the time sinusoid is rounded before its MLP. float32 is the oracle.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.attention import AttentionRule, Grid, KeyValue, WholeClip, attend
from longtake.models.files import check_fit
from longtake.models.folder import save_folder
from longtake.models.mapped import MappedPages
from longtake.models.wan_config import WanConfig
from longtake.models.wan_layers import Attention, ConditionEmbedder, CrossAttention, FeedForward, drawn
from longtake.models.wan_weights import WanWeights, read_weights

if TYPE_CHECKING:
    from longtake.models.offload import Shelf

__all__ = ["TextContext", "WanConfig", "WanTransformer"]


class TextContext(NamedTuple):
    """Cross-attention keys and values, one entry a layer: what a pass reads beside the video itself."""

    layers: tuple[KeyValue, ...]
    """Of the captions, each `[B, S, L, H, D]`."""
    image: tuple[KeyValue, ...] = ()
    """Of the image tokens, each `[B, I, H, D]`; empty for text-to-video models."""
    rows: Tensor | None = None
    """The embedding itself, `[B, L, C]`, for networks that mix it with more before keys and values are made."""


class Modulation(NamedTuple):
    """Shift, scale and gate of one sub-layer, each `[B, T, 1, M]`."""

    shift: Tensor
    scale: Tensor
    gate: Tensor


class WanBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; tokens are `[B, T, N, M]`."""

    def __init__(self, config: WanConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.attn1 = Attention(config)
        self.norm2 = nn.LayerNorm(dim, eps)
        self.attn2 = CrossAttention(config)
        self.norm3 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = FeedForward(dim, config.ffn_dim, dim)
        self.scale_shift_table = drawn(1, 6, dim, std=dim**-0.5)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        text: KeyValue,
        image: KeyValue | None,
        segment_BT: Tensor | None,
        rule: AttentionRule,
        layer: int,
    ) -> Tensor:
        attention, feed = self._modulation(time)
        x = x + attention.gate * self._self_attention(modulate(self.norm1(x), attention), rule, layer)
        x = x + self._cross_attention(self.norm2(x), text, image, segment_BT)
        return x + feed.gate * self.ffn(modulate(self.norm3(x), feed))

    def _modulation(self, time: Tensor) -> tuple[Modulation, Modulation]:
        parts = (self.scale_shift_table + time)[:, :, None].unbind(3)
        return Modulation(*parts[:3]), Modulation(*parts[3:])

    def _self_attention(self, x: Tensor, rule: AttentionRule, layer: int) -> Tensor:
        tokens = x.flatten(1, 2)
        k, v = self.attn1.key_value(tokens)
        return self.attn1.out(rule(layer, self.attn1.query(tokens), k, v)).view_as(x)

    def _cross_attention(
        self, x: Tensor, text: KeyValue, image: KeyValue | None, segment_BT: Tensor | None
    ) -> Tensor:
        q = self.attn2.query(x.flatten(1, 2))
        seen = attend_captions(q, text, segment_BT)
        if image is not None:
            seen = seen + attend(q, image.k, image.v)
        return self.attn2.out(seen).view_as(x)


def attend_captions(q: Tensor, text: KeyValue, segment_BT: Tensor | None) -> Tensor:
    """Queries `[B, T·N, H, D]` read the captions `[B, S, L, H, D]`: the first, or each frame that of its segment."""
    if segment_BT is None:
        return attend(q, text.k[:, 0], text.v[:, 0])
    batch, frames = segment_BT.shape
    row = torch.arange(batch, device=q.device)[:, None]
    k, v = (part[row, segment_BT].flatten(0, 1) for part in text)
    return attend(q.unflatten(1, (frames, -1)).flatten(0, 1), k, v).view_as(q)


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
        self.scale_shift_table = drawn(1, 2, dim, std=dim**-0.5)
        self.shelf: Shelf | None = None
        """Where the weights of the blocks are while they are not here; see `offload.py`."""

    def forward(
        self,
        latents_BCTHW: Tensor,
        timestep_BT: Tensor,
        text: Tensor | TextContext,
        *,
        attention: AttentionRule | None = None,
        segment_BT: Tensor | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Velocity `[B, C, T, H, W]`.

        timestep_BT: 1000·σ of each latent frame. text: `[B, L, text_dim]`, or `[B, S, L, text_dim]` with
        `segment_BT` saying which of the S captions each latent frame reads, or a `text_context` made before.
        attention: default is the whole clip, bidirectional. image: tokens `[B, I, image_dim]` for image-to-video
        models, unless a `text_context` holds them.
        """
        grid = self.config.grid(*latents_BCTHW.shape[-2:])
        rule = attention or WholeClip(grid=grid, positions=tuple(range(latents_BCTHW.shape[2])))
        context = text if isinstance(text, TextContext) else self.text_context(text, image)
        x = self.patchify(latents_BCTHW)
        embedding, time = self.condition_embedder(timestep_BT)
        x = self.through(range(len(self.blocks)), x, time, context, segment_BT, rule)
        return self.unpatchify(self.head(x, embedding), grid)

    def through(
        self,
        layers: Iterable[int],
        x_BTNM: Tensor,
        time: Tensor,
        context: TextContext,
        segment_BT: Tensor | None,
        rule: AttentionRule,
    ) -> Tensor:
        """Tokens after these blocks. The rule knows which tokens they are; a frame may have any number of them."""
        x = x_BTNM
        for layer in layers:
            pictures = context.image[layer] if context.image else None
            x = self.blocks[layer](x, time, context.layers[layer], pictures, segment_BT, rule, layer)
        return x

    def head(self, x_BTNM: Tensor, embedding_BTM: Tensor) -> Tensor:
        """Velocity of each token, `[B, T, N, ph·pw·C]`."""
        shift, scale = (self.scale_shift_table + embedding_BTM[:, :, None]).unbind(2)
        velocity: Tensor = self.proj_out(self.norm_out(x_BTNM) * (1 + scale[:, :, None]) + shift[:, :, None])
        return velocity

    def text_context(self, text: Tensor, image: Tensor | None = None) -> TextContext:
        """Keys and values of every layer for `text [B, L, text_dim]` or `[B, S, L, text_dim]`.

        All L positions are attended, padding too: that is how Wan was trained. image: tokens `[B, I, image_dim]`,
        which image-to-video models need and others refuse (UserError).
        """
        captions = text[:, None] if text.ndim == 3 else text
        hidden = self.condition_embedder.text_embedder(captions.to(self.dtype))
        layers = tuple(attention.key_value(hidden) for attention in self._cross_attentions())
        return TextContext(layers, self._image_context(image))

    def _image_context(self, image: Tensor | None) -> tuple[KeyValue, ...]:
        embed = self.condition_embedder.image_embedder
        if (embed is None) != (image is None):
            needs = "needs no image tokens" if embed is None else "needs image tokens; give `image`"
            kind = "text" if embed is None else "image"
            raise UserError(f"this is a model of the {kind}-to-video kind, which {needs}")
        if embed is None or image is None:
            return ()
        hidden = embed(image.to(self.dtype))
        return tuple(attention.image_key_value(hidden) for attention in self._cross_attentions())

    def _cross_attentions(self) -> list[CrossAttention]:
        return [cast(WanBlock, block).attn2 for block in self.blocks]

    @property
    def dtype(self) -> torch.dtype:
        return self.proj_out.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.proj_out.weight.device

    def patchify(self, latents_BCTHW: Tensor) -> Tensor:
        """Tokens `[B, T, N, M]`."""
        x: Tensor = self.patch_embedding(latents_BCTHW)
        return x.permute(0, 2, 3, 4, 1).flatten(2, 3)

    def unpatchify(self, x: Tensor, grid: Grid) -> Tensor:
        _, ph, pw = self.config.patch_size
        x = x.unflatten(-1, (ph, pw, -1)).unflatten(2, grid)
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def save_pretrained(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write a folder that diffusers' `WanTransformer3DModel.from_pretrained` opens."""
        save_folder(folder, self.config.to_dict(), self.state_dict(), dtype=dtype)

    @classmethod
    def from_pretrained(
        cls,
        path: Path,
        *,
        torch_dtype: torch.dtype = torch.float32,
        ema: bool = True,
        allow_pt: bool = False,
        head_dim: int | None = None,
    ) -> WanTransformer:
        """Read a diffusers folder or any other published file or folder; the options are `read_weights`'.

        Raises UserError when a file is missing, damaged, not allowed or of another shape.
        """
        weights = read_weights(path, ema=ema, allow_pt=allow_pt, head_dim=head_dim)
        return cls.from_weights(weights, torch_dtype=torch_dtype)

    @classmethod
    def from_weights(cls, weights: WanWeights, *, torch_dtype: torch.dtype = torch.float32) -> WanTransformer:
        """The model with these weights; those that have the dtype already stay mapped to their file."""
        model = cls.outline(weights)
        pages, state = MappedPages(weights.files), {}
        for name, tensor in weights.state.items():
            state[name] = tensor.to(torch_dtype)
            if state[name] is not tensor:
                pages.forget(tensor)
        model.load_state_dict(state, assign=True)
        return model.eval().requires_grad_(False)

    @classmethod
    def outline(cls, weights: WanWeights) -> WanTransformer:
        """The model on the meta device; UserError when `weights` lack, add or reshape tensors."""
        with torch.device("meta"):
            model = cls(weights.config)
        check_fit(model, weights.state, source=weights.source, unexpected=weights.unexpected)
        return model
