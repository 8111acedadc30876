"""What a model takes beside a prompt, or refuses, naming those that take it."""

from __future__ import annotations

from typing import NamedTuple

from longtake.errors import UserError
from longtake.models.hub import Preset, presets
from longtake.models.policy import FirstFrameEntry, Policy
from longtake.models.rollouts import Streaming, Tail
from longtake.models.steps import SourceSpec


def check_takes_image(preset: Preset) -> FirstFrameEntry:
    """How an image begins a take of this model; UserError when it takes none."""
    if preset.policy.first_frame is None:
        raise UserError(f"{preset.name!r} takes no image; use {_others('first_frame')}")
    return preset.policy.first_frame


def check_has_image(preset: Preset, *, first: bool, last: bool) -> None:
    """Refuse a take without the image that this model cannot do without, or with a last one that it does not take."""
    if preset.policy.first_frame == "beside" and not first:
        raise UserError(f"{preset.name!r} makes video from a picture; give an image")
    if last and not preset.policy.last_frame:
        others = [name for name, other in presets().items() if other.policy.last_frame]
        instead = f"use {', '.join(others)}, or " if others else ""
        raise UserError(f"{preset.name!r} takes no last image; {instead}leave it out")


def check_takes_video(preset: Preset) -> SourceSpec:
    """How a source video is given to this model; UserError when it takes none."""
    if preset.policy.source is None:
        raise UserError(f"{preset.name!r} takes no source video; use {_others('source')}")
    return preset.policy.source


class ClipLengths(NamedTuple):
    """Latent frames of a clip that a take goes on from."""

    least: int
    """Fewest."""
    most: int
    """What the model looks back on; earlier ones play no part."""
    step: int = 1
    """Beyond the fewest, whole blocks of so many."""


def check_takes_clip(preset: Preset) -> ClipLengths:
    """How much of a clip a take of this model goes on from; UserError for a model that cannot."""
    policy = preset.policy
    if isinstance(policy.rollout, Streaming):
        first = policy.rollout.first or policy.block
        return ClipLengths(min(first, policy.rollout.shared + 1), first)
    if isinstance(policy.rollout, Tail):
        return ClipLengths(policy.rollout.frames, policy.rollout.frames)
    if policy.kind != "causal" or policy.rollout is not None:
        raise UserError(
            f"{preset.name!r} cannot go on from a clip; use a causal model without an end, such as mini"
        )
    return _looked_back_on(policy)


def _looked_back_on(policy: Policy) -> ClipLengths:
    """Whole blocks that the window holds beside the one that is made."""
    blocks = max(1, policy.window.frames // policy.block - 1)
    return ClipLengths(policy.block, blocks * policy.block, policy.block)


def _others(field: str) -> str:
    """Models that have this field of a policy, for a message."""
    return ", ".join(name for name, preset in presets().items() if getattr(preset.policy, field) is not None)
