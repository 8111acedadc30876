"""Drift: how far the look of a video moves away from its beginning. Nearer to 0 is better.

Every frame is described by its mean colour in CIE L*a*b* (three coordinates), contrast (standard deviation of L*),
sharpness (logarithm of the variance of the Laplacian of L*) and saturation (mean chroma √(a*² + b*²)). The video is cut
into windows of `SECONDS` seconds; each window is the mean over its frames, and every later window is compared with the
first:

`drift_colour`: distance ΔE*ab (CIE76) of the mean colours. `drift_contrast`, `drift_saturation`: difference in units of
L* and chroma. `drift_sharpness`: difference of the logarithms, so −0.69 is half the variance. Each figure is the last
window against the first, `…_worst` the one that is furthest from 0; the curve shows every window. Brightening,
over-saturation and blur, the known failures of autoregressive video, show as positive `drift_contrast` or
`drift_saturation` and negative `drift_sharpness`.

`drift_identity` is 1 − the cosine between mean embeddings of the windows, when an image encoder is given; it is named
in the notes. Limits: a scene that is meant to change drifts too, so compare with the same prompt's true video, or
methods with one another. The last window is left out when it is shorter than half a window.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.measure.video import Curve, Finding, Frame

__all__ = ["Drift", "look"]

SECONDS = 1.0
"""Length of a window."""
FIGURES = ("colour", "contrast", "sharpness", "saturation")
Embed = Callable[[Frame], NDArray[np.float32]]
"""A frame to a unit vector."""


def look(frame: Frame) -> NDArray[np.float64]:
    """L*, a*, b*, contrast, sharpness, saturation of a frame."""
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
    light, a, b = np.moveaxis(lab, -1, 0)
    sharpness = np.log(cv2.Laplacian(light, cv2.CV_64F).var() + 1e-3)
    return np.array([light.mean(), a.mean(), b.mean(), light.std(), sharpness, np.hypot(a, b).mean()])


class Drift:
    """All drift figures of one video."""

    def __init__(self, fps: float, *, embed: Embed | None = None, embedder: str = "") -> None:
        self._fps, self._embed, self._embedder = fps, embed, embedder
        self._size = max(1, round(SECONDS * fps))
        self._looks: list[NDArray[np.float64]] = []
        self._faces: list[NDArray[np.float64]] = []
        self._open: list[tuple[NDArray[np.float64], NDArray[np.float32] | None]] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        self._open.append((look(frame), self._embed(frame) if self._embed else None))
        if len(self._open) == self._size:
            self._close()

    def _close(self) -> None:
        self._looks.append(np.mean([seen for seen, _ in self._open], 0))
        faces = [face for _, face in self._open if face is not None]
        if faces:
            self._faces.append(np.mean(faces, 0, dtype=np.float64))
        self._open = []

    def finish(self) -> Finding:
        """See `Meter.finish`."""
        if self._open and (len(self._open) * 2 >= self._size or not self._looks):
            self._close()
        table = self._table()
        values: dict[str, float | None] = {}
        notes: dict[str, str] = {}
        for name, column in table.items():
            values[name] = column[-1] if len(column) > 1 else None
            values[f"{name}_worst"] = max(column[1:], key=abs) if len(column) > 1 else None
            if len(column) < 2:
                notes[name] = f"needs more than one window of {SECONDS:g} s"
        if self._embed is None:
            values["drift_identity"] = None
            notes["drift_identity"] = "no image encoder was given"
        else:
            notes.setdefault("drift_identity", f"image encoder: {self._embedder}")
        return Finding(values=values, curves=self._curves(table), notes=notes)

    def _table(self) -> dict[str, list[float]]:
        """Every window against the first, by figure."""
        looks = np.array(self._looks).reshape(-1, 6)
        change = looks - looks[:1]
        columns = (np.linalg.norm(change[:, :3], axis=1), change[:, 3], change[:, 4], change[:, 5])
        table = {
            f"drift_{name}": [float(value) for value in column]
            for name, column in zip(FIGURES, columns, strict=True)
        }
        if self._faces:
            unit = np.array(self._faces) / np.linalg.norm(self._faces, axis=1, keepdims=True)
            table["drift_identity"] = [float(value) for value in 1 - unit @ unit[0]]
        return table

    def _curves(self, table: dict[str, list[float]]) -> dict[str, Curve]:
        units = {
            "drift_colour": "ΔE",
            "drift_contrast": "L*",
            "drift_sharpness": "ln",
            "drift_saturation": "C*",
        }
        middle = tuple((index + 0.5) * self._size / self._fps for index in range(len(self._looks)))
        return {
            name: Curve(seconds=middle, values=tuple(column), unit=units.get(name, "1 − cos"))
            for name, column in table.items()
        }
