"""Any codec in small memory: the picture is coded in overlapping tiles, whose seams are blended.

Each tile is a stream of its own, with its own slots inside the one state, so that tiling streams, is saved and is
restored as the codec itself is. Tiles all have one size, the smallest that covers the picture with as many. Where
tiles overlap, each counts the less the nearer its own edge is, and the counts add up to one. One tile that covers
everything gives exactly what the codec gives. With more, a seam differs as far as the codec looks beyond a tile.

Tiling lowers what one step needs, not what a stream remembers: together the tiles remember more than the whole picture
would, by as much as they overlap. With `rest_on_cpu` their slots wait in main memory and only one tile's are on the
device, which is what makes a small GPU suffice.

Shapes: B batch, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import Codec, StreamState, moved

__all__ = ["TiledCodec", "Tiling"]

Step = Callable[[Tensor, StreamState], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiling:
    """How a picture is cut, in pixels."""

    width: int = 256
    """Of a tile, at most; a multiple of the codec's spatial stride."""
    height: int = 256
    """Of a tile, at most; a multiple of the codec's spatial stride."""
    overlap: int = 64
    """Of neighbouring tiles, at least; a multiple of the codec's spatial stride."""
    rest_on_cpu: bool = False
    """Whether what tiles remember waits in main memory between two steps. Changes no byte, costs transfers."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < min(self.width, self.height):
            raise UserError(
                f"tiles of {self.width}x{self.height} that overlap by {self.overlap} given; "
                "the overlap must be smaller than the tile"
            )

    def check(self, stride: int) -> None:
        """Refuse tiles that are not whole latent cells."""
        for name in ("width", "height", "overlap"):
            value = getattr(self, name)
            if value % stride:
                below = value - value % stride
                raise UserError(
                    f"tile {name} {value} is not a multiple of {stride}; use {below or stride} or {below + stride}"
                )


class TiledCodec(Codec):
    """A codec that works tile by tile; it shares the weights of the one it is made from."""

    def __init__(self, codec: Codec, tiling: Tiling | None = None) -> None:
        super().__init__()
        self.codec = codec
        self.tiling = tiling or Tiling()
        self.latent_channels = codec.latent_channels
        self.spatial_stride = codec.spatial_stride
        self.temporal_stride = codec.temporal_stride
        self.tiling.check(self.spatial_stride)

    def encode_step(self, pixels: Tensor, stream: StreamState) -> Tensor:
        stride = self.spatial_stride
        return self._tiled(self.codec.encode_step, pixels, stream, scale_in=stride, scale_out=1)

    def decode_step(self, latent: Tensor, stream: StreamState) -> Tensor:
        stride = self.spatial_stride
        return self._tiled(self.codec.decode_step, latent, stream, scale_in=1, scale_out=stride)

    def resting_place(self, device: torch.device) -> torch.device:
        return torch.device("cpu") if self.tiling.rest_on_cpu else device

    def _tiled(self, step: Step, x: Tensor, stream: StreamState, *, scale_in: int, scale_out: int) -> Tensor:
        """One step of every tile, blended. Scales are pixels or cells per latent cell."""
        stride, tiling = self.spatial_stride, self.tiling
        rows, columns = x.shape[-2] // scale_in, x.shape[-1] // scale_in
        down = _Cuts.of(rows, tiling.height // stride, tiling.overlap // stride)
        across = _Cuts.of(columns, tiling.width // stride, tiling.overlap // stride)
        places = list(product(range(len(down.starts)), range(len(across.starts))))
        shares = _shares(stream, len(places))
        whole: Tensor | None = None
        for index, (i, j) in enumerate(places):
            top, left = down.starts[i] * scale_in, across.starts[j] * scale_in
            tile = x[..., top : top + down.size * scale_in, left : left + across.size * scale_in]
            shares[index].slots = moved(shares[index].slots, x.device)
            y = step(tile.contiguous(), shares[index])
            shares[index].slots = moved(shares[index].slots, self.resting_place(x.device))
            if whole is None:
                size = (rows * scale_out, columns * scale_out)
                whole = y.new_zeros(*y.shape[:-2], *size, dtype=torch.float32)
            weights = down.weights(i, scale_out)[:, None] * across.weights(j, scale_out)
            top, left = down.starts[i] * scale_out, across.starts[j] * scale_out
            whole[..., top : top + y.shape[-2], left : left + y.shape[-1]] += weights.to(whole) * y
        stream.slots = [slot for share in shares for slot in share.slots]
        assert whole is not None  # there is at least one tile
        return whole.to(x.dtype)


def _shares(stream: StreamState, tiles: int) -> list[StreamState]:
    """The stream of each tile; together they take over the slots."""
    slots, stream.slots = stream.slots, []
    each, left_over = divmod(len(slots), tiles)
    if left_over:
        raise UserError(
            f"this state has {len(slots)} slots, which {tiles} tiles cannot share; tile as it was tiled"
        )
    return [
        StreamState(position=stream.position, slots=slots[each * tile : each * (tile + 1)])
        for tile in range(tiles)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cuts:
    """Where tiles lie along one side, in latent cells."""

    starts: tuple[int, ...]
    size: int
    length: int

    @classmethod
    def of(cls, length: int, size: int, overlap: int) -> _Cuts:
        """As few tiles as `size` allows, and then as small ones as these can be."""
        size = min(size, length)
        if size == length:
            return cls(starts=(0,), size=size, length=length)
        count = math.ceil((length - overlap) / (size - overlap))
        size = math.ceil((length + (count - 1) * overlap) / count)
        starts = tuple(index * (length - size) // (count - 1) for index in range(count))
        return cls(starts=starts, size=size, length=length)

    def weights(self, index: int, scale: int) -> Tensor:
        """How much tile `index` counts at each of its places, `[size * scale]`."""
        start, end = self.starts[index], self.starts[index] + self.size
        total = sum(self._closeness(each, scale) for each in range(len(self.starts)))
        share = self._closeness(index, scale) / total
        return share[start * scale : end * scale]

    def _closeness(self, index: int, scale: int) -> Tensor:
        """At every place of the side: distance to the nearer edge of tile `index` that lies inside the picture."""
        start, end = self.starts[index] * scale, (self.starts[index] + self.size) * scale
        place = torch.arange(self.length * scale, dtype=torch.float64) + 0.5
        left = place - start if self.starts[index] else torch.full_like(place, float(self.length * scale))
        right = (
            end - place if end < self.length * scale else torch.full_like(place, float(self.length * scale))
        )
        inside = (place > start) & (place < end)
        return torch.where(inside, torch.minimum(left, right), 0.0)
