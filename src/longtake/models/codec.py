"""The streaming contract of every codec: pixels to latents and back, one latent frame at a time.

A stream starts with one pixel frame, which becomes the first latent frame; from then on every latent frame
stands for `temporal_stride` pixel frames (four in the Wan VAE). A codec keeps what it must remember of the
past in a `CodecState`, never in itself, so that one codec serves many streams and a stream can be stopped and
taken up again.

However many latent frames a call is given, the codec steps through them one by one with the same tensor
shapes. So the grouping of calls cannot change a single byte of what comes out.

Shapes: B batch, T pixel frames, F latent frames, C latent channels, H W pixels, h w latent cells.
Pixels are `uint8 [B, T, H, W, 3]` at the edges and floats `[B, 3, T, H, W]` in [-1, 1] inside.
Latents `[B, C, F, h, w]` are in the space that the generator works in, already normalised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from longtake.errors import UserError

__all__ = [
    "Codec",
    "CodecState",
    "Slot",
    "StreamState",
    "check_size",
    "frames_for_latents",
    "latents_for_frames",
    "moved",
    "to_float",
    "to_uint8",
]

Slot = Tensor | Literal["Rep"] | None
"""One layer's memory: features, the Wan VAE's mark for "seen one frame, kept none", or nothing yet."""

_EMPTY, _MARK, _FEATURES = 0, 1, 2


def frames_for_latents(latent_frames: int, temporal_stride: int) -> int:
    """Pixel frames that a stream of `latent_frames` latent frames stands for."""
    if latent_frames < 1:
        raise UserError(f"{latent_frames} latent frames given; a stream has at least 1: use 1 or more")
    return 1 + temporal_stride * (latent_frames - 1)


def latents_for_frames(pixel_frames: int, temporal_stride: int) -> int:
    """Latent frames that a stream of `pixel_frames` becomes. Frame counts between two groups are refused."""
    whole, left_over = divmod(pixel_frames - 1, temporal_stride)
    if pixel_frames < 1 or left_over:
        below = max(1, pixel_frames - left_over)
        raise UserError(
            f"{pixel_frames} pixel frames given; a stream has 1 + a multiple of {temporal_stride}: "
            f"use {below} or {below + temporal_stride}"
        )
    return 1 + whole


def to_float(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """`uint8 [B, T, H, W, 3]` to `[B, 3, T, H, W]` in [-1, 1]."""
    return frames.permute(0, 4, 1, 2, 3).to(dtype) / 127.5 - 1.0


def to_uint8(pixels: Tensor) -> Tensor:
    """`[B, 3, T, H, W]` in [-1, 1] to `uint8 [B, T, H, W, 3]`, rounded to the nearest level."""
    levels = ((pixels.float().clamp(-1.0, 1.0) + 1.0) * 127.5).round()
    return levels.to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()


@dataclass(kw_only=True, slots=True)
class StreamState:
    """What one direction of a codec (encoding or decoding) remembers of its stream."""

    position: int = 0
    """Latent frames that have gone through."""
    shape: tuple[int, int, int] | None = None
    """Batch, rows and columns of the latent grid; fixed by the first call."""
    slots: list[Slot] = field(default_factory=list)
    """One entry per layer that looks back, in the codec's own order."""
    is_over: bool = False
    """Whether it was released, or broken off by an error; it cannot go on then, nor be saved."""

    def release(self) -> None:
        """End the stream and give its memory back."""
        self.slots, self.is_over = [], True

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one latent frame. An error ends the stream: some slots may be new by then, others old."""
        try:
            yield
        except BaseException:
            self.release()
            raise
        self.position += 1

    def snapshot(self, prefix: str) -> dict[str, Tensor]:
        """Copies of everything, as named tensors that safetensors can store."""
        if self.is_over:
            raise UserError("this stream is over and cannot be saved; save it while it runs")
        shape = self.shape or (0, 0, 0)
        kinds = [_EMPTY if s is None else _MARK if isinstance(s, str) else _FEATURES for s in self.slots]
        tensors = {
            f"{prefix}.position": torch.tensor([self.position, *shape], dtype=torch.int64),
            f"{prefix}.kinds": torch.tensor(kinds, dtype=torch.uint8),
        }
        for index, slot in enumerate(self.slots):
            if isinstance(slot, Tensor):
                tensors[f"{prefix}.slot.{index}"] = slot.detach().clone(memory_format=torch.contiguous_format)
        return tensors

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], prefix: str) -> StreamState:
        """The state that `snapshot(prefix)` was taken from."""
        missing = [key for key in (f"{prefix}.position", f"{prefix}.kinds") if key not in tensors]
        if missing:
            raise UserError(f"this snapshot holds no codec state: {', '.join(missing)} not found")
        position, *shape = tensors[f"{prefix}.position"].tolist()
        slots: list[Slot] = []
        for index, kind in enumerate(tensors[f"{prefix}.kinds"].tolist()):
            slots.append("Rep" if kind == _MARK else _stored(tensors, f"{prefix}.slot.{index}", kind))
        return cls(
            position=position, shape=(shape[0], shape[1], shape[2]) if any(shape) else None, slots=slots
        )


def _stored(tensors: Mapping[str, Tensor], key: str, kind: int) -> Tensor | None:
    if kind == _EMPTY:
        return None
    if key not in tensors:
        raise UserError(f"this snapshot is damaged: the codec's {key} is missing; restore another one")
    return tensors[key].clone()


@dataclass(kw_only=True, slots=True)
class CodecState:
    """Both directions of one stream. Changed in place by `Codec.encode` and `Codec.decode`."""

    encoder: StreamState = field(default_factory=StreamState)
    """Where encoding stands."""
    decoder: StreamState = field(default_factory=StreamState)
    """Where decoding stands."""

    def snapshot(self) -> dict[str, Tensor]:
        """Everything needed to go on in another process, as named tensors independent of this state."""
        return self.encoder.snapshot("encoder") | self.decoder.snapshot("decoder")

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Return to the point where `snapshot` was taken."""
        encoder, decoder = (StreamState.restored(tensors, side) for side in ("encoder", "decoder"))
        self.encoder, self.decoder = encoder, decoder

    def release(self) -> None:
        """Give the memory of both directions back when nothing more will come."""
        self.encoder.release()
        self.decoder.release()


class Codec(nn.Module, ABC):
    """A video codec that works on streams. Subclasses give the sizes and one step in each direction."""

    latent_channels: int
    """Channels of a latent frame."""
    spatial_stride: int
    """Pixels per latent cell, down and across."""
    temporal_stride: int
    """Pixel frames per latent frame after the first."""

    @abstractmethod
    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        """`[B, 3, 1 or temporal_stride, H, W]` to a latent frame `[B, C, 1, h, w]`; replaces
        `stream.slots`."""

    @abstractmethod
    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        """A latent frame `[B, C, 1, h, w]` to `[B, 3, 1 or temporal_stride, H, W]`; replaces
        `stream.slots`."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in, and what its latents come out as."""
        return next(self.parameters()).dtype

    def start(self) -> CodecState:
        """A state at the beginning of a stream."""
        return CodecState()

    @torch.no_grad()
    def encode(self, frames: Tensor, state: CodecState) -> Tensor:
        """Encode the next pixel frames of a stream.

        `frames` is `uint8 [B, T, H, W, 3]` or floats `[B, 3, T, H, W]` in [-1, 1]. T must fill whole groups:
        1 + a multiple of the temporal stride on the first call, a multiple of it afterwards. Frames that do
        not fill a group are refused rather than kept waiting, so that a state never hides pixels. Returns
        `[B, C, F, h, w]`.
        """
        pixels = to_float(frames, self.dtype) if frames.dtype == torch.uint8 else frames.to(self.dtype)
        if pixels.ndim != 5 or pixels.shape[1] != 3:
            raise UserError(
                f"frames of shape {list(frames.shape)} ({frames.dtype}) given; a codec takes "
                "uint8 [B, T, H, W, 3] or floats [B, 3, T, H, W]"
            )
        batch, _, count, height, width = pixels.shape
        check_size(height, width, self.spatial_stride)
        groups = self._groups(count, state.encoder)
        self._bind(
            state.encoder, (batch, height // self.spatial_stride, width // self.spatial_stride), pixels.device
        )
        latents = []
        for group in pixels.split(groups, dim=2):
            with state.encoder.step():
                latents.append(self.encode_step(group, state.encoder))
        return torch.cat(latents, dim=2)

    @torch.no_grad()
    def decode_float(self, latents: Tensor, state: CodecState) -> Tensor:
        """As `decode`, to floats `[B, 3, T, H, W]` in [-1, 1]."""
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels or latents.shape[2] < 1:
            raise UserError(
                f"latents of shape {list(latents.shape)} given; this codec takes "
                f"[batch, {self.latent_channels}, latent frames, rows, columns]"
            )
        batch, _, _, rows, columns = latents.shape
        self._bind(state.decoder, (batch, rows, columns), latents.device)
        pixels = []
        for latent in latents.to(self.dtype).split(1, dim=2):
            with state.decoder.step():
                pixels.append(self.decode_step(latent, state.decoder).clamp(-1.0, 1.0))
        return torch.cat(pixels, dim=2)

    def decode(self, latents: Tensor, state: CodecState) -> Tensor:
        """Decode the next latent frames `[B, C, F, h, w]` of a stream to `uint8 [B, T, H, W, 3]`."""
        return to_uint8(self.decode_float(latents, state))

    def _groups(self, count: int, stream: StreamState) -> list[int]:
        """How many pixel frames go into each latent frame of this call."""
        stride = self.temporal_stride
        if stream.position == 0:
            return [1] + [stride] * (latents_for_frames(count, stride) - 1)
        whole, left_over = divmod(count, stride)
        if left_over or not whole:
            raise UserError(
                f"{count} pixel frames given to go on with; a stream goes on in groups of {stride}: "
                f"use {max(stride, count - left_over)} or {max(stride, count - left_over) + stride}"
            )
        return [stride] * whole

    def _bind(self, stream: StreamState, shape: tuple[int, int, int], device: torch.device) -> None:
        """Hold a stream to one batch and grid, and bring a restored one to the device in use."""
        if stream.is_over:
            raise UserError(
                "this stream is over (released, or broken off by an error); start a new one or restore a snapshot"
            )
        if stream.shape not in (None, shape):
            raise UserError(
                f"a stream of {_named(stream.shape)} cannot go on with {_named(shape)}; "
                "start a new stream for another size"
            )
        stream.shape = shape
        stream.slots = moved(stream.slots, self.resting_place(device))

    def resting_place(self, device: torch.device) -> torch.device:
        """Where the slots of a stream on `device` lie between two steps."""
        return device


def moved(slots: Sequence[Slot], device: torch.device) -> list[Slot]:
    """The slots with their features on `device`; those without contents have none there either."""
    return [_moved(slot, device) if isinstance(slot, Tensor) else slot for slot in slots]


def _moved(features: Tensor, device: torch.device) -> Tensor:
    if features.is_meta != (device.type == "meta"):
        return torch.empty_like(features, device=device)
    return features.to(device)


def check_size(height: int, width: int, stride: int) -> None:
    """Refuse frame sizes that are not whole latent cells, and say which ones near by are."""
    if height < 1 or width < 1 or height % stride or width % stride:
        nearest = f"{_nearest(width, stride)}x{_nearest(height, stride)}"
        raise UserError(f"size {width}x{height} is not a multiple of {stride}; use {nearest}")


def _nearest(length: int, stride: int) -> int:
    return max(stride, round(length / stride) * stride)


def _named(shape: tuple[int, int, int] | None) -> str:
    batch, rows, columns = shape or (0, 0, 0)
    return f"batch {batch} on a latent grid of {columns}x{rows}"
