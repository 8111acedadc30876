"""The same weights under every method of going on: what `longtake bench long --methods` compares.

A method is a change of the model's policy. All but `streaming` need a model whose frames can all see each other, as
mini's were trained to.
"""

from __future__ import annotations

from typing import Any

from longtake.errors import UserError
from longtake.models.method import STREAMINGT2V, under_method
from longtake.models.policy import Policy
from longtake.models.rollouts import Streaming
from longtake.models.steps import OdeSpec
from longtake.models.wan import WanTransformer
from longtake.models.windows import RollingWindow
from longtake.pipeline import Pipeline

__all__ = ["METHODS", "chosen", "remembering", "streamed", "with_method", "with_steps"]

METHODS = {
    "streaming": "the model's own: block-causal, key-value cache",
    "last-frame": "clips from the last pixel frame of the one before (naive image-to-video)",
    "overlap": "clips from the last latent frames of the one before (Emu Video's extension)",
    "fifo": "a queue of rising noise (FIFO-Diffusion, without lookahead)",
    "gen-l-video": "whole length, overlapping predictions averaged",
    "freenoise": "whole length, windowed attention, shuffled noise",
    STREAMINGT2V: "clips that go on from short-term memory and hold on to an anchor (StreamingT2V)",
}
"""Names and what they do; the first is what the others are compared with."""
TRAINED = (STREAMINGT2V,)
"""Those that need more than the model's own weights, and are not meant by "all"."""


def chosen(names: str) -> tuple[str, ...]:
    """The methods of a comma-separated list, in which "all" stands for those that need no training.

    Raises UserError for one that is unknown.
    """
    every = ",".join(name for name in METHODS if name not in TRAINED)
    listed = tuple(dict.fromkeys(",".join(every if n == "all" else n for n in names.split(",")).split(",")))
    unknown = [name for name in listed if name not in METHODS]
    if unknown:
        raise UserError(f"method {unknown[0]!r} is unknown; known: all, {', '.join(METHODS)}")
    return listed


def with_method(pipe: Pipeline, name: str) -> Pipeline:
    """The same networks under another method. Raises UserError for a model that cannot follow it."""
    policy = pipe.preset.policy
    if name == "streaming":
        return pipe
    if name == STREAMINGT2V:
        return streamed(pipe)
    if not isinstance(policy.window, RollingWindow) or policy.sampler.kind != "ode":
        raise UserError(
            f"method {name!r} needs a model that can also make clips in which every frame sees every other, as mini; "
            f"{pipe.name!r} cannot"
        )
    changed = Policy.model_validate(policy.model_dump() | _changes(name, policy.window.frames, policy.block))
    return pipe.with_policy(changed)


def streamed(pipe: Pipeline) -> Pipeline:
    """The model as StreamingT2V streams, with whatever long-term memory it has. Raises UserError where it cannot."""
    policy = under_method(pipe.preset.policy, STREAMINGT2V, pipe.name)
    lacks = pipe.memories.apm is None and isinstance(pipe.backbone, WanTransformer)
    return remembering(pipe.with_policy(policy), long_term=False) if lacks else pipe.with_policy(policy)


def remembering(pipe: Pipeline, **changes: bool) -> Pipeline:
    """The same with StreamingT2V's memories (`long_term`, `short_term`) switched on or off."""
    policy = pipe.preset.policy
    assert isinstance(policy.rollout, Streaming)
    return pipe.with_policy(policy.model_copy(update={"rollout": policy.rollout.model_copy(update=changes)}))


def with_steps(pipe: Pipeline, steps: int) -> Pipeline:
    """The same model with another number of denoising steps, the same for every block.

    Raises UserError for one that is distilled to its own.
    """
    policy = pipe.preset.policy
    if not isinstance(policy.sampler, OdeSpec):
        raise UserError(f"{pipe.name!r} has its own step list; leave --steps out, or use a model without one")
    sampler = policy.sampler.model_copy(
        update={"num_inference_steps": steps, "first_num_inference_steps": None}
    )
    return pipe.with_policy(policy.model_copy(update={"sampler": sampler}))


def _changes(name: str, clip: int, block: int) -> dict[str, Any]:
    """What the method changes for a model trained on clips of `clip` latent frames."""
    rollout: dict[str, dict[str, Any]] = {
        "last-frame": {"kind": "last-frame"},
        "overlap": {"kind": "tail", "frames": block},
        "fifo": {"kind": "fifo"},
        "gen-l-video": {"kind": "windows", "stride": clip // 2, "fuse": "prediction"},
        "freenoise": {
            "kind": "windows",
            "stride": max(1, clip // 4),
            "fuse": "attention",
            "shuffled_noise": True,
        },
    }
    return {
        "block": clip,
        "window": {"kind": "clip", "frames": clip},
        "position": {"kind": "absolute"},
        "rollout": rollout[name],
        "guidance_until": 0.0,
    }
