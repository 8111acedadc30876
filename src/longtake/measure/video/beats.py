"""Narrative adherence of any video by CLIP, as `narrative.py` defines it. Higher is better.

A window of a second shows the beat whose prompt fits it best: highest mean cosine of its frames with the beats'
prompts. Identity is a figure of its own here, since CLIP cannot tell what a prompt leaves alone: `beat_identity` is the
mean cosine between the frames of one beat and those of the next. Limits: beats whose prompts differ in movement only
look alike to CLIP.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from longtake.measure.narrative import Look, tell
from longtake.measure.video import Finding, Frame
from longtake.measure.video.clip import ImageText
from longtake.timeline import Timeline

__all__ = ["Beats"]

NAMES = ("beats_adherence", "beats_seen", "beats_on_time", "beats_in_order", "beat_identity")


class Beats:
    """Narrative adherence of one video to a storyboard whose cues are in seconds."""

    def __init__(self, encoder: ImageText | None, story: Timeline, fps: float) -> None:
        self._encoder, self._fps = encoder, fps
        self._begins = [cue.at for cue in story.cues if cue.at is not None]
        self._prompts = (
            None if encoder is None else np.stack([encoder.text(cue.prompt) for cue in story.cues])
        )
        self._images: list[NDArray[np.float32]] = []

    def add(self, frame: Frame) -> None:
        """See `Meter.add`."""
        if self._encoder is not None:
            self._images.append(self._encoder.image(frame))

    def finish(self) -> Finding:
        """See `Meter.finish`."""
        if self._encoder is None or self._prompts is None:
            why = dict.fromkeys(NAMES, "no CLIP model was given")
            return Finding(values=dict.fromkeys(NAMES), notes=why)
        images = np.stack(self._images)
        end = len(images) / self._fps
        told = tell([begin for begin in self._begins if begin < end], end, self._looks(images))
        return Finding(
            values={
                "beats_adherence": told.adherence,
                "beats_seen": told.seen,
                "beats_on_time": told.on_time,
                "beats_in_order": told.in_order,
                "beat_identity": self._identity(images),
            },
            notes={"beats_adherence": f"{told.beats} beats; model: {self._encoder.name}"},
        )

    def _looks(self, images: NDArray[np.float32]) -> list[Look]:
        assert self._prompts is not None
        second = max(1, round(self._fps))
        looks = []
        for start in range(0, len(images) - second + 1, max(1, second // 2)):
            fits = (images[start : start + second] @ self._prompts.T).mean(0)
            shown = tuple(bool(beat == fits.argmax()) for beat in range(len(fits)))
            looks.append(Look(start=start / self._fps, end=(start + second) / self._fps, beats=shown))
        return looks

    def _identity(self, images: NDArray[np.float32]) -> float | None:
        cuts = [round(begin * self._fps) for begin in self._begins[1:] if begin * self._fps < len(images)]
        means = [part.mean(0) for part in np.split(images, cuts) if len(part)]
        pairs = [float(_unit(one) @ _unit(two)) for one, two in pairwise(means)]
        return float(np.mean(pairs)) if pairs else None


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit
