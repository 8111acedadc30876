"""The same weights under every method of going on: what `longtake bench long --methods` compares.

A method is a change of the model's policy. All but `streaming` need a model whose frames can all see each other, as
mini's were trained to.
"""

from __future__ import annotations

from typing import Any

from longtake.errors import UserError
from longtake.models.policy import Policy
from longtake.models.steps import OdeSpec
from longtake.models.windows import RollingWindow
from longtake.pipeline import Pipeline

__all__ = ["METHODS", "chosen", "with_method", "with_steps"]

METHODS = {
    "streaming": "the model's own: block-causal, key-value cache",
    "last-frame": "clips from the last pixel frame of the one before (naive image-to-video)",
    "overlap": "clips from the last latent frames of the one before (Emu Video's extension)",
    "fifo": "a queue of rising noise (FIFO-Diffusion, without lookahead)",
    "gen-l-video": "whole length, overlapping predictions averaged",
    "freenoise": "whole length, windowed attention, shuffled noise",
}
"""Names and what they do; the first is what the others are compared with."""


def chosen(names: str) -> tuple[str, ...]:
    """The methods of a comma-separated list, or all of them. Raises UserError for one that is unknown."""
    listed = tuple(METHODS) if names == "all" else tuple(dict.fromkeys(names.split(",")))
    unknown = [name for name in listed if name not in METHODS]
    if unknown:
        raise UserError(f"method {unknown[0]!r} is unknown; known: all, {', '.join(METHODS)}")
    return listed


def with_method(pipe: Pipeline, name: str) -> Pipeline:
    """The same networks under another method. Raises UserError for a model that cannot follow it."""
    policy = pipe.preset.policy
    if name == "streaming":
        return pipe
    if not isinstance(policy.window, RollingWindow) or policy.sampler.kind != "ode":
        raise UserError(
            f"method {name!r} needs a model that can also make clips in which every frame sees every other, as mini; "
            f"{pipe.name!r} cannot"
        )
    changed = Policy.model_validate(policy.model_dump() | _changes(name, policy.window.frames, policy.block))
    return pipe.with_policy(changed)


def with_steps(pipe: Pipeline, steps: int) -> Pipeline:
    """The same model with another number of denoising steps. Raises UserError for one that is distilled to its own."""
    policy = pipe.preset.policy
    if not isinstance(policy.sampler, OdeSpec):
        raise UserError(f"{pipe.name!r} has its own step list; leave --steps out, or use a model without one")
    sampler = policy.sampler.model_copy(update={"num_inference_steps": steps})
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
    }
