"""What distillation gains in time: a bidirectional teacher of many steps against its streaming student of few.

Both have one architecture, for weights do not change time, both take the engine's fastest path, and decoding is
included. The teacher makes all frames at once in `STEPS` steps with guidance, both branches in one batch, so its first
frame comes with its last. The student makes blocks in four steps and one pass that remembers the block, beside all of
its past. First frame: from the prompt to the first chunk's pixels. Throughput: frames over the time for all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from longtake.measure.bare import named, random_codec, random_engine, random_take, random_text
from longtake.measure.filming import about_model
from longtake.measure.playback import PARTS, PROMPTS, WARM_UP, Played, play
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer
from longtake.measure.results import Figure, Result
from longtake.models.attention import WholeClip
from longtake.models.codec import latents_for_frames
from longtake.models.policy import Policy
from longtake.models.steps import FewStepSpec
from longtake.models.wan import WanConfig
from longtake.pipeline import Pipeline

__all__ = ["Cost", "Scale", "as_student", "native_speedup", "speedup"]

Progress = Callable[[int, int, str], None]
STEPS, GUIDANCE = 50, 3.0
FRAMES = 128
"""Pixel frames that both make."""
BLOCK = 3
STUDENT = {"kind": "few-step", "steps": (1000, 750, 500, 250), "shift": 3.0, "warp": True}
LEAST_FIRST, LEAST_THROUGHPUT = 168, 16
"""CausVid's own figures: 219 s to 1.3 s (168), and 0.6 to 9.4 frames a second (16)."""
DEFINITION = " ".join((__doc__ or "").split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How large the random networks are."""

    network: WanConfig
    """Its layers are doubled until a forward is long enough."""
    size: tuple[int, int]
    """Rows and columns of the latent grid."""
    least: float = 0.5
    """Seconds that one forward of the student must take."""
    frames: int = FRAMES
    """Pixel frames that are made."""
    timed: int = 5
    """Steps of the teacher that are timed."""


LARGE = Scale(
    network=WanConfig(
        num_attention_heads=12, attention_head_dim=64, ffn_dim=3072, num_layers=4, text_dim=128, in_channels=4,
        out_channels=4,
    ),
    size=(30, 52),
)  # fmt: skip
"""A quarter of Wan's picture: 390 tokens a latent frame."""
QUICK = replace(
    LARGE, network=replace(LARGE.network, num_layers=1), size=(16, 28), least=0.05, frames=45, timed=2
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Seconds of one way of making the frames."""

    first: float
    """To the first pixels."""
    total: float
    """To the last."""
    denoise: float
    """In the sampler."""
    decode: float
    """In the codec."""


def speedup(progress: Progress, scale: Scale = LARGE) -> Result:
    """One architecture of random weights, deep enough that a forward of the student takes a while."""
    begin = time.perf_counter()
    config, forward = _deep_enough(scale)
    model, codec = random_transformer(config), random_codec(config.in_channels)
    progress(1, 3, "network chosen")
    latents = latents_for_frames(_whole(scale.frames), codec.temporal_stride)

    def cost(policy: Policy, times: float = 1.0) -> Cost:
        return _cost(random_engine(policy, model, codec, scale.size), scale.frames, times)

    student = cost(_student_policy(latents))
    progress(2, 3, "student timed")
    teacher = cost(_teacher_policy(latents, scale.timed), STEPS / scale.timed)
    progress(3, 3, "teacher timed")
    note = f"{scale.timed} of {STEPS} steps timed, each 2 forwards in a batch, and multiplied"
    return Result(
        name="speedup",
        title=f"Teacher and student of one architecture, random weights, {scale.frames} frames",
        definition=f"{DEFINITION} The teacher's denoising was timed on {note}.",
        config={
            "network": named(config),
            "latent grid": list(scale.size),
            "latent frames": latents,
            "student": STUDENT,
            "teacher": {"steps": STEPS, "guidance": GUIDANCE},
        },
        figures=(
            Figure(name="one forward of the student", value=forward, unit="s", asked=f">= {scale.least:g}"),
            *_ratios(teacher, student, scale.frames, asked=True),
            *_costs("teacher", teacher, note),
            *_costs("student", student),
        ),
        provenance=provenance("float32"),
        seconds=time.perf_counter() - begin,
    )


def _deep_enough(scale: Scale) -> tuple[WanConfig, float]:
    """The network, and seconds of a forward over a block by itself."""
    config = scale.network
    while (seconds := _forward_seconds(config, scale.size)) < scale.least:
        config = replace(config, num_layers=2 * config.num_layers)
    return config, seconds


@torch.inference_mode()
def _forward_seconds(config: WanConfig, size: tuple[int, int]) -> float:
    model = random_transformer(config)
    rule = WholeClip(grid=config.grid(*size), positions=tuple(range(BLOCK)))
    latents, times = torch.randn(1, config.in_channels, BLOCK, *size), []
    for _ in range(3):
        start = time.perf_counter()
        model(latents, torch.full((1, BLOCK), 500.0), random_text(model), attention=rule)
        times.append(time.perf_counter() - start)
    return min(times)


def _whole(frames: int) -> int:
    """As many frames or a few more, so that the codec makes them of whole latent frames."""
    stride = random_codec(4).temporal_stride
    return 1 + -(-(frames - 1) // stride) * stride


def _student_policy(latents: int) -> Policy:
    whole = -(-latents // BLOCK) * BLOCK
    return Policy.model_validate(
        {"block": BLOCK, "window": {"kind": "full", "frames": whole}, "sampler": STUDENT}
    )


def _teacher_policy(latents: int, steps: int = STEPS) -> Policy:
    return Policy.model_validate(
        {
            "block": latents,
            "window": {"kind": "clip", "frames": latents},
            "guidance_scale": GUIDANCE,
            "sampler": {"kind": "ode", "num_inference_steps": steps, "shift": 3.0},
        }
    )


def _cost(engine: Any, frames: int, times: float) -> Cost:
    """Make a take; `times` is what the sampler's seconds count."""
    next(random_take(engine, 1)[0])  # what is chosen or allocated at first use
    first, denoise, decode, begin = 0.0, 0.0, 0.0, time.perf_counter()
    for chunk in random_take(engine, frames)[0]:
        first = first or time.perf_counter() - begin
        denoise, decode = denoise + chunk.timings.denoise, decode + chunk.timings.decode
    more = denoise * (times - 1)
    total = time.perf_counter() - begin + more
    return Cost(first=first + more, total=total, denoise=denoise + more, decode=decode)


def _ratios(teacher: Cost, student: Cost, frames: int, *, asked: bool) -> Iterator[Figure]:
    for name, value, least in (
        ("first frame, teacher over student", teacher.first / student.first, LEAST_FIRST),
        ("throughput, student over teacher", teacher.total / student.total, LEAST_THROUGHPUT),
    ):
        yield Figure(name=name, value=value, unit="times", asked=f">= {least}" if asked else None)
    for who, cost in (("teacher", teacher), ("student", student)):
        yield Figure(name=f"{who}: frames a second", value=frames / cost.total, unit="frames/s")


def _costs(who: str, cost: Cost, note: str = "") -> Iterator[Figure]:
    for name in ("first", "total", "denoise", "decode"):
        yield Figure(name=f"{who}: {name}", value=getattr(cost, name), unit="s", note=note)


def as_student(pipe: Pipeline) -> Pipeline:
    """The model as it is when it has a step list; otherwise run as a student would be, for its time alone."""
    policy = pipe.preset.policy
    if isinstance(policy.sampler, FewStepSpec):
        return pipe
    return pipe.with_policy(
        Policy.model_validate(policy.model_dump() | {"sampler": STUDENT, "guidance_scale": 1.0})
    )


def native_speedup(pipe: Pipeline, progress: Progress, frames: int = FRAMES, steps: int = STEPS) -> Result:
    """The same with a model's own networks at its own size, everything measured."""
    begin, student = time.perf_counter(), as_student(pipe)
    latents = latents_for_frames(_whole(frames), pipe.codec.temporal_stride)
    teacher = pipe.with_policy(_teacher_policy(latents, steps))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play(student, PROMPTS[0], round(WARM_UP * pipe.fps), 0, folder)
        streamed = [play(student, prompt, frames, seed, folder) for seed, prompt in enumerate(PROMPTS)]
        progress(1, 2, "student timed")
        whole = play(teacher, PROMPTS[0], frames, 0, folder)
        progress(2, 2, "teacher timed")
    costs = _played(whole), _mean([_played(each) for each in streamed])
    return Result(
        name="speedup-native",
        title=f"Teacher and student at {pipe.name}'s native size, {frames} frames, all of it measured",
        definition=f"{DEFINITION} Text encoder and H.264 encoding are included too. The student's figures are means of "
        f"{len(streamed)} takes.",
        config={
            **about_model(pipe),
            "student": student.preset.policy.sampler.model_dump(mode="json"),
            "teacher": {"steps": steps, "guidance": GUIDANCE, "latent frames": latents},
        },
        figures=(
            *_ratios(*costs, frames, asked=False),
            *_costs("teacher", costs[0]),
            *_costs("student", costs[1]),
            *_shares("teacher", [whole]),
            *_shares("student", streamed),
        ),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=time.perf_counter() - begin,
        notes=() if student is pipe else (f"{pipe.name} has no step list; it was run under a student's.",),
    )


def _played(take: Played) -> Cost:
    parts = take.parts
    return Cost(first=take.first_frame, total=take.total, denoise=parts["denoise"], decode=parts["decode"])


def _mean(costs: list[Cost]) -> Cost:
    names = ("first", "total", "denoise", "decode")
    return Cost(**{name: sum(getattr(cost, name) for cost in costs) / len(costs) for name in names})


def _shares(who: str, takes: list[Played]) -> Iterator[Figure]:
    total = sum(take.total for take in takes)
    for part in (*PARTS, "encode"):
        share = sum(take.parts[part] for take in takes) / total
        yield Figure(name=f"{who}: time in {part}", value=share, unit="share", note="of the wall time")
