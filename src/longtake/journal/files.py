"""Names and contents of the files of a take."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from longtake.errors import UserError
from longtake.footage import Picture

CHUNKS, SNAPSHOTS, GIVEN = "chunks", "snapshots", "given"


def latents_file(folder: Path, id: int) -> Path:
    """Latents of the chunk in row `id`."""
    return folder / CHUNKS / f"{id:08}.safetensors"


def segment_file(folder: Path, id: int) -> Path:
    """Media segment of the chunk in row `id`."""
    return folder / CHUNKS / f"{id:08}.m4s"


def snapshot_file(folder: Path, id: int) -> Path:
    """State after the chunk in row `id`."""
    return folder / SNAPSHOTS / f"{id:08}.safetensors"


def given_file(folder: Path, first: int) -> Path:
    """Pictures of the source from number `first` on."""
    return folder / GIVEN / f"{first:08}.png"


def image_file(folder: Path) -> Path:
    """The picture that the take begins with."""
    return folder / GIVEN / "image.png"


def clip_file(folder: Path) -> Path:
    """The pictures that the take goes on from."""
    return folder / GIVEN / "clip.png"


def to_png(pictures: NDArray[np.uint8]) -> bytes:
    """`uint8 [T, H, W, 3]` as one PNG, one below the other."""
    count, height, width, _ = pictures.shape
    file = io.BytesIO()
    Image.fromarray(pictures.reshape(count * height, width, 3)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def load_pictures(path: Path, count: int) -> list[Picture]:
    """The `count` pictures that were given to `to_png`. Raises UserError when they are missing or damaged."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as reason:
        raise UserError(f"{path} cannot be read ({reason}); the take cannot be made from it again") from None
    return list(pixels.reshape(count, len(pixels) // count, *pixels.shape[1:]))
