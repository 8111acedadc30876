"""Training in several processes: who draws what, whose gradients are summed, and who writes.

An update is made of *parts*: batches of a stage's `batch_size`, numbered 0, 1, … within the update, each a function of
its own number. A process does `size`-th of them, so n processes with one part each do what one process does with n
parts in turn. Which weights a process holds is another matter: all of them (replicated), or its shard of them
(`sharding.py`), where gradients are summed by FSDP.

Processes are started by `launch.py`, or by torchrun or `accelerate launch`; they talk by NCCL on GPUs and gloo on CPUs.
Shapes do not matter here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from longtake.errors import UserError

__all__ = ["ALONE", "Group", "fill", "join", "whole"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    """Number of this process."""
    size: int = 1
    """How many there are."""
    parts: int = 1
    """Parts of an update that this process does, one after another."""
    sharded: bool = False
    """Whether weights are spread over the processes; FSDP then takes the mean of the gradients by itself."""

    @property
    def first(self) -> bool:
        """Whether this process writes checkpoints, logs and samples."""
        return self.rank == 0

    @property
    def every(self) -> int:
        """Parts of an update, over all processes."""
        return self.size * self.parts

    def draws(self, step: int) -> list[int]:
        """The numbers under which this process draws its parts of an update."""
        first = step * self.every + self.rank * self.parts
        return list(range(first, first + self.parts))

    def mean(self, value: float) -> float:
        """The mean of a figure over all processes; not a number when it is none in any of them."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=_device())
        dist.all_reduce(total)
        return float(total) / self.size

    @torch.no_grad()
    def share_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the mean over all processes; in one message, for many small ones take their time."""
        if self.size == 1 or self.sharded:
            return
        named = list(parameters)
        for p in named:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in named if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])

    def agree(self, flag: bool) -> bool:
        """True in all processes when it is true in any; so that all stop at the same step."""
        return self.mean(float(flag)) > 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """Wait for all processes, then close what they talk by: one that exits while another sends takes it down."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


ALONE = Group()
"""One process."""


def join(device: str, *, parts: int = 1, sharded: bool = False) -> Group:
    """The group that this process was started in; `ALONE` when it was started by itself.

    Raises UserError where accelerate is missing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Group(parts=parts)
    try:
        from accelerate import PartialState  # type: ignore[import-untyped]
    except ImportError:
        raise UserError("several processes need accelerate; pip install 'longtake[train]'") from None
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    return Group(rank=state.process_index, size=state.num_processes, parts=parts, sharded=sharded)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with the shards of all processes put together; every process has to ask."""
    return {name: t.full_tensor() if isinstance(t, DTensor) else t for name, t in tensors.items()}


@torch.no_grad()
def fill(into: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    if isinstance(into, DTensor):
        share = distribute_tensor(value.to(into.device), into.device_mesh, into.placements)
        into.to_local().copy_(share.to_local())
    else:
        into.copy_(value)


def _device() -> torch.device:
    """Where the group's messages are made."""
    nccl = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
