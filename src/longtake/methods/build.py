"""From a policy to the method that carries it out."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory.build import FirstFrames
from longtake.methods import Method
from longtake.methods.causal import Causal
from longtake.methods.chained import Chained
from longtake.methods.fifo import Fifo as FifoQueue
from longtake.methods.joint import Joint
from longtake.methods.overlap import Overlap
from longtake.methods.rolling import Rolling
from longtake.methods.stream_batch import StreamBatch
from longtake.methods.unet_network import streaming_unet
from longtake.methods.wan_network import streaming_wan
from longtake.methods.windowed import Windowed
from longtake.models.codec import Codec
from longtake.models.policy import Policy
from longtake.models.rollouts import Fifo, LastFrame, Streaming, Tail, Windows
from longtake.models.rollouts import Overlap as Spec
from longtake.models.streaming.networks import MemoryNetworks
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import WanTransformer
from longtake.sampling import Sampler
from longtake.sampling.few_step import FewStep
from longtake.sampling.ode import FlowODE


def build(
    policy: Policy,
    backbone: WanTransformer | StreamingUNet,
    sampler: Sampler,
    *,
    guidance_scale: float = 1.0,
    codec: Codec | None = None,
    memories: MemoryNetworks | None = None,
) -> Method:
    """The method of a checkpoint. `sampler` is the one in force, made from `policy.sampler` and the user's choices.

    codec: for memories that go back to pixels. memories: of a transformer that streams as StreamingT2V does.
    """
    if isinstance(policy.rollout, Streaming):
        return streaming(
            policy.rollout,
            backbone,
            sampler,
            guidance_scale=guidance_scale,
            codec=codec,
            memories=memories,
            clip=policy.block,
        )
    if not isinstance(backbone, WanTransformer):
        raise UserError("this network makes long video as StreamingT2V does; use rollout 'streamingt2v'")
    if policy.kind == "joint":
        return joint(policy, backbone, sampler, guidance_scale=guidance_scale, codec=codec)
    if policy.kind == "causal":
        method = causal(policy, backbone, sampler, guidance_scale=guidance_scale, codec=codec)
        return overlap(method, policy.rollout, codec) if isinstance(policy.rollout, Spec) else method
    if not isinstance(sampler, FewStep):
        raise UserError(f"a {policy.kind!r} policy needs a step list; use the preset's own sampler")
    if policy.kind == "rolling":
        return Rolling(backbone=backbone, sampler=sampler, policy=policy, guidance_scale=guidance_scale)
    return StreamBatch(backbone=backbone, sampler=sampler, policy=policy)


def streaming(
    spec: Streaming,
    backbone: WanTransformer | StreamingUNet,
    sampler: Sampler,
    *,
    guidance_scale: float = 1.0,
    codec: Codec | None = None,
    memories: MemoryNetworks | None = None,
    clip: int,
) -> Method:
    """Clips of so many latent frames that go on from short-term memory and hold on to anchors."""
    if codec is None:
        raise ValueError("both memories need the codec")
    if isinstance(backbone, StreamingUNet):
        return streaming_unet(backbone, sampler, spec, codec, guidance_scale=guidance_scale)
    return streaming_wan(
        backbone,
        memories or MemoryNetworks(),
        sampler,
        spec,
        codec,
        clip=clip,
        guidance_scale=guidance_scale,
    )


def joint(
    policy: Policy,
    backbone: WanTransformer,
    sampler: Sampler,
    *,
    guidance_scale: float = 1.0,
    codec: Codec | None = None,
) -> Method:
    """Clips in which every frame sees every other, and what makes long video of them."""
    frames, rollout = policy.window.frames, policy.rollout
    if isinstance(rollout, Windows):
        return Windowed(
            backbone=backbone, sampler=sampler, frames=frames, spec=rollout, guidance_scale=guidance_scale
        )
    if isinstance(rollout, Fifo):
        assert isinstance(sampler, FlowODE)
        return FifoQueue(
            backbone=backbone,
            sampler=sampler,
            frames=frames,
            clips=rollout.clips,
            guidance_scale=guidance_scale,
        )
    if isinstance(rollout, Tail | LastFrame):
        if isinstance(rollout, LastFrame) and codec is None:
            raise ValueError("going on from the last pixel frame needs the codec")
        return Chained(
            backbone=backbone,
            sampler=sampler,
            frames=frames,
            shared=rollout.frames if isinstance(rollout, Tail) else 1,
            codec=first_frames(codec) if isinstance(rollout, LastFrame) and codec is not None else None,
            guidance_scale=guidance_scale,
        )
    return Joint(backbone=backbone, sampler=sampler, limit=frames, guidance_scale=guidance_scale)


def overlap(rollout: Causal, spec: Spec, codec: Codec | None) -> Overlap:
    """Rollouts without end."""
    if codec is None or rollout.limit is None:
        raise ValueError("overlapping rollouts need the codec, and a window that ends")
    return Overlap(rollout=rollout, frames=rollout.limit, shared=spec.frames, codec=first_frames(codec))


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
