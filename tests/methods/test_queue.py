"""Methods with several blocks in flight against the slow oracle of their published rules."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from longtake.methods import Conditions, Method
from longtake.methods.build import build
from longtake.models.hub import presets
from longtake.models.policy import Policy
from longtake.sampling.few_step import FewStep
from longtake.sampling.given import Given
from longtake.sampling.noise import CounterNoise, Purpose
from tests.methods.oracle import Dense, Group, Key, Schedule
from tests.tiny import TINY_WAN, tiny_transformer

SHAPE = (TINY_WAN.in_channels, 4, 6)
GRID = TINY_WAN.grid(4, 6)
NOISE = CounterNoise(7)
BACKBONE = tiny_transformer()
PROMPT = torch.randn(1, 5, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(5))


def method_of(policy: Policy) -> Method:
    spec = policy.sampler
    assert spec.kind != "ode"
    sampler = FewStep(steps=spec.steps, shift=spec.shift, warp=spec.warp)
    return build(policy, BACKBONE, sampler)


def velocity(parts: Sequence[Tensor], times: Sequence[float], groups: Sequence[Group], last: int) -> Tensor:
    """Of the `last` frames, all frames going through the network at once."""
    out = BACKBONE(torch.cat([*parts], 2), torch.tensor([[*times]]), PROMPT, attention=Dense(GRID, groups))
    return out[:, :, -last:].double()


def own(entries: range, positions: Sequence[int]) -> list[Key]:
    return [Key({entry: 1.0}, position) for entry, position in zip(entries, positions, strict=True)]


ROLLING = presets()["rolling-forcing"].policy
STEPS, BLOCK, WINDOW = 5, 3, 21
LEVELS = Schedule((1000, 800, 600, 400, 200), 5, True)


def rolling_levels(window: int, count: int) -> dict[int, float]:
    """Block → timestep in a window; the reversed step list, its noisy end at the start and its clean end at the end."""
    blocks = list(range(max(0, window - STEPS + 1), min(count - 1, window) + 1))
    levels = LEVELS.timesteps(is_first=False)[::-1]
    levels = levels[-len(blocks) :] if window < STEPS - 1 else levels[: len(blocks)]
    return dict(zip(blocks, levels, strict=True))


def rolling_by_oracle(count: int) -> list[Tensor]:
    """Window after window over `count` blocks."""
    noisy = {b: NOISE(Purpose.INITIAL, frames(b), 0, SHAPE) for b in range(count)}
    final: list[Tensor] = []
    memory: list[Group] = []
    for window in range(count + STEPS - 1):
        levels = rolling_levels(window, count)
        start, size = BLOCK * min(levels), BLOCK * len(levels)
        working = range(max(0, start - (WINDOW - size - 3)), start) if start else range(0)
        sink = [frame for frame in range(min(3, start)) if frame not in working]
        keys = [Key({f: 1.0}, start - len(working) - len(sink) + i) for i, f in enumerate(sink)]
        keys += own(working, working)
        inside = range(start, start + size)
        group = Group(inside, inside, keys + own(inside, inside))
        times = [0.0] * start + [level for level in levels.values() for _ in range(BLOCK)]
        x = torch.cat([noisy[b] for b in levels], 2)
        v = velocity([*final, x], times, [*memory, group], size)
        for i, (b, level) in enumerate(levels.items()):
            part = slice(i * BLOCK, (i + 1) * BLOCK)
            clean = (x[:, :, part].double() - LEVELS.sigma(level) * v[:, :, part]).float()
            if level == LEVELS.timesteps(is_first=False)[-1]:
                final.append(clean)
                seen = range(max(0, (b + 1) * BLOCK - WINDOW), (b + 1) * BLOCK)
                memory.append(Group(frames(b), frames(b), own(seen, seen)))
            else:
                step = LEVELS.timesteps(is_first=False).index(level) + 1
                sigma = LEVELS.sigma(LEVELS.timesteps(is_first=False)[step])
                fresh = NOISE(Purpose.RENOISE, frames(b), step, SHAPE)
                noisy[b] = (1 - sigma) * clean + sigma * fresh
    return final


def frames(block: int) -> range:
    return range(block * BLOCK, (block + 1) * BLOCK)


def rolled(count: int, fed: list[list[float]] | None = None) -> list[Tensor]:
    """The product over `count` blocks; `fed` collects the timesteps of its passes."""

    def record(module, args, kwargs):  # type: ignore[no-untyped-def]
        if fed is not None:
            fed.append(args[1][0].tolist())

    method, text = method_of(ROLLING), BACKBONE.text_context(PROMPT)
    state, made, position = method.start(SHAPE), [], 0
    hook = BACKBONE.register_forward_pre_hook(record, with_kwargs=True)
    for _ in range(count):
        plan = method.next(position, count * BLOCK)
        made.append(method.denoise(plan, NOISE, Conditions(text=text), state))
        state.memory.commit(plan.final, made[-1], text, None)
        position = plan.final.stop
    hook.remove()
    assert not state.flight
    return made


@torch.inference_mode()
@pytest.mark.parametrize("count", [5, 13])
def test_rolling_forcing_streams_as_published(count: int) -> None:
    pairs = zip(rolled(count), rolling_by_oracle(count), strict=True)
    worst = max(float((a - b).abs().max()) for a, b in pairs)
    assert worst <= 5e-5, f"largest difference {worst:.2e}"


@torch.inference_mode()
@pytest.mark.parametrize("count", [5, 9])
def test_every_window_is_fed_the_published_timesteps(count: int) -> None:
    fed: list[list[float]] = []
    rolled(count, fed)
    windows = [times for times in fed if any(times)]
    expected = [
        [level for level in rolling_levels(w, count).values() for _ in range(BLOCK)]
        for w in range(count + STEPS - 1)
    ]
    assert len(windows) == len(expected)
    assert all(a == pytest.approx(b) for a, b in zip(windows, expected, strict=True))
    assert len(fed) - len(windows) == count  # one pass a block remembers it


BATCH = Policy.model_validate(
    {
        "block": 1,
        "window": {"kind": "rolling", "frames": 4, "sink": 1},
        "context": {"kind": "none"},
        "sampler": {"kind": "stream-batch", "steps": [700, 500, 400], "shift": 8, "warp": False},
    }
)
RAW = Schedule((700, 500, 400), 8, False)
SOURCE = torch.randn(1, SHAPE[0], 12, *SHAPE[1:], generator=torch.Generator().manual_seed(9))
STRENGTH, BEGIN = 0.9, 800.0


def batch_by_oracle(count: int, *, source: bool) -> list[Tensor]:
    """Frame after frame through all steps; each step sees earlier frames as they were in that same step."""
    history: list[list[Tensor]] = [[], [], []]
    made = []
    for frame in range(count):
        noise = NOISE(Purpose.INITIAL, [frame], 0, SHAPE)
        x = (1 - STRENGTH) * SOURCE[:, :, frame : frame + 1] + STRENGTH * noise if source else noise
        for step, level in enumerate([BEGIN if source else 700.0, 500.0, 400.0]):
            if step:
                x = (1 - RAW.sigma(level)) * x + RAW.sigma(level) * NOISE(
                    Purpose.RENOISE, [frame], step, SHAPE
                )
            history[step].append(x)
            groups = []
            for f in range(frame + 1):
                seen = [*range(min(1, f)), *range(max(1, f - 2), f + 1)] if f else [0]
                groups.append(Group([f], [f], [Key({g: 1.0}, g) for g in seen]))
            v = velocity(history[step], [level] * (frame + 1), groups, 1)
            x = (x.double() - RAW.sigma(level) * v).float()
        made.append(x)
    return made


def batched(count: int, total: int | None, *, source: bool) -> list[Tensor]:
    """The product."""
    method, text = method_of(BATCH), BACKBONE.text_context(PROMPT)
    state, made, position, given = method.start(SHAPE), [], 0, 0
    for _ in range(count):
        plan = method.next(position, total)
        fresh = SOURCE[:, :, given : plan.denoise.stop]
        is_given = source and fresh.shape[2]
        part = Given(source=fresh, strength=STRENGTH, begin=BEGIN) if is_given else Given()
        given = plan.denoise.stop
        made.append(method.denoise(plan, NOISE, Conditions(text=text, given=part), state))
        position = plan.final.stop
    return made


@torch.inference_mode()
@pytest.mark.parametrize("source", [False, True], ids=["noise", "source"])
@pytest.mark.parametrize("total", [None, 9], ids=["endless", "to its end"])
def test_a_stream_batch_streams_as_published(source: bool, total: int | None) -> None:
    pairs = zip(batched(9, total, source=source), batch_by_oracle(9, source=source), strict=True)
    worst = max(float((a - b).abs().max()) for a, b in pairs)
    assert worst <= 5e-5, f"largest difference {worst:.2e}"


@torch.inference_mode()
def test_a_block_costs_a_stream_batch_one_pass() -> None:
    batches: list[int] = []
    hook = BACKBONE.register_forward_pre_hook(lambda module, args: batches.append(args[0].shape[0]))
    batched(6, 6, source=False)
    hook.remove()
    assert batches == [1, 2, 3, 3, 3, 3, 2, 1]


@torch.inference_mode()
def test_a_clip_shorter_than_the_window_takes_every_block_through_every_step() -> None:
    fed: list[list[float]] = []
    assert len(rolled(2, fed)) == 2
    levels = LEVELS.timesteps(is_first=False)
    windows = [times for times in fed if any(times)]
    assert [times[0] for times in windows] == pytest.approx([*levels, levels[-1]])
    assert [times[-1] for times in windows] == pytest.approx([levels[0], *levels])
