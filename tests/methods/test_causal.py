"""Every causal preset against the slow oracle of its published rules, and against numbers that the oracle left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest
import torch
from safetensors.torch import load_file

from longtake.memory.window_rule import WindowRule
from longtake.models.hub import presets
from tests.golden.causal import GOLDEN
from tests.methods.published import PUBLISHED, by_oracle, difference, policy_of, product, streamed


@pytest.mark.parametrize("name", PUBLISHED)
@torch.inference_mode()
def test_a_preset_streams_as_published(name: str) -> None:
    found = difference(product(name), by_oracle(PUBLISHED[name]))
    assert found <= 1e-5, f"{name}: largest difference {found:.2e} of the scale"


@pytest.mark.parametrize("name", PUBLISHED)
@torch.inference_mode()
def test_a_preset_gives_the_golden_numbers(name: str) -> None:
    """The last block of the oracle, written once; another machine may round otherwise."""
    found = difference(product(name)[-1:], [load_file(GOLDEN)[name]])
    assert found <= 1e-4, f"{name}: largest difference {found:.2e} of the scale"


@torch.inference_mode()
def test_presets_that_differ_in_policy_differ_in_output() -> None:
    for one, two in combinations(PUBLISHED, 2):
        same_policy = presets()[one].policy == presets()[two].policy
        length = min(len(torch.cat(product(name), 2)[0, 0]) for name in (one, two))
        outputs = [torch.cat(product(name), 2)[:, :, :length] for name in (one, two)]
        assert torch.equal(*outputs) == same_policy, f"{one} and {two}"


def off_by_one(self: WindowRule, seen: Sequence[int], block: Sequence[int]) -> tuple[int, ...]:
    *past, _ = POSITIONS(self, seen, block)[: len(seen) + 1]
    return (*past, *(place + 1 for place in POSITIONS(self, seen, block)[len(seen) :]))


def never_turned_again(self: WindowRule, seen: Sequence[int], block: Sequence[int]) -> tuple[int, ...]:
    return (*seen, *block)


def without_sink(self: WindowRule, count: int, origin: int = 0) -> tuple[int, ...]:
    return tuple(range(max(0, count - self.slots), count))


POSITIONS = WindowRule.positions
FAULTS = {"positions": (off_by_one, never_turned_again), "kept": (without_sink,)}


@pytest.mark.parametrize(
    ("method", "fault"),
    [(method, fault) for method, faults in FAULTS.items() for fault in faults],
    ids=lambda value: getattr(value, "__name__", value),
)
@torch.inference_mode()
def test_a_planted_fault_shows(monkeypatch: pytest.MonkeyPatch, method: str, fault: object) -> None:
    monkeypatch.setattr(WindowRule, method, fault)
    wrong = streamed(policy_of("longlive-inf"), 8)
    assert difference(wrong, by_oracle(PUBLISHED["longlive-inf"])[:8]) > 1e-3
