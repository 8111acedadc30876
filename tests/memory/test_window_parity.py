"""Passes beside a cache against plain masked passes over everything: mixed timesteps, noisy context, eviction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.memory.kv_window import KVWindow
from longtake.memory.window_rule import WindowRule
from longtake.models.attention import KeyValue, WholeClip, block_causal_mask
from longtake.models.policy import Policy
from tests.methods.oracle import Dense, Group, Key, Schedule, rolling
from tests.methods.published import SHAPE, Published, backbone, difference, oracle_of, prompts, streamed
from tests.tiny import TINY_WAN

GRID = TINY_WAN.grid(*SHAPE[1:])
FRAMES, BLOCK = 9, 3
TIMES = torch.tensor([[1000.0, 937.5, 0.0, 625.0, 833.33, 20.0, 0.0, 500.0, 757.0]])
BLOCK_TIMES = torch.tensor([[937.5] * 3 + [0.0] * 3 + [625.0] * 3])


def clip() -> Tensor:
    return torch.randn(1, SHAPE[0], FRAMES, *SHAPE[1:], generator=torch.Generator().manual_seed(2))


def masked(times: Tensor) -> Tensor:
    mask = block_causal_mask(FRAMES, BLOCK)
    rule = WholeClip(grid=GRID, positions=tuple(range(FRAMES)), mask=mask)
    out: Tensor = backbone()(clip(), times, prompts()[:, 0], attention=rule)
    return out


@torch.inference_mode()
def test_a_block_causal_pass_at_mixed_timesteps_is_the_plain_one() -> None:
    """One pass, another timestep for each frame."""
    groups = [
        Group(range(s, s + BLOCK), range(s, s + BLOCK), [Key({f: 1.0}, f) for f in range(s + BLOCK)])
        for s in range(0, FRAMES, BLOCK)
    ]
    plain = backbone()(clip(), TIMES, prompts()[:, 0], attention=Dense(GRID, groups))
    found = difference([masked(TIMES)], [plain])
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"


@pytest.mark.parametrize("relative", [True, False])
@torch.inference_mode()
def test_noisy_blocks_one_by_one_are_the_masked_pass(relative: bool) -> None:
    """What is remembered is what each pass itself computed, at its own timestep."""
    memory = KVWindow(
        backbone(),
        GRID,
        WindowRule(window=FRAMES, sink=0, block=BLOCK, relative=relative),
        context_timestep=None,
    )
    text, made = backbone().text_context(prompts()[:, 0]), []
    for start in range(0, FRAMES, BLOCK):
        block = range(start, start + BLOCK)
        context = memory.read(block, text).kv
        assert context is not None
        layers: dict[int, KeyValue] = {}
        rule = context.rule(layers.__setitem__)
        now = slice(start, start + BLOCK)
        made.append(backbone()(clip()[:, :, now], BLOCK_TIMES[:, now], text, attention=rule))
        memory.keep(block, list(layers.values()))
        memory.commit(block, clip()[:, :, now], text)  # nothing is left to do
    found = difference([torch.cat(made, 2)], [masked(BLOCK_TIMES)])
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"


@pytest.mark.parametrize(("sink", "remembered"), [(0, [12, 13, 14]), (3, [0, 1, 2])])
@torch.inference_mode()
def test_a_rolling_window_evicts_what_the_published_one_does(sink: int, remembered: list[int]) -> None:
    """A window of 6 in blocks of 3: what the sixth block still sees, and the output of ten blocks."""
    sampler = {"kind": "few-step", "steps": [1000, 500], "shift": 5, "warp": True}
    window = {"kind": "rolling", "frames": 6, "sink": sink}
    policy = Policy.model_validate({"block": 3, "window": window, "sampler": sampler})
    published = Published(3, rolling(6, sink, absolute=True), Schedule((1000, 500), 5, True))
    oracle = oracle_of(published)
    expected = [oracle.block_of(start, *published.visible(start, 3)) for start in range(0, 30, 3)]
    found = difference(streamed(policy, 10), expected)
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"
    assert sorted(WindowRule.of(policy).seen(15, 3)) == remembered
