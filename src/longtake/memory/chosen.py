"""A user's choices about StreamingT2V's two memories, laid over what a policy says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.memory.apm import Anchors, Pin
from longtake.memory.pins import read_anchors
from longtake.models.policy import Policy
from longtake.models.rollouts import AnchorSpec, Streaming


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a user asked for; the defaults change nothing."""

    anchors: Sequence[str] = ()
    """Frames to hold on to, as `pins` reads them."""
    anchor_with_prompt: bool = False
    """Whether a new prompt brings a new anchor."""
    anchor_scale: float | None = None
    """Weight of the anchor in guidance."""
    long_term: bool = True
    """Whether the take holds on to anything."""
    short_term: bool = True
    """Whether clips go on from the last frames."""

    def applied(self, policy: Policy, model: str, fps: float) -> Policy:
        """The policy with these choices. Raises UserError where it has no such memories, or they contradict."""
        asked = {
            "anchors": bool(self.anchors),
            "anchor_with_prompt": self.anchor_with_prompt,
            "anchor_scale": self.anchor_scale is not None,
            "long_term": not self.long_term,
            "short_term": not self.short_term,
        }
        given = [name for name, is_given in asked.items() if is_given]
        if not given:
            return policy
        if not isinstance(policy.rollout, Streaming):
            raise UserError(
                f"{given[0]} given: {model!r} has no such memory; use a model that streams as StreamingT2V does"
            )
        if not self.long_term and given != ["long_term"] and set(given) - {"long_term", "short_term"}:
            raise UserError(f"{given[0]} given with the long-term memory switched off; leave one of them out")
        if self.anchor_scale is not None and not self.anchor_scale >= 0:
            raise UserError(f"anchor_scale {self.anchor_scale:g} is below 0; use 0 or more")
        return policy.model_copy(update={"rollout": self._rollout(policy.rollout, fps)})

    def _rollout(self, spec: Streaming, fps: float) -> Streaming:
        pins = read_anchors(self.anchors, fps).pins if self.anchors else None
        changes = {
            "anchors": spec.anchors if pins is None else tuple(map(_spec, pins)),
            "anchor_with_prompt": spec.anchor_with_prompt or self.anchor_with_prompt,
            "anchor_scale": spec.anchor_scale if self.anchor_scale is None else self.anchor_scale,
            "long_term": spec.long_term and self.long_term,
            "short_term": spec.short_term and self.short_term,
        }
        return spec.model_copy(update=changes)


def anchors_of(spec: Streaming) -> Anchors:
    """The rule that a policy's data describes."""
    pins = tuple(Pin(frames=anchor.frames, since=anchor.since) for anchor in spec.anchors)
    return Anchors(pins=pins, with_prompt=spec.anchor_with_prompt)


def check_anchors(policy: Policy, num_frames: int | None) -> None:
    """UserError for an anchor that a take of so many frames does not have."""
    if isinstance(policy.rollout, Streaming) and policy.rollout.long_term:
        anchors_of(policy.rollout).check(num_frames)


def _spec(pin: Pin) -> AnchorSpec:
    return AnchorSpec(frames=pin.frames, since=pin.since)
