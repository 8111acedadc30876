"""Methods of making long video: which latent frames are made when, from what memory, by what sampler.

A method declares its kind, and the kind says what a take of it can do. One file per method, put together from a memory
and a sampler; all pass `tests/methods/test_method_contract.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from torch import Tensor

from longtake.memory import Memory
from longtake.memory.apm import Apm
from longtake.models.wan import TextContext
from longtake.sampling import OnStep
from longtake.sampling.given import NOTHING, Given
from longtake.sampling.noise import NoiseSource


class Kind(StrEnum):
    """How a method goes through time."""

    AUTOREGRESSIVE = "autoregressive"
    """Block after block; steerable, resumable."""
    QUEUE = "queue"
    """Several blocks in flight at different noise levels; steerable with delay, resumable."""
    JOINT = "joint"
    """The whole length at once; finite, neither steerable nor resumable in mid-course."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One turn of the rollout loop, in latent frames of the take."""

    denoise: range
    """Frames that the sampler works on."""
    final: range
    """Frames that are clean afterwards: they are remembered and decoded. Never empty."""
    fresh: bool = False
    """Whether the codec begins a new stream with them, so that the first of them is 1 pixel frame."""
    shown: tuple[int, int] | None = None
    """First and past-last pixel frame of those decoded from `final` that are shown; None for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What steers a block."""

    text: TextContext
    """The prompt in force."""
    null_text: TextContext | None = None
    """The empty prompt, for guidance."""
    given: Given = NOTHING
    """Latents that it is made from: an image's, a source video's."""


@dataclass(kw_only=True, slots=True)
class MethodState:
    """All that a method changes while a take runs; in every snapshot of it."""

    latent_shape: tuple[int, int, int]
    """`(C, H, W)` of a latent frame; fixed."""
    memory: Memory
    """What the next block may know of the past."""
    flight: dict[str, Tensor] = field(default_factory=dict)
    """Latents that are on their way, by name; empty for autoregressive methods."""
    anchors: Apm | None = None
    """The part of the memory that holds on to chosen frames, where there is one."""


class Method(Protocol):
    """The exchangeable part of the rollout loop. Never changed by a take: `MethodState` is what changes."""

    @property
    def kind(self) -> Kind:
        """How it goes through time."""
        ...

    @property
    def limit(self) -> int | None:
        """Most latent frames that it can make; None when there is no end."""
        ...

    def start(self, latent_shape: tuple[int, int, int]) -> MethodState:
        """The state of a take whose latent frames have `latent_shape` `(C, H, W)`, before its first frame."""
        ...

    def next(self, position: int, total: int | None) -> Plan:
        """What to make when `position` latent frames are final, of `total` in all (None: no end)."""
        ...

    def denoise(
        self,
        plan: Plan,
        noise: NoiseSource,
        conditions: Conditions,
        state: MethodState,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Clean latents `[1, C, T, H, W]` of `plan.final`, on the CPU or where the model is."""
        ...
