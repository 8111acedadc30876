"""From a policy to the method that carries it out."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory.build import FirstFrames
from longtake.methods import Method
from longtake.methods.causal import Causal
from longtake.models.codec import Codec
from longtake.models.policy import Policy
from longtake.models.wan import WanTransformer
from longtake.sampling import Sampler


def build(
    policy: Policy,
    backbone: WanTransformer,
    sampler: Sampler,
    *,
    guidance_scale: float = 1.0,
    codec: Codec | None = None,
) -> Method:
    """The method of a checkpoint. `sampler` is the one in force, made from `policy.sampler` and the user's choices.

    codec: for memories that go back to pixels. Raises UserError for a kind of policy that no method carries out.
    """
    if policy.kind == "causal":
        return causal(policy, backbone, sampler, guidance_scale=guidance_scale, codec=codec)
    raise UserError(f"no method for a {policy.kind!r} policy; use a preset of a causal model")


def causal(
    policy: Policy,
    backbone: WanTransformer,
    sampler: Sampler,
    *,
    guidance_scale: float = 1.0,
    codec: Codec | None = None,
) -> Causal:
    """Block after block, beside what the policy remembers."""
    return Causal(
        backbone=backbone,
        sampler=sampler,
        policy=policy,
        guidance_scale=guidance_scale,
        codec=None if codec is None else first_frames(codec),
    )


def first_frames(codec: Codec) -> FirstFrames:
    """A pixel frame encoded by itself, as the first of a video."""

    def encode(frame: Tensor) -> Tensor:
        device = next(codec.parameters()).device
        return codec.encode(frame.to(device), codec.start()).to("cpu", torch.float32)

    return FirstFrames(encode=encode, temporal_stride=codec.temporal_stride)
