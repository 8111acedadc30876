"""Memory that a codec needs, found without computing anything: its own code is run on tensors without contents.

Every tensor that the code makes is counted from its making to its end, so the figure follows from the config, the size
of the picture, the dtype and the tiling alone. What is not seen: workspaces that a kernel takes for itself (cuDNN picks
its own), the allocator's fragmentation and the libraries. On a CPU, convolutions work on copies, which are
counted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from longtake.models.codec import Codec, CodecState, check_size
from longtake.models.meter import FusedAttention, LiveBytes

__all__ = ["CodecBytes", "decode_bytes", "encode_bytes"]

STEPS_TO_STEADY = 3
"""Calls after which a stream's memory no longer grows: the Wan VAE's history is full after three latent frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecBytes:
    """Memory of one direction of one stream."""

    weights: int
    """The codec's tensors, both directions."""
    stream: int
    """What the stream remembers between two calls, on the device; tiles that rest in main memory do not count."""
    peak: int
    """Most that is held at once in a call: weights, stream, features, and the pixels that come or go."""


def decode_bytes(
    codec: Codec,
    height: int,
    width: int,
    *,
    dtype: torch.dtype | None = None,
    latent_frames: int = 1,
    batch: int = 1,
    device: str = "cpu",
) -> CodecBytes:
    """Memory to decode `latent_frames` at a time to pictures of `height` x `width` pixels.

    `codec` can be on the meta device; it is not changed. `dtype` is its own if not given. Raises UserError for sizes
    off the codec's grid.
    """

    def decode(copied: Codec, state: CodecState) -> None:
        stride = copied.spatial_stride
        shape = (batch, copied.latent_channels, latent_frames, height // stride, width // stride)
        copied.decode(torch.empty(shape, dtype=copied.dtype, device="meta"), state)

    check_size(height, width, codec.spatial_stride)
    return _measured(codec, dtype, device, decode)


def encode_bytes(
    codec: Codec,
    height: int,
    width: int,
    *,
    dtype: torch.dtype | None = None,
    latent_frames: int = 1,
    batch: int = 1,
    device: str = "cpu",
) -> CodecBytes:
    """As `decode_bytes`, for encoding `uint8` pictures to `latent_frames` at a time."""

    def encode(copied: Codec, state: CodecState) -> None:
        stride = copied.temporal_stride
        count = latent_frames * stride - (stride - 1 if state.encoder.position == 0 else 0)
        copied.encode(torch.empty(batch, count, height, width, 3, dtype=torch.uint8, device="meta"), state)

    check_size(height, width, codec.spatial_stride)
    return _measured(codec, dtype, device, encode)


def _measured(
    codec: Codec, dtype: torch.dtype | None, device: str, call: Callable[[Codec, CodecState], None]
) -> CodecBytes:
    empty = _without_contents(codec).to(dtype or codec.dtype)
    weights = sum(tensor.nbytes for tensor in (*empty.parameters(), *empty.buffers()))
    state, meter = empty.start(), LiveBytes(on_cpu=device == "cpu")
    with meter, FusedAttention():
        for _ in range(STEPS_TO_STEADY):
            call(empty, state)
    return CodecBytes(weights=weights, stream=meter.held, peak=weights + meter.peak)


def _without_contents(codec: Codec) -> Codec:
    """A copy on the meta device; the tensors themselves are never copied."""
    known: dict[int, Any] = {}
    for parameter in codec.parameters():
        known[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in codec.buffers():
        known[id(buffer)] = buffer.to("meta")
    return copy.deepcopy(codec, known)
