"""From a policy to the method that carries it out."""

from __future__ import annotations

from longtake.errors import UserError
from longtake.memory.kv_window import WindowRule
from longtake.methods import Method
from longtake.methods.causal import Causal
from longtake.models.policy import CleanPass, Policy
from longtake.models.wan import WanTransformer
from longtake.sampling import Sampler


def build(
    policy: Policy, backbone: WanTransformer, sampler: Sampler, *, guidance_scale: float = 1.0
) -> Method:
    """The method of a checkpoint. `sampler` is the one in force, made from `policy.sampler` and the user's choices.

    Raises UserError for a kind of policy that no method carries out.
    """
    if policy.kind == "causal":
        return causal(policy, backbone, sampler, guidance_scale=guidance_scale)
    raise UserError(f"no method for a {policy.kind!r} policy; use a preset of a causal model")


def causal(
    policy: Policy, backbone: WanTransformer, sampler: Sampler, *, guidance_scale: float = 1.0
) -> Causal:
    """Block after block, beside what the policy remembers."""
    window, context = policy.window, policy.context
    return Causal(
        backbone=backbone,
        sampler=sampler,
        rule=WindowRule(window=window.frames, sink=window.sink, block=policy.block),
        guidance_scale=guidance_scale,
        context_timestep=context.timestep if isinstance(context, CleanPass) else 0.0,
        limit=policy.longest(backbone.config.rope_max_seq_len),
    )
