"""A block's latents stay where the model is: noise goes there once, nothing comes back between two steps.

The device here is PyTorch's `meta`, which every test machine has: what is computed there has no contents, and reading
it from the CPU raises.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from longtake.methods import Conditions, network
from longtake.methods.build import build
from longtake.models.wan import WanTransformer
from longtake.sampling.given import Given
from longtake.sampling.noise import CounterNoise, MovedNoise, Purpose
from longtake.settings import Settings
from tests.methods.kinds import CLIP, FEW_STEP, KINDS
from tests.tiny import TINY_WAN, tiny_preset, tiny_transformer

META, CPU = torch.device("meta"), torch.device("cpu")
SHAPE = (TINY_WAN.in_channels, 4, 6)
FRAME = SHAPE[0] * SHAPE[1] * SHAPE[2]
SEEN = {
    "causal": {"sampler": FEW_STEP, "guidance_scale": 1.5},
    "ode": {},
    "ema sink": KINDS["ema sink"],
    "joint": KINDS["joint"],
    "rolling": KINDS["rolling"],
    "stream-batch": KINDS["stream-batch"] | {"block": 2, "window": {"kind": "rolling", "frames": 6}},
    "tail": KINDS["tail"],
    "fifo": KINDS["fifo"],
    "averaged windows": KINDS["averaged windows"],
    "fused windows": KINDS["fused windows"],
}


class Transfers(TorchDispatchMode):
    """Counts copies of latents (five axes, at least a frame) from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            devices = {
                leaf.device for leaf in (*tree_leaves(args), *tree_leaves(made)) if isinstance(leaf, Tensor)
            }
            if len(devices) > 1 and made.ndim == 5 and made.numel() >= FRAME:
                self.sizes.append(made.numel())
        return made


def film(policy: dict[str, object], turns: int, given: Given | None = None) -> list[list[int]]:
    """Sizes of the transfers of each turn."""
    preset = tiny_preset(**policy)
    backbone = tiny_transformer().to(META)
    with torch.no_grad():
        texts = [backbone.text_context(torch.empty(1, 5, TINY_WAN.text_dim, device=META)) for _ in range(2)]
        method = build(
            preset.policy, backbone, Settings().sampler(preset), guidance_scale=preset.policy.guidance_scale
        )
        state, noise, position, counted = method.start(SHAPE), CounterNoise(1), 0, []
        conditions = Conditions(text=texts[0], null_text=texts[1], **({"given": given} if given else {}))
        for _ in range(turns):
            plan = method.next(position, None)
            with Transfers() as transfers:
                latents = method.denoise(plan, noise, conditions, state)
                state.memory.commit(plan.final, latents, conditions.text, None)
            assert latents.device.type == "meta"
            counted.append(transfers.sizes)
            position = plan.final.stop
    return counted


@pytest.mark.parametrize("kind", SEEN)
def test_the_noise_of_a_block_is_moved_once_and_nothing_comes_back(kind: str) -> None:
    turns = 1 if kind in ("joint", "averaged windows", "fused windows") else 5
    transfers = film(SEEN[kind], turns)
    steady = transfers[-1]
    most = 2 if kind in ("rolling", "stream-batch") else 1  # the entering block, and the levels of the others
    assert 1 <= len(steady) <= most, transfers


def test_all_that_a_block_is_made_from_is_moved_once() -> None:
    frames = CLIP["block"]
    given = Given(
        prefix=torch.randn(1, SHAPE[0], 1, *SHAPE[1:]),
        source=torch.randn(1, SHAPE[0], frames, *SHAPE[1:]),
        strength=0.9,
    )
    (sizes,) = film(CLIP | {"sampler": {"kind": "ode", "num_inference_steps": 6, "shift": 3.0}}, 1, given)
    assert sorted(sizes) == [FRAME, frames * FRAME, frames * FRAME]


def test_the_count_notices_a_round_trip_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def unmoved(backbone: WanTransformer, noise: object, given: Given) -> tuple[object, Given]:
        return noise, given

    monkeypatch.setattr("longtake.methods.causal.brought", unmoved)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        film(SEEN["causal"], 1)


def test_the_count_notices_noise_that_is_moved_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def each(noise: MovedNoise, draws: Any, shape: tuple[int, int, int]) -> list[Tensor]:
        return [noise(draw.purpose, draw.frames, draw.step, shape) for draw in draws]

    monkeypatch.setattr("longtake.sampling.few_step.together", each)
    assert len(film(SEEN["causal"], 1)[0]) == len(FEW_STEP["steps"])


def test_moved_noise_is_the_noise_of_the_cpu() -> None:
    source = CounterNoise(7)
    moved = MovedNoise(source, CPU)
    assert torch.equal(
        moved(Purpose.INITIAL, range(3), 0, SHAPE), source(Purpose.INITIAL, range(3), 0, SHAPE)
    )
    assert network.brought(tiny_transformer(), source, Given())[0] == moved
