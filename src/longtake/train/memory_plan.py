"""What a stage needs on each of n GPUs, before anything is loaded: arithmetic on networks of the meta device.

Weights, gradients, optimiser and average are float32 and spread over the processes (FSDP2); two blocks are gathered at
a time, one that runs and the next. Activations are those of one process's clips. Where blocks are checkpointed (weights
that are spread, and big networks): the inputs of all blocks, and everything of the one that is computed again;
elsewhere everything of all blocks. Counted of a block, a token, width d and feed-forward width f: 22 values of d and 2
of f in float32; under bfloat16 autocast 8 of d stay float32, 16 of d and 2 of f are bfloat16, and so are copies of the
block's weights. A block-causal mask has a value for every pair of tokens. Caches are float32 as the weights are.

Not in it: what the allocator wastes (plan for a tenth), the codec and text encoder (prompts are embedded before), and
the CUDA context.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import nn

from longtake.models.wan import WanConfig, WanTransformer

__all__ = ["Bytes", "Clip", "Plan", "activations", "held", "is_big", "of_block", "rollout_caches"]

BIG = 2**28
"""Weights from which a network's blocks are checkpointed in one process too."""
FLOAT = 4
"""Bytes of a float32."""
GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Bytes:
    """What one network needs on one GPU."""

    weights: int = 0
    """Its share of the weights."""
    gradients: int = 0
    """Its share of the gradients, of what is trained."""
    optimiser: int = 0
    """Its share of AdamW's two moments."""
    average: int = 0
    """Its share of the averaged weights."""
    gathered: int = 0
    """The blocks that are whole while they run, and the gradient of one."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What one process computes on in one pass."""

    clips: int
    """Batch."""
    tokens: int
    """Of one clip: latent frames × cells of the grid."""
    text_rows: int
    """Rows of a prompt's embedding."""
    blocks: int
    """Of frames, each of which attention takes with all that it sees; 1 where all see all."""
    bfloat16: bool
    """Whether blocks compute in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a stage needs on each GPU."""

    stage: str
    gpus: int
    networks: dict[str, Bytes]
    """By role: student, teacher, critic."""
    activations: dict[str, int]
    """By pass; passes follow each other, so the largest counts."""
    caches: int = 0
    """Keys and values of a rollout's past, and the copies that wait for the backward pass."""

    @property
    def total(self) -> int:
        """The most that is needed at a time."""
        largest = max(self.activations.values(), default=0)
        return sum(network.total for network in self.networks.values()) + largest + self.caches

    def lines(self) -> list[str]:
        """The plan as a table, in GiB."""
        names = [field.name for field in fields(Bytes)]
        lines = [f"{self.stage} on {self.gpus} GPU{'s' * (self.gpus > 1)}, GiB on each:"]
        lines.append(f"{'':<12}" + "".join(f"{name:>12}" for name in names))
        for role, network in self.networks.items():
            cells = "".join(f"{getattr(network, name) / GIB:>12.2f}" for name in names)
            lines.append(f"{role:<12}{cells}")
        for name, needed in self.activations.items():
            lines.append(f"activations, {name}: {needed / GIB:.2f}")
        if self.caches:
            lines.append(f"caches of rollouts: {self.caches / GIB:.2f}")
        return [*lines, f"most at a time: {self.total / GIB:.2f}"]


def held(network: nn.Module, gpus: int, *, average: bool, blocks: Iterable[nn.Module]) -> Bytes:
    """What a network needs that is spread over `gpus`; what requires a gradient is trained."""
    every = sum(p.numel() for p in network.parameters())
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    block = max((sum(p.numel() for p in module.parameters()) for module in blocks), default=0)
    alone = gpus == 1
    return Bytes(
        weights=_share(every, gpus),
        gradients=_share(trained, gpus),
        optimiser=2 * _share(trained, gpus),
        average=_share(trained, gpus) if average else 0,
        gathered=0 if alone else FLOAT * block * (3 if trained else 2),
    )


def is_big(network: nn.Module) -> bool:
    """Whether a network's blocks are checkpointed even where its weights are not spread."""
    return sum(p.numel() for p in network.parameters()) >= BIG


def _share(values: int, gpus: int) -> int:
    return -(-FLOAT * values // gpus)


def of_block(config: WanConfig, clip: Clip) -> int:
    """Everything that the backward pass of one block needs, its input included."""
    values, feed = clip.clips * clip.tokens * config.dim, clip.clips * clip.tokens * config.ffn_dim
    copies = (
        0 if clip.blocks == 1 else clip.blocks * values
    )  # keys, values: (blocks − 1) / 2 times more; the output
    if not clip.bfloat16:
        return FLOAT * (22 * values + 2 * feed + copies)
    return 8 * FLOAT * values + 2 * (16 * values + 2 * feed + copies + _block_weights(config))


def activations(config: WanConfig, clip: Clip, *, checkpointed: bool) -> int:
    """What a forward pass keeps; with checkpointed blocks their inputs, and the one block that is computed again."""
    item = 2 if clip.bfloat16 else FLOAT
    block, inputs = of_block(config, clip), clip.clips * clip.tokens * config.dim * FLOAT
    head = 3 * inputs
    text = config.num_layers * 4 * clip.clips * clip.text_rows * config.dim * item
    blocks = (config.num_layers - 1) * inputs + block if checkpointed else config.num_layers * block
    return blocks + head + text


def rollout_caches(
    config: WanConfig, *, cache: int, tokens_of_block: int, blocks: range, window: int, joined: int = 0
) -> int:
    """What one rollout holds: its cache, and a copy of the past of each block that has a gradient.

    cache: its bytes. blocks: numbers of those that have one. window: tokens that a block sees at most, with its own.
    joined: bytes of a value in which blocks that are not checkpointed keep the past once more, beside the new frames.
    """
    each = config.num_layers * 2 * config.dim
    past = [min(index * tokens_of_block, window - tokens_of_block) for index in blocks]
    return cache + each * (FLOAT + joined) * sum(past)


def _block_weights(config: WanConfig) -> int:
    with torch.device("meta"):
        network = WanTransformer(config)
    return sum(p.numel() for p in network.blocks[0].parameters())
