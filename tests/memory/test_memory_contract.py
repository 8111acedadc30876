"""What every memory promises. A new memory is one more entry in `MEMORIES`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from longtake.memory import Context, Memory
from longtake.memory.kv_window import KVWindow, WindowRule
from longtake.models.wan import TextContext, WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer

BLOCK = 2
GRID = TINY_WAN.grid(4, 4)
Build = Callable[[WanTransformer], Memory]

MEMORIES: dict[str, Build] = {
    "window": lambda backbone: KVWindow(backbone, GRID, WindowRule(window=6, sink=0, block=BLOCK)),
    "window and sink": lambda backbone: KVWindow(backbone, GRID, WindowRule(window=6, sink=2, block=BLOCK)),
    "noisy context": lambda backbone: KVWindow(
        backbone, GRID, WindowRule(window=4, sink=0, block=BLOCK), context_timestep=40.0
    ),
}


@pytest.fixture(params=MEMORIES.values(), ids=MEMORIES)
def build(request: pytest.FixtureRequest) -> Callable[[], Memory]:
    backbone = tiny_transformer()
    return lambda: request.param(backbone)


def text() -> TextContext:
    return tiny_transformer().text_context(
        torch.randn(1, 5, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(3))
    )


def commit(memory: Memory, blocks: range) -> None:
    for index in blocks:
        latents = torch.randn(
            1, TINY_WAN.in_channels, BLOCK, 4, 4, generator=torch.Generator().manual_seed(index)
        )
        pixels = torch.zeros(1, 4 * BLOCK, 32, 32, 3, dtype=torch.uint8)
        memory.commit(frames(index), latents, text(), pixels)


def frames(index: int) -> range:
    return range(index * BLOCK, (index + 1) * BLOCK)


def tensors(context: Context) -> list[Tensor]:
    assert context.kv is not None
    return [part for layer in context.kv.past for part in layer]


def test_reading_changes_nothing(build: Callable[[], Memory]) -> None:
    memory = build()
    commit(memory, range(3))
    first, second = tensors(memory.read(frames(3))), tensors(memory.read(frames(3)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_remembered_depends_on_what_was_made(build: Callable[[], Memory]) -> None:
    one, two = build(), build()
    commit(one, range(3))
    commit(two, range(2))
    two.commit(frames(2), torch.ones(1, TINY_WAN.in_channels, BLOCK, 4, 4), text(), None)
    pairs = zip(tensors(one.read(frames(3))), tensors(two.read(frames(3))), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_a_restored_memory_goes_on_as_if_never_interrupted(build: Callable[[], Memory], after: int) -> None:
    unbroken, restored = build(), build()
    commit(unbroken, range(after))
    restored.restore(unbroken.snapshot())
    for memory in (unbroken, restored):
        commit(memory, range(after, after + 4))
    pairs = zip(
        tensors(unbroken.read(frames(after + 4))), tensors(restored.read(frames(after + 4))), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_snapshot_is_not_touched_by_what_comes_after(build: Callable[[], Memory]) -> None:
    memory = build()
    commit(memory, range(4))
    snapshot = memory.snapshot()
    before = {key: value.clone() for key, value in snapshot.items()}
    commit(memory, range(4, 8))
    assert all(torch.equal(before[key], snapshot[key]) for key in before)


def test_snapshots_stop_growing(build: Callable[[], Memory]) -> None:
    memory = build()
    sizes = []
    for index in range(12):
        commit(memory, range(index, index + 1))
        sizes.append(sum(tensor.numel() for tensor in memory.snapshot().values()))
    assert sizes[-1] == sizes[-6] == max(sizes)
