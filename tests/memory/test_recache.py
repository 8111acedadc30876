"""Recache after a change of prompt, against the slow oracle: which frames are run again, and who sees whom."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from longtake.models.policy import Policy
from tests.methods.oracle import Recaching, Schedule
from tests.methods.published import Published, difference, oracle_of, policy_of, streamed

BLOCK, WINDOW, SINK, BLOCKS = 3, 12, 3, 11
EARLY, LATE = {2: 1}, {5: 1, 8: 2}
"""Block → prompt: while everything fits into the window, and later, twice."""


def policy(*, absolute: bool, **change: Any) -> Policy:
    values = policy_of("longlive" if absolute else "longlive-inf").model_dump()
    return Policy.model_validate(values | {"prompt_change": {"kind": "recache", **change}})


def by_oracle(rule: Recaching, changes: dict[int, int]) -> list[Tensor]:
    published = Published(BLOCK, rule.visible, Schedule((1000, 750, 500, 250), 5, True))
    oracle, clean, prompt = oracle_of(published), [], 0
    for index in range(BLOCKS):
        start = index * BLOCK
        if index in changes:
            prompt = changes[index]
            oracle.groups += rule.recache(start, len(oracle.latents), BLOCK)
            again = clean[max(0, start - WINDOW) :]
            oracle.latents += again
            oracle.prompts += [prompt] * len(again)
        keys, positions = rule.visible(start, BLOCK)
        entries = len(oracle.latents)
        clean += oracle.block_of(start, keys, positions, prompt).split(1, 2)
        rule.live |= {start + i: entries + i for i in range(BLOCK)}
    return [torch.cat(clean[i : i + BLOCK], 2) for i in range(0, len(clean), BLOCK)]


@pytest.mark.parametrize("changes", [EARLY, LATE], ids=["early", "late"])
@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(("keep_sink", "causal"), [(True, False), (False, False), (True, True)])
@torch.inference_mode()
def test_recached_frames_are_as_published(
    changes: dict[int, int], absolute: bool, keep_sink: bool, causal: bool
) -> None:
    rule = Recaching(WINDOW, SINK, keep_sink, absolute, causal)
    made = streamed(policy(absolute=absolute, keep_sink=keep_sink, causal=causal), BLOCKS, changes)
    found = difference(made, by_oracle(rule, changes))
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"


@torch.inference_mode()
def test_while_everything_fits_the_sink_is_recached_either_way() -> None:
    kept, renewed = (
        torch.cat(streamed(policy(absolute=True, keep_sink=keep), 8, {4: 1})) for keep in (True, False)
    )
    assert torch.equal(kept, renewed)


@torch.inference_mode()
def test_every_way_of_changing_the_prompt_differs() -> None:
    reset = Policy.model_validate(policy_of("longlive").model_dump() | {"prompt_change": {"kind": "reset"}})
    ways = [reset, *(policy(absolute=True, keep_sink=keep) for keep in (True, False))]
    ways.append(policy(absolute=True, keep_sink=True, causal=True))
    outputs = [torch.cat(streamed(way, 7, {5: 1})) for way in ways]
    assert all(torch.equal(outputs[0][:5], output[:5]) for output in outputs)
    assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])
