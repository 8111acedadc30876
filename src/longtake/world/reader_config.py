"""Sizes of the reader and the answers it can give."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.world import vocabulary

__all__ = ["ReaderConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderConfig:
    """Sizes of the reader and the answers it can give."""

    size: int = 96
    """Rows and columns of the frames; others are resized to it."""
    fps: int = 8
    """Frames a second of the clips it learned from; others are resampled to it."""
    window: int = 16
    """Frames read at a time."""
    grid: int = 24
    """Rows and columns of the colour maps."""
    glimpse: int = 32
    """Rows and columns of a window around a solid."""
    zoom: float = 2.2
    """Side of that window over the side of a square with the solid's area."""
    camera_lag: int = 4
    """Frames between the two views from which the finder sees movement of the whole picture."""
    drift_reach: tuple[int, int] = (3, 2)
    """Largest shift (across, down) that is tried between those views, in pixels of the halved frame."""
    drift_cells: int = 4
    """Rows and columns of cells in which shifts are tried."""
    drift_width: int = 32
    """Channels that describe the movement of the whole picture."""
    solid_lags: tuple[int, ...] = (1, 3)
    """Frames between the views from which the solid reader sees turning and the ground going by."""
    finder_width: int = 32
    """Channels of the finder on its grid; twice that on the next coarser one."""
    solid_width: int = 24
    """Channels of the solid reader's first layer."""
    feature: int = 96
    """Channels of a solid's features in time."""
    track_width: int = 48
    """Channels that describe a solid's path."""
    answers: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("shape", vocabulary.SHAPES),
        ("motion", vocabulary.MOTIONS),
        ("size", vocabulary.SIZES),
    )
    """What is asked of every solid."""
    looks: tuple[str, ...] = ("shape",)
    """Answers to which every single frame contributes its own vote."""
    colours: tuple[str, ...] = vocabulary.COLOURS
    """Colours; a solid is named by its own."""
    grounds: tuple[str, ...] = vocabulary.GROUNDS
    """Grounds."""
    cameras: tuple[str, ...] = vocabulary.CAMERAS
    """Camera moves."""
