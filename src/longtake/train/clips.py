"""What a stored clip shows: the scene, the stretches of it that are filmed, and its captions over time.

A caption speaks for the moment at which it came into force, as a prompt does: at the take's beginning, or at the event
that changed it. What a caption says of a direction therefore holds from there on, until the path turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from longtake.train.config import LatentsConfig
from longtake.train.counters import numbers
from longtake.train.store import ClipRecord, Segment
from longtake.world.captions import caption, changes
from longtake.world.scene import Scene, sample_scene
from longtake.world.state import state

__all__ = ["PlannedClip", "Stretch", "plan_clip"]

TEMPORAL_STRIDE = 4
"""Pixel frames of a latent frame after the first, as in the Wan VAE."""
EVENTS = ("colour", "motion")
"""What may change in a clip of any level."""
MARGIN = 1.0
"""Seconds at a clip's ends that are kept free of events, where it is long enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Consecutive pixel frames that are filmed and encoded as one stream."""

    start: int
    """First pixel frame of the shot; the stream's image latent is made of it."""
    latent_frames: int
    """Latent frames that are kept."""
    drop: int
    """Latent frames dropped at the beginning: 1 takes the image latent away, as in the middle of a take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClip:
    """Everything needed to film, encode and file one clip."""

    scene: Scene
    stretches: tuple[Stretch, ...]
    record: ClipRecord


def plan_clip(seed: int, split: str, config: LatentsConfig) -> PlannedClip:
    """The clip of a seed."""
    rng = numbers(seed, "clip")
    levels = sorted(config.levels)
    shares = np.array([config.levels[level] for level in levels])
    level = int(rng.choice(levels, p=shares / shares.sum()))
    jump = bool(rng.random() < config.jump_share)
    stretches = _jump(rng, config) if jump else _shot(config)
    event = EVENTS[int(rng.integers(len(EVENTS)))] if rng.random() < config.event_share else None
    at = _event_time(rng, stretches, config)
    calm = config.calm_share > 0 and bool(rng.random() < config.calm_share)
    scene = sample_scene(seed, level=level, split=split, event=event, event_at=at, calm=calm)
    record = ClipRecord(
        level=level,
        seed=seed,
        start=stretches[-1].start,
        jump=jump,
        split=split,
        attributes=summary(scene),
        segments=caption_latents(rng, scene, stretches, split, config),
    )
    return PlannedClip(scene=scene, stretches=stretches, record=record)


def _shot(config: LatentsConfig) -> tuple[Stretch, ...]:
    return (Stretch(start=0, latent_frames=config.latent_frames, drop=0),)


def _jump(rng: np.random.Generator, config: LatentsConfig) -> tuple[Stretch, ...]:
    """The first block, and a stretch that begins a (log-uniform) number of latent frames after it."""
    most = config.longest_gap * config.fps / TEMPORAL_STRIDE
    gap = int(np.exp(rng.random() * np.log(most)))
    latent = config.block + gap
    begin = TEMPORAL_STRIDE * (latent - 1)
    return (
        Stretch(start=0, latent_frames=config.block, drop=0),
        Stretch(start=begin, latent_frames=config.latent_frames - config.block, drop=1),
    )


def latent_times(stretches: tuple[Stretch, ...], fps: float) -> np.ndarray:
    """Seconds of the last pixel frame of each latent frame of a clip."""
    times = [s.start + TEMPORAL_STRIDE * (s.drop + i) for s in stretches for i in range(s.latent_frames)]
    return np.array(times) / fps


def _event_time(rng: np.random.Generator, stretches: tuple[Stretch, ...], config: LatentsConfig) -> float:
    """A moment inside the last stretch, or (in half of the jumps) between the two."""
    times = latent_times(stretches, config.fps)
    first, last = times[-stretches[-1].latent_frames], times[-1]
    if len(stretches) > 1 and rng.random() < 0.5:
        first, last = times[stretches[0].latent_frames - 1], first
        return float(rng.uniform(first, last))
    margin = min(MARGIN, 0.25 * (last - first))
    return float(rng.uniform(first + margin, last - margin))


def caption_latents(
    rng: np.random.Generator, scene: Scene, stretches: tuple[Stretch, ...], split: str, config: LatentsConfig
) -> tuple[Segment, ...]:
    """Captions by latent frame. A latent frame reads the last caption that began before its own end."""
    times = latent_times(stretches, config.fps)
    wordings = [int(w) for w in rng.integers(2**31, size=config.wordings)]
    segments: list[Segment] = []
    for began in changes(scene):
        place = int(np.searchsorted(times, began, side="right")) if began > 0 else 0
        if place == len(times):
            continue
        texts = tuple(dict.fromkeys(caption(scene, seconds=began, wording=w, split=split) for w in wordings))
        if segments and segments[-1].start == place:
            segments.pop()
        segments.append(Segment(start=place, captions=texts))
    return tuple(segments)


def summary(scene: Scene) -> dict[str, Any]:
    """What the clip shows at its beginning, and what happens, for filters and figures."""
    moment = state(scene, 0.0)
    solids = [{"shape": s.shape, "colour": s.colour, "motion": s.motion} for s in moment.solids]
    events = [{"kind": event.kind, "at": round(event.at, 3), "solid": event.solid} for event in scene.events]
    return {"solids": solids, "ground": moment.ground, "camera": moment.camera, "events": events}
