"""OpenCV, asked for only when a metric runs."""

from __future__ import annotations

from typing import Any

from longtake.errors import UserError

__all__ = ["vision"]


def vision() -> Any:
    """The `cv2` module; UserError when it is not installed."""
    try:
        import cv2
    except ImportError:
        raise UserError("measuring video needs OpenCV; pip install 'longtake[measure]'") from None
    return cv2
