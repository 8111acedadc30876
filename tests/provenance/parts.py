"""A film in pieces."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from longtake import boxes


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The head of a film and its segments."""

    init: bytes
    segments: tuple[bytes, ...]

    def film(self, order: Sequence[int] | None = None) -> bytes:
        """Put together, all segments or those of an order."""
        chosen = range(len(self.segments)) if order is None else order
        return self.init + b"".join(self.segments[index] for index in chosen)


def cut(film: bytes) -> Parts:
    """Take `ftyp … moov (… mdat)*` apart."""
    places = list(boxes.boxes(film))
    head = next(box.end for box in places if box.kind == b"moov")
    ends = [head, *(box.end for box in places if box.kind == b"mdat")]
    pairs = itertools.pairwise(ends)
    return Parts(init=film[:head], segments=tuple(film[start:end] for start, end in pairs))


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
    """One bit turned."""
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)


def pictures(film: bytes | Path) -> np.ndarray:
    """Every frame, as it is decoded."""
    with av.open(io.BytesIO(film) if isinstance(film, bytes) else str(film)) as container:
        return np.stack([frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)])
