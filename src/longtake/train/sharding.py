"""Weights spread over processes (FSDP2), and activations that are computed again instead of kept.

Each block of a transformer is gathered when it runs and given back after it. Its cross-attention is a unit by itself,
for the keys and values of the text are made before the blocks run; so is the text embedder. What is kept between
forward and backward of a checkpointed block is its input alone.

P. Micikevicius et al. for the number formats: weights, gradients' sums and optimisers stay float32; blocks compute in
what the recipe says.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.utils.checkpoint import checkpoint

from longtake.models.wan import WanBlock, WanTransformer
from longtake.train.distributed import Group

__all__ = ["checkpoint_blocks", "mesh_of", "shard", "shard_all"]

TEXT_METHODS = ("key_value", "query", "out")
"""What is asked of a cross-attention from outside and inside its block."""


def mesh_of(device: torch.device, size: int) -> DeviceMesh:
    """All processes in one row."""
    return init_device_mesh(device.type, (size,))


def shard_all(transformers: Iterable[WanTransformer], device: torch.device, group: Group) -> None:
    """Spread several transformers, each once however often it is named, their blocks checkpointed."""
    mesh = mesh_of(device, group.size)
    for transformer in {id(each): each for each in transformers}.values():
        checkpoint_blocks(transformer)
        shard(transformer, mesh)


def shard(transformer: WanTransformer, mesh: DeviceMesh) -> None:
    """Spread a transformer's weights: they become `DTensor`s, and `forward` and `text_context` gather them.

    Blocks come to the device one after another, so weights that are mapped from a file are never there as a whole.
    """
    for module in transformer.blocks:
        block = cast(WanBlock, module)
        fully_shard(block.attn2, mesh=mesh)
        for method in TEXT_METHODS:
            register_fsdp_forward_method(block.attn2, method)
        fully_shard(block, mesh=mesh)
    fully_shard(transformer.condition_embedder.text_embedder, mesh=mesh)
    fully_shard(transformer, mesh=mesh, reshard_after_forward=True)  # whoever asks gets shards
    if transformer.device.type != "meta":
        _first_pass(transformer)


@torch.no_grad()
def _first_pass(transformer: WanTransformer) -> None:
    """One small pass: FSDP takes for the root what runs first, and `text_context` may be asked before `forward`."""
    config, device = transformer.config, transformer.device
    _, down, across = config.patch_size
    latents = torch.zeros(1, config.in_channels, 1, down, across, device=device)
    image = None if config.image_dim is None else torch.zeros(1, 1, config.image_dim, device=device)
    transformer(
        latents,
        torch.zeros(1, 1, device=device),
        torch.zeros(1, 1, config.text_dim, device=device),
        image=image,
    )


def checkpoint_blocks(transformer: WanTransformer) -> None:
    """Keep only the input of each block for the backward pass. Passes without a gradient are as before."""
    for block in transformer.blocks:
        block.forward = partial(_again, block.forward)


def _again(forward: Any, *args: Any) -> Tensor:
    if not torch.is_grad_enabled():
        return cast(Tensor, forward(*args))
    return cast(Tensor, checkpoint(forward, *args, use_reentrant=False))
