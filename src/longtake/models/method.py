"""The method that a user asks for in place of a checkpoint's own, as a change of its policy."""

from __future__ import annotations

from longtake.errors import UserError
from longtake.models.policy import Absolute, CleanPass, Policy, Reset
from longtake.models.rollouts import Streaming
from longtake.models.steps import FewStepSpec, OdeSpec
from longtake.models.windows import ClipWindow

STREAMINGT2V = "streamingt2v"
METHODS = (STREAMINGT2V,)
"""Methods that can be asked for by name."""
CLIP, SHARED = 4, 2
"""Latent frames of a clip, and of these what shows again the end of the clip before: 16 and 8 pixel frames, as
published, on a codec with 4 pixel frames a latent frame."""


def under_method(policy: Policy, method: str | None, model: str) -> Policy:
    """The policy of `model` under a method (None: its own). Raises UserError for one that is unknown or cannot be."""
    if method is None:
        return policy
    if method not in METHODS:
        raise UserError(f"method {method!r} is unknown; known: {', '.join(METHODS)}, or leave it out")
    if isinstance(policy.rollout, Streaming):
        return policy
    if not isinstance(policy.sampler, OdeSpec | FewStepSpec) or policy.first_frame == "beside":
        raise UserError(f"{model!r} cannot stream as StreamingT2V does; leave the method out, or use mini")
    return _streamed(policy)


def _streamed(policy: Policy) -> Policy:
    """Clips in which every frame sees every other; the first is one latent frame longer, which is one pixel frame."""
    return Policy(
        block=CLIP,
        window=ClipWindow(kind="clip", frames=CLIP),
        position=Absolute(kind="absolute"),
        context=CleanPass(kind="clean"),
        prompt_change=Reset(kind="reset"),
        rollout=Streaming(kind="streamingt2v", shared=SHARED, first=1 + CLIP),
        guidance_scale=policy.guidance_scale,
        sampler=policy.sampler,
        first_frame="prefix" if policy.first_frame == "prefix" else None,
        source=None,
    )
