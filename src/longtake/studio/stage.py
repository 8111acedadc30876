"""The models of one worker: loaded once, tried out, described."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from longtake.enhance.opening import enhancer_in
from longtake.errors import UserError
from longtake.journal import Library
from longtake.models.codec import frames_for_latents
from longtake.models.hub import Preset
from longtake.models.intake import check_takes_clip
from longtake.pipeline import Pipeline
from longtake.timeline import Timeline

LOG = logging.getLogger("longtake.studio")
SHARE = 0.7
"""Part of the measured speed that is given to takes; the rest is for encoding, transport and videos."""
LANES = 2
"""Takes that are made side by side at most, each by its part of the cores: more would wait for Python's lock."""
GAIN = 1.1
"""How much faster two takes side by side have to be than by turns."""
MEASURED = 2
"""Chunks after the first whose speed is measured."""
TRY_OUT = "a red sphere"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What this machine makes with the default model."""

    speed: float
    """Media seconds a second, of all lanes together."""
    threads: int
    """Of torch, for each lane."""
    lanes: int = 1
    """Takes that are made side by side."""


class Stage:
    """Loaded models by name, the default first."""

    def __init__(self, pipes: Sequence[Pipeline]) -> None:
        self._pipes = {pipe.name: pipe for pipe in pipes}
        self._broken: dict[str, str] = {}

    @classmethod
    def load(cls, names: Sequence[str]) -> Stage:
        """Open models by name or folder. Raises UserError for one that cannot be opened, or twice the same name."""
        pipes = [Pipeline.from_pretrained(name) for name in names]
        found = [pipe.name for pipe in pipes]
        if len(set(found)) < len(found):
            raise UserError(f"models {', '.join(found)} given; give each name once")
        return cls(pipes)

    def warm(self) -> Pace:
        """Make a little with each model.

        A model that makes no finite numbers is not used, and says so to whoever asks for it.
        """
        pipes, threads = [*self._pipes.values()], torch.get_num_threads()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone, *_ = map(self._try_out, pipes)
            if threads >= LANES and all(map(_is_shareable, pipes)):
                together = _together(pipes[0], threads // LANES)
                torch.set_num_threads(threads)  # threads that begin later follow the last that was set
                if together > max(GAIN * alone, LANES / SHARE):  # one that is alone must not fall behind
                    return Pace(speed=together, threads=threads // LANES, lanes=LANES)
        return Pace(speed=alone, threads=threads)

    def pipe(self, name: str) -> Pipeline:
        """A model by name. Raises UserError for one that is not there, or that cannot be used."""
        if name not in self._pipes:
            raise UserError(f"model {name!r} is not served here; use one of {', '.join(self._pipes)}")
        if name in self._broken:
            raise UserError(self._broken[name])
        return self._pipes[name]

    def describe(self) -> dict[str, dict[str, Any]]:
        """What each model is and can, by name."""
        return {
            name: _describe(pipe) | {"default": index == 0}
            for index, (name, pipe) in enumerate(self._pipes.items())
        }

    def _try_out(self, pipe: Pipeline) -> float:
        """Make and record some chunks, so that the first take finds everything warm; media seconds a second."""
        tried = _try_out(pipe)
        if not tried.is_finite:
            self._broken[pipe.name] = (
                f"the weights of {pipe.name!r} make numbers that are not finite; use another model"
            )
        return tried.media_seconds / tried.took if tried.media_seconds else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tried:
    is_finite: bool
    media_seconds: float
    """Of the chunks after the first; 0 where there is only one."""
    took: float


def _try_out(pipe: Pipeline, meet: Callable[[], object] = lambda: None) -> _Tried:
    """meet: called before the clock starts."""
    with (
        tempfile.TemporaryDirectory() as home,
        Library(Path(home)).create(pipe, Timeline.from_prompt(TRY_OUT), seed=0) as take,
    ):
        first = next(take)
        meet()
        began = time.perf_counter()
        rest = [next(take) for _ in range(MEASURED if pipe.longest is None else 0)]
        took = time.perf_counter() - began
    return _Tried(
        is_finite=all(bool(torch.isfinite(made.chunk.latents).all()) for made in (first, *rest)),
        media_seconds=sum(len(made.chunk.frames) for made in rest) / pipe.fps,
        took=took,
    )


def _together(pipe: Pipeline, threads: int) -> float:
    """Media seconds a second of takes that are made side by side, each by so many threads; 0 where it fails."""
    start = threading.Barrier(LANES)

    def lane(_: int) -> _Tried:
        torch.set_num_threads(threads)
        try:
            return _try_out(pipe, start.wait)
        except BaseException:
            start.abort()
            raise

    with ThreadPoolExecutor(LANES) as lanes:
        try:
            tried = [*lanes.map(lane, range(LANES))]
        except Exception:  # no memory for two, most likely: then they are made by turns
            LOG.warning("takes cannot be made side by side", exc_info=True)
            return 0.0
    return sum(one.media_seconds for one in tried) / max(one.took for one in tried)


def _is_shareable(pipe: Pipeline) -> bool:
    """Whether two takes may be in its networks at once: on a CPU, with weights that stay where they are."""
    return all(weight.device.type == "cpu" for weight in pipe.backbone.parameters())


def _describe(pipe: Pipeline) -> dict[str, Any]:
    preset = pipe.preset
    policy, native, stride = preset.policy, preset.native, pipe.codec.temporal_stride
    sampler, window, source = policy.sampler, policy.window, policy.source
    steps = getattr(sampler, "num_inference_steps", None) or len(getattr(sampler, "steps", ()))
    longest = pipe.longest
    return {
        "id": preset.name,
        "object": "model",
        "summary": preset.summary,
        "licence": preset.licence,
        "method": policy.kind,
        "width": native.width,
        "height": native.height,
        "fps": native.fps,
        "size_multiple": pipe.codec.spatial_stride * pipe.backbone.config.patch_size[1],
        "first_chunk_seconds": frames_for_latents(policy.block, stride) / native.fps,
        "chunk_seconds": policy.block * stride / native.fps,
        "longest_seconds": None if longest is None else longest / native.fps,
        "can_be_steered": policy.kind != "joint",
        "takes_image": policy.first_frame is not None,
        "takes_video": source is not None,
        "goes_on_from_clips": _goes_on_from_clips(preset),
        "default_strength": None if source is None else source.strength,
        "enhances": not (why := _why_not_enhanced(pipe)),
        "enhance_note": why or None,
        "guidance_scale": policy.guidance_scale,
        "num_inference_steps": steps,
        "window_frames": getattr(window, "frames", None),
        "sink_frames": getattr(window, "sink", 0),
        "known_words": list(pipe.known_words),
    }


def _why_not_enhanced(pipe: Pipeline) -> str:
    """Why a model's video cannot be made larger and cleaner here, for the user; empty where it can."""
    try:
        enhancer_in(pipe.folder, pipe.name)
    except UserError:
        return f"{pipe.name} comes without an enhancer; serve a model that has one to make its takes larger"
    return ""


def _goes_on_from_clips(preset: Preset) -> bool:
    try:
        check_takes_clip(preset)
    except UserError:
        return False
    return True
