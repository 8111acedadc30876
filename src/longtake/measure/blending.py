"""The ablation of blending: one enhancer, the same clips and seeds, five ways of joining windows, in one run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from longtake.enhance.enhancer import Enhancer
from longtake.enhance.opening import find_enhancer
from longtake.enhance.settings import EnhanceSettings
from longtake.enhance.spec import EnhancerSpec
from longtake.enhance.upscale import upscale
from longtake.enhance.wan import WanDenoiser
from longtake.errors import UserError
from longtake.measure.bench import Progress
from longtake.measure.joins import at_joins, flow_lengths, join_pairs, motion_deviation, xt_sheet
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.models.hub import Native
from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig
from longtake.pipeline import Pipeline
from longtake.world.captions import caption
from longtake.world.render import render
from longtake.world.scene import sample_scene

__all__ = ["VARIANTS", "Subject", "blending", "random_enhancer", "subject"]

VARIANTS = {
    "B": EnhanceSettings(mode="exact", blending="naive"),
    "B+S": EnhanceSettings(mode="exact", blending="shared"),
    "B+S+averaging": EnhanceSettings(mode="exact", blending="average"),
    "B+S+RB exact": EnhanceSettings(mode="exact", blending="randomized"),
    "B+S+RB live": EnhanceSettings(mode="live", blending="randomized"),
}
"""Windows by themselves; with shared noise; and averaged, or joined by randomized blending, at every step."""
SEED = 60_000
SMALL = WanConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    ffn_dim=96,
    num_layers=2,
    freq_dim=64,
    in_channels=24,
    out_channels=24,
    text_dim=128,
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured."""

    enhancer: Enhancer
    weights: str
    """Whose weights, in words."""


def subject(model: str | Path) -> Subject:
    """A model's enhancer, or one of its shape with random weights where it has none. UserError for a damaged one."""
    try:
        folder = find_enhancer(model)
    except UserError:
        return Subject(enhancer=random_enhancer(Pipeline.from_pretrained(model)), weights="random")
    return Subject(enhancer=Enhancer.from_pretrained(folder), weights=f"enhancer of {model}")


def random_enhancer(pipe: Pipeline) -> Enhancer:
    """An enhancer for the video of a model, twice as large, with random weights."""
    if not isinstance(pipe.text_encoder, TextEncoder):
        raise UserError(f"model {pipe.name!r} has no enhancer, nor the text encoder of one; use mini")
    channels = pipe.codec.latent_channels
    config = replace(SMALL, in_channels=channels, out_channels=channels, text_dim=pipe.text_encoder.dim)
    spec = EnhancerSpec(
        name=pipe.name,
        licence="none",
        backbone="wan",
        native=Native(width=2 * pipe.width, height=2 * pipe.height, fps=pipe.fps),
        window=6,
        overlap=2,
        steps=4,
        strength=0.5,
    )
    denoiser = WanDenoiser(backbone=random_transformer(config), text_encoder=pipe.text_encoder)
    return Enhancer(spec, denoiser, pipe.codec)


def blending(
    found: Subject,
    clips: int,
    frames: int,
    size: int,
    progress: Progress,
    pictures: Path | None = None,
    level: int = 1,
) -> Result:
    """Motion deviation of every variant over the same clips, with intervals; X–T slices of the first as a picture."""
    begin, enhancer = time.perf_counter(), found.enhancer
    deviations: dict[str, list[float]] = {}
    joins: dict[str, list[float | None]] = {}
    seconds: dict[str, list[float]] = {}
    for number in range(clips):
        prompt, poor = _clip(enhancer, number, frames, size, level)
        shown: dict[str, NDArray[np.uint8]] = {}
        for name, video, spent in _variants(enhancer, prompt, poor, number):
            shown[name] = video
            lengths = flow_lengths(video)
            deviations.setdefault(name, []).append(motion_deviation(lengths))
            pairs = _pairs(enhancer, frames)
            joins.setdefault(name, []).append(at_joins(lengths, pairs))
            seconds.setdefault(name, []).append(spent / frames)
        if number == 0 and pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            xt_sheet(shown).save(pictures / "blending-xt.png")
        progress(number + 1, clips, "clips")
    config = {"clips": clips, "level": level, "frames": frames, "from": f"{size}x{size}"}
    return _result(found, config, [*_table(deviations, joins, seconds)], time.perf_counter() - begin)


def _clip(
    enhancer: Enhancer, number: int, frames: int, size: int, level: int
) -> tuple[str, NDArray[np.uint8]]:
    """A toybox clip as the codec gives it back, and its caption."""
    scene = sample_scene(SEED + number, level=level)
    clean = render(scene, frames, size=(size, size), fps=enhancer.spec.native.fps).frames
    stride, codec = enhancer.codec.temporal_stride, enhancer.codec
    whole = clean[: 1 + (frames - 1) // stride * stride]
    with torch.inference_mode():
        state = codec.start()
        poor = codec.decode(codec.encode(torch.from_numpy(whole)[None], state), state)[0].numpy()
    return caption(scene), np.concatenate([poor, clean[len(poor) :]])


def _variants(
    enhancer: Enhancer, prompt: str, poor: NDArray[np.uint8], seed: int
) -> Iterator[tuple[str, NDArray[np.uint8], float]]:
    """Name, video and seconds of each variant, the plain enlargement first."""
    times = enhancer.spec.scale
    yield "enlarged only", upscale(poor, times * poor.shape[2], times * poor.shape[1], "lanczos"), 0.0
    for name, settings in VARIANTS.items():
        begin = time.perf_counter()
        made = enhancer.stream(poor, prompt, fps=enhancer.spec.native.fps, seed=seed, settings=settings)
        video = np.concatenate([chunk.frames for chunk in made])
        yield name, video, time.perf_counter() - begin


def _pairs(enhancer: Enhancer, frames: int) -> list[int]:
    stride = enhancer.codec.temporal_stride
    latents = 1 - (1 - frames) // stride
    return join_pairs(EnhanceSettings().tiling(enhancer.spec), latents, stride)


def _table(
    deviations: Mapping[str, list[float]],
    joins: Mapping[str, list[float | None]],
    seconds: Mapping[str, list[float]],
) -> Iterator[Figure]:
    for name in deviations:
        yield Figure.mean(f"{name}: motion deviation", deviations[name], "px/frame")
        yield Figure.mean(f"{name}: motion at joins", joins[name], "times")
        yield Figure.mean(f"{name}: seconds a frame", seconds[name], "s")
    for name in VARIANTS:
        if name != "B":
            less = [one - other for one, other in zip(deviations["B"], deviations[name], strict=True)]
            yield Figure.mean(f"{name}: deviation below that of B", less, "px/frame")


def _result(found: Subject, config: Mapping[str, Any], figures: Sequence[Figure], spent: float) -> Result:
    spec = found.enhancer.spec
    own = {name: getattr(spec, name) for name in ("scale", "window", "overlap", "steps", "strength")}
    return Result(
        name="blending",
        title="Joining the windows of an enhancer: motion deviation",
        definition="Motion deviation: standard deviation over a clip of the mean flow from frame to frame (DIS, at the "
        "clip's own size), averaged over clips; intervals by the bootstrap over clips, differences paired by clip. "
        "Motion at joins: flow inside overlaps over flow elsewhere. Toybox clips through the codec at the small size.",
        config={"weights": found.weights, **config, **own},
        figures=tuple(figures),
        provenance=provenance("float32"),
        seconds=spent,
        notes=("With random weights only the machinery is measured, not what training gives.",)
        if found.weights == "random"
        else (),
        columns=True,
    )
