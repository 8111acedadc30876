"""What every memory promises. A new memory is one more entry in `CASES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Context, Memory
from longtake.memory.adaptive_sink import AdaptiveSink
from longtake.memory.apm import Anchors, Apm, Pin
from longtake.memory.cam import Cam
from longtake.memory.kv_window import KVWindow, WindowRule
from longtake.memory.recache import RecachedWindow
from longtake.memory.recompute import Recompute
from longtake.memory.together import Together
from longtake.models.policy import Recache
from longtake.models.wan import TextContext, WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer

SHAPE = (TINY_WAN.in_channels, 4, 4)
GRID = TINY_WAN.grid(4, 4)


@dataclass(frozen=True)
class Case:
    """A memory, and how many frames it is given at a time."""

    build: Callable[[WanTransformer], Memory]
    block: int = 2

    def frames(self, index: int) -> range:
        return range(index * self.block, (index + 1) * self.block)


def window(backbone: WanTransformer, **rule: Any) -> KVWindow:
    return KVWindow(backbone, GRID, WindowRule(**{"window": 6, "sink": 0, "block": 2} | rule))


def adaptive(backbone: WanTransformer, threshold: float) -> AdaptiveSink:
    rule = WindowRule(window=5, sink=2, block=1, relative=False, restart_at=9)
    return AdaptiveSink(backbone, GRID, rule, threshold=threshold, context_timestep=0.0)


def recached(backbone: WanTransformer, **spec: Any) -> RecachedWindow:
    spec = {"kind": "recache", "keep_sink": True} | spec
    return RecachedWindow(window(backbone, sink=2), Recache(**spec), SHAPE)


def recompute(backbone: WanTransformer) -> Recompute:
    def encode(frame: Tensor) -> Tensor:
        level = frame.float().mean() / 255
        return torch.linspace(0, 1, 4)[None, None, None, :, None].expand(1, SHAPE[0], 1, 4, 4) * level

    return Recompute(backbone, SHAPE, frames=3, block=2, encode=encode, temporal_stride=4, bias=0.3)


def encode_frames(frames: Tensor) -> Tensor:
    return frames.float().cumsum(1) / 100


class Colours:
    """Stands for the networks that make tokens of pictures."""

    dim = 3

    def pictures(self, frames: Tensor) -> Tensor:
        return frames.float().mean((1, 2)) / 255

    def tokens(self, embeddings: Tensor) -> Tensor:
        return torch.stack([embeddings.mean(0), embeddings.mean(0) ** 2])[None]

    def null(self) -> Tensor:
        return torch.zeros(1, 2, 3)


def cam(source: Literal["pixels", "latents"]) -> Cam:
    shape = (32, 32, 3) if source == "pixels" else SHAPE
    return Cam(encode_frames, frames=5, shape=shape, source=source)


def apm() -> Apm:
    """The mean of a frame of the first and one of the sixth block, then a late one; and a new prompt's first."""
    pins = (Pin(frames=(0,)), Pin(frames=(0, 38)), Pin(frames=(50,), since=60))
    return Apm(Colours(), Anchors(pins=pins, with_prompt=True))


CASES: dict[str, Case] = {
    "window": Case(window),
    "window and sink": Case(lambda backbone: window(backbone, sink=2)),
    "absolute": Case(lambda backbone: window(backbone, sink=2, relative=False)),
    "restarting": Case(lambda backbone: window(backbone, relative=False, restart_at=7)),
    "ema sink": Case(lambda backbone: window(backbone, sink=2, alpha=0.9)),
    "ema sink, absolute": Case(lambda backbone: window(backbone, sink=2, alpha=0.9, relative=False)),
    "in flight": Case(lambda backbone: window(backbone, window=9, sink=2, flight=6, clean_sees_sink=False)),
    "noisy context": Case(
        lambda backbone: KVWindow(
            backbone, GRID, WindowRule(window=4, sink=0, block=2), context_timestep=40.0, bias=0.5
        )
    ),
    "adaptive sink": Case(lambda backbone: adaptive(backbone, 0.9), block=1),
    "sink that stays": Case(lambda backbone: adaptive(backbone, -1.0), block=1),
    "recache": Case(recached),
    "recache of the sink": Case(lambda backbone: recached(backbone, keep_sink=False)),
    "causal recache": Case(lambda backbone: recached(backbone, causal=True)),
    "recompute": Case(recompute),
    "cam": Case(lambda backbone: cam("pixels")),
    "cam of latents": Case(lambda backbone: cam("latents")),
    "apm": Case(lambda backbone: apm()),
    "cam and apm": Case(lambda backbone: Together(short=cam("pixels"), long=apm())),
}


@dataclass(frozen=True)
class Subject:
    """A case on one backbone."""

    case: Case
    backbone: WanTransformer

    def memory(self) -> Memory:
        return self.case.build(self.backbone)

    def read(self, memory: Memory, index: int, prompt: int = 3) -> list[Tensor]:
        return tensors(memory.read(self.case.frames(index), text(self.backbone, prompt)))

    def commit(self, memory: Memory, blocks: range, prompt: int = 3) -> None:
        """Blocks of given latents, each read before it is committed, as a take does."""
        for index in blocks:
            generator = torch.Generator().manual_seed(index)
            latents = torch.randn(1, SHAPE[0], self.case.block, 4, 4, generator=generator)
            self.commit_block(memory, index, latents, prompt)

    def commit_block(self, memory: Memory, index: int, latents: Tensor, prompt: int = 3) -> None:
        frames = self.case.frames(index)
        count = 4 * self.case.block - (3 if index == 0 else 0)
        level = int(17 * index + 100 * latents.abs().mean()) % 256
        pixels = torch.full((1, count, 32, 32, 3), level, dtype=torch.uint8)
        self.read(memory, index, prompt)
        memory.commit(frames, latents, text(self.backbone, prompt), pixels)


@pytest.fixture(params=CASES.values(), ids=CASES)
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(request.param, BACKBONE)


BACKBONE = tiny_transformer()


def text(backbone: WanTransformer, prompt: int) -> TextContext:
    generator = torch.Generator().manual_seed(prompt)
    return backbone.text_context(torch.randn(1, 5, TINY_WAN.text_dim, generator=generator))


def tensors(context: Context) -> list[Tensor]:
    """What is known, independent of the memory."""
    cached = [part for layer in context.kv.known for part in layer] if context.kv else []
    others = [context.prefix, context.features, *([context.anchor.tokens] if context.anchor else [])]
    return [part.clone() for part in (*cached, *others) if part is not None]


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_reading_again_gives_the_same(subject: Subject) -> None:
    memory = subject.memory()
    subject.commit(memory, range(6))
    assert same(subject.read(memory, 6, prompt=4), subject.read(memory, 6, prompt=4))


def test_what_is_remembered_depends_on_what_was_made(subject: Subject) -> None:
    one, two = subject.memory(), subject.memory()
    subject.commit(one, range(6))
    subject.commit(two, range(5))
    subject.commit_block(two, 5, torch.ones(1, SHAPE[0], subject.case.block, 4, 4))
    assert not same(subject.read(one, 6), subject.read(two, 6))


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_a_restored_memory_goes_on_as_if_never_interrupted(subject: Subject, after: int) -> None:
    unbroken, restored = subject.memory(), subject.memory()
    subject.commit(unbroken, range(after))
    restored.restore(unbroken.snapshot())
    for memory in (unbroken, restored):
        subject.commit(memory, range(after, after + 4))
    assert same(subject.read(unbroken, after + 4), subject.read(restored, after + 4))


@pytest.mark.parametrize("after", [1, 3, 7])
def test_a_restored_memory_notices_a_new_prompt_just_as_well(subject: Subject, after: int) -> None:
    unbroken, restored = subject.memory(), subject.memory()
    subject.commit(unbroken, range(after))
    restored.restore(unbroken.snapshot())
    for memory in (unbroken, restored):
        subject.commit(memory, range(after, after + 2), prompt=4)
    assert same(subject.read(unbroken, after + 2, 4), subject.read(restored, after + 2, 4))


def test_a_snapshot_restored_twice_gives_the_same_twice(subject: Subject) -> None:
    """Restoring hands nothing over that the memory writes into."""
    first, second = subject.memory(), subject.memory()
    subject.commit(first, range(7))
    snapshot = first.snapshot()
    second.restore(snapshot)
    subject.commit(second, range(7, 9))
    expected = subject.read(second, 9)
    second.restore(snapshot)
    subject.commit(second, range(7, 9))
    assert same(subject.read(second, 9), expected)


def test_a_snapshot_is_not_touched_by_what_comes_after(subject: Subject) -> None:
    memory = subject.memory()
    subject.commit(memory, range(6))
    snapshot = memory.snapshot()
    before = {key: value.clone() for key, value in snapshot.items()}
    subject.commit(memory, range(6, 10))
    assert all(torch.equal(before[key], snapshot[key]) for key in before)


def test_snapshots_stop_growing_and_the_memory_never_grows(subject: Subject) -> None:
    memory = subject.memory()
    size, sizes = memory.num_bytes, []
    for index in range(14):
        subject.commit(memory, range(index, index + 1))
        sizes.append(sum(tensor.nbytes for tensor in memory.snapshot().values()))
    assert sizes[-1] == sizes[-6] == max(sizes)
    assert memory.num_bytes == size


def test_a_snapshot_of_another_size_is_refused(subject: Subject) -> None:
    memory = subject.memory()
    subject.commit(memory, range(3))
    snapshot = {
        key: torch.cat([value, value], -2 if value.ndim > 2 else -1) if value.ndim > 1 else value
        for key, value in memory.snapshot().items()
    }
    with pytest.raises(UserError, match="restore it with the model and settings"):
        subject.memory().restore(snapshot)
