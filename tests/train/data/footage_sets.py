"""Folders of small videos."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import av
import numpy as np

from longtake.train.data.config import DataConfig


def video(path: Path, frames: np.ndarray, fps: int = 8) -> Path:
    """Write uint8 [T, H, W, 3] as a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def ramp(count: int, first: int = 0) -> np.ndarray:
    """`count` grey frames of 16 rows and 32 columns, each 4 levels lighter than the last."""
    levels = first + 4 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 16, 32, 3)).copy()


def folder(root: Path, lengths: dict[str, int]) -> Path:
    """Videos of those lengths, each with a caption of its own in a text file beside it."""
    for number, (name, count) in enumerate(lengths.items()):
        path = video(root / name, ramp(count, 20 * number))
        path.with_suffix(".txt").write_text(f"video {path.stem}\nagain {path.stem}\n")
    return root


def add_to_tar(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def config(model: Path, **changes: object) -> DataConfig:
    """Clips of two latent frames, five pixel frames, in shards of two."""
    values = {
        "model": str(model),
        "width": 32,
        "height": 16,
        "fps": 8,
        "latent_frames": 2,
        "shots": False,
        "shard_clips": 2,
        "validation_clips": 2,
    }
    return DataConfig.model_validate(values | changes)
