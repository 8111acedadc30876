"""From a policy to the memory of a take, and to the bytes that it will hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from longtake.memory import KeepingMemory, Memory
from longtake.memory.adaptive_sink import AdaptiveSink
from longtake.memory.adaptive_sink import shape_of as adaptive_shape
from longtake.memory.cache import CacheShape
from longtake.memory.kv_window import KVWindow
from longtake.memory.recache import RecachedWindow
from longtake.memory.recompute import EncodeFrame, Recompute
from longtake.memory.recompute import shape_of as context_shape
from longtake.memory.rows import RowMemories
from longtake.memory.window_rule import WindowRule
from longtake.models.attention import Grid
from longtake.models.policy import CleanPass, Policy, Recache, StreamBatchSpec
from longtake.models.wan import WanConfig, WanTransformer
from longtake.models.windows import AdaptiveWindow, ClipWindow, RecomputeWindow


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstFrames:
    """What a memory that goes back to pixels needs of the codec."""

    encode: EncodeFrame
    temporal_stride: int
    """Pixel frames of a latent frame after the first."""


def memory_of(
    policy: Policy,
    backbone: WanTransformer,
    latent_shape: tuple[int, int, int],
    codec: FirstFrames | None = None,
    *,
    rows: int | None = None,
) -> Memory:
    """The memory of a take whose latent frames are `latent_shape` `(C, H, W)`.

    codec: needed by a recomputed context. rows: steps in force of a stream batch; by default those of the policy.
    """
    timestep = policy.context.timestep if isinstance(policy.context, CleanPass) else None
    if isinstance(policy.window, RecomputeWindow):
        if codec is None:
            raise ValueError("a recomputed context needs the codec")
        return Recompute(
            backbone,
            latent_shape,
            frames=policy.window.frames,
            block=policy.block,
            encode=codec.encode,
            temporal_stride=codec.temporal_stride,
            context_timestep=timestep or 0.0,
            bias=policy.attention_bias,
        )
    if isinstance(policy.sampler, StreamBatchSpec):
        count = len(policy.sampler.steps) if rows is None else rows
        return RowMemories(tuple(_cache(policy, backbone, latent_shape, timestep) for _ in range(count)))
    cache = _cache(policy, backbone, latent_shape, timestep)
    if isinstance(policy.prompt_change, Recache) and isinstance(cache, KVWindow):
        return RecachedWindow(cache, policy.prompt_change, latent_shape)
    return cache


def _cache(
    policy: Policy, backbone: WanTransformer, latent_shape: tuple[int, int, int], timestep: float | None
) -> KeepingMemory:
    grid, rule = backbone.config.grid(*latent_shape[1:]), WindowRule.of(policy)
    if isinstance(policy.window, AdaptiveWindow):
        threshold = policy.window.threshold
        return AdaptiveSink(
            backbone,
            grid,
            rule,
            threshold=threshold,
            context_timestep=timestep,
            bias=policy.attention_bias,
        )
    return KVWindow(backbone, grid, rule, context_timestep=timestep, bias=policy.attention_bias)


def cache_shape(policy: Policy) -> CacheShape | None:
    """What one cache of the policy's memory holds; None for a model without one."""
    if isinstance(policy.window, ClipWindow):
        return None
    if isinstance(policy.window, RecomputeWindow):
        return context_shape(policy.window.frames, policy.block)
    rule = WindowRule.of(policy)
    return adaptive_shape(rule) if isinstance(policy.window, AdaptiveWindow) else rule.shape


def planned_bytes(
    policy: Policy, config: WanConfig, grid: Grid, dtype: torch.dtype, *, rows: int | None = None
) -> int:
    """Bytes that a take's memory will hold from its start to its end, `Memory.num_bytes`; nothing is allocated.

    rows: steps in force of a stream batch; by default those of the policy.
    """
    shape = cache_shape(policy)
    if shape is None:
        return 0
    batch = (
        len(policy.sampler.steps) if rows is None and isinstance(policy.sampler, StreamBatchSpec) else rows
    )
    caches = (batch or 1) * shape.num_bytes(config, grid, dtype)
    if not isinstance(policy.prompt_change, Recache):
        return caches
    _, ph, pw = config.patch_size
    latent_shape = config.out_channels, grid.height * ph, grid.width * pw
    return caches + RecachedWindow.planned_extra(policy.window.frames, latent_shape)
