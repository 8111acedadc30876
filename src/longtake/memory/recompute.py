"""No cache: for each block the context is computed anew from its clean latents, under the prompt in force.

Krea Realtime. The context is the latest frames; the first of them stands for a single pixel frame, as the first latent
frame of every video does, so it is the codec's own encoding of the pixel frame that it ends on. Positions begin at 0
in every context, so the length of a take is unbounded.

Shapes: Y layers, F frames of the context, S of the block, N tokens a frame, H heads, D head channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, KVContext
from longtake.memory.cache import CacheShape, KVCache
from longtake.memory.logits import past_logits
from longtake.models.attention import KeyValue, Recorded, WholeClip, block_causal_mask
from longtake.models.wan import TextContext, WanTransformer

EncodeFrame = Callable[[Tensor], Tensor]
"""One pixel frame `uint8 [1, 1, H, W, 3]` → its latent frame `[1, C, 1, h, w]`, as the first of a video."""


class Recompute:
    """The latest clean latents and pixel frames."""

    needs_pixels = True

    def __init__(
        self,
        backbone: WanTransformer,
        latent_shape: tuple[int, int, int],
        *,
        frames: int,
        block: int,
        encode: EncodeFrame,
        temporal_stride: int,
        context_timestep: float = 0.0,
        bias: float = 1.0,
    ) -> None:
        """latent_shape: `(C, H, W)`. frames: of the context. encode, temporal_stride: of the codec."""
        channels, height, width = latent_shape
        self._backbone = backbone
        self._grid = backbone.config.grid(height, width)
        self._frames, self._block = frames, block
        self._encode = encode
        self._context_timestep = context_timestep
        self._bias = bias
        self._count = 0
        self._latents = torch.zeros(1, channels, 0, height, width)
        """The context."""
        self._pixels: Tensor | None = None
        """`uint8 [P, H, W, 3]`: the pixel frames that the latest latent frames begin from."""
        self._kept_pixels = 1 + temporal_stride * (frames - 1)
        self._cache = KVCache(shape_of(frames, block), backbone, self._grid)

    @property
    def num_bytes(self) -> int:
        """Size of the keys and values that a context is computed into; constant."""
        return self._cache.num_bytes

    def read(self, frames: Sequence[int], text: TextContext) -> Context:
        """See `Memory.read`: one pass over the context."""
        if frames[0] != self._count:
            raise ValueError(
                f"asked for {list(frames)} when {self._count} are remembered; blocks must follow on"
            )
        count, new = self._latents.shape[2], len(frames)
        if count:
            self._compute(text)
        return Context(
            kv=KVContext(
                grid=self._grid,
                past=self._cache.context(range(count), tuple(range(count)), new),
                positions=tuple(range(count, count + new)),
                bias=past_logits(self._bias, count, 0, new, self._grid, self._backbone),
            )
        )

    def _compute(self, text: TextContext) -> None:
        backbone, count = self._backbone, self._latents.shape[2]
        places = tuple(range(count))

        def record(layer: int, kv: KeyValue) -> None:
            self._cache.fill(layer, kv, places)

        mask = block_causal_mask(count, self._block)
        rule = Recorded(rule=WholeClip(grid=self._grid, positions=places, mask=mask), record=record)
        timestep = torch.full((1, count), self._context_timestep, device=backbone.device)
        backbone(self._latents.to(backbone.device, backbone.dtype), timestep, text, attention=rule)

    def commit(
        self, frames: Sequence[int], latents: Tensor, text: TextContext, pixels: Tensor | None
    ) -> None:
        """See `Memory.commit`. `pixels` `uint8 [1, T, H, W, 3]` are needed."""
        if pixels is None:
            raise ValueError("a recomputed context needs the decoded frames")
        self._count = frames[-1] + 1
        before = pixels[0] if self._pixels is None else torch.cat([self._pixels, pixels[0].to(self._pixels)])
        self._pixels = before[-self._kept_pixels :].clone()
        context = torch.cat([self._latents, latents.to(self._latents)], 2)[:, :, -self._frames :].clone()
        if self._count > self._frames:
            context[:, :, :1] = self._encode(self._pixels[None, :1]).to(context)
        self._latents = context

    def snapshot(self) -> dict[str, Tensor]:
        """See `Memory.snapshot`."""
        pixels = torch.zeros(0, 0, 0, 3, dtype=torch.uint8) if self._pixels is None else self._pixels.clone()
        return {"frames": torch.tensor([self._count]), "latents": self._latents.clone(), "pixels": pixels}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `Memory.restore`. Raises UserError for a snapshot of another model or window."""
        latents, pixels = tensors["latents"], tensors["pixels"]
        alike = latents.shape[:2] == self._latents.shape[:2] and latents.shape[3:] == self._latents.shape[3:]
        if not alike or latents.shape[2] > self._frames:
            raise UserError(
                f"the snapshot's context {list(latents.shape)} does not fit this model's "
                f"{[*self._latents.shape[:2], self._frames, *self._latents.shape[3:]]}; "
                "restore it with the model and settings that it was made with"
            )
        (self._count,) = tensors["frames"].tolist()
        self._latents = latents.clone()
        self._pixels = pixels.clone() if pixels.numel() else None


def shape_of(frames: int, block: int) -> CacheShape:
    """What a context of `frames` asks of its cache."""
    return CacheShape(slots=frames, seen=frames + block, fixed=True)
