"""The sink that follows the picture, against a slow form that computes everything anew and keeps lists of frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longtake.memory.window_rule import WindowRule
from longtake.models.policy import Policy
from longtake.sampling.noise import CounterNoise, Purpose
from tests.methods.oracle import Dense, Schedule
from tests.methods.published import SEED, SHAPE, backbone, difference, prompts, streamed
from tests.tiny import TINY_WAN

WINDOW, SINK, FRAMES, RESTART = 6, 3, 40, 12
STEPS = (700, 500)
GRID = TINY_WAN.grid(*SHAPE[1:])


def policy(threshold: float) -> Policy:
    return Policy.model_validate(
        {
            "block": 1,
            "window": {"kind": "adaptive-sink", "frames": WINDOW, "sink": SINK, "threshold": threshold},
            "position": {"kind": "absolute", "restart_at": RESTART},
            "context": {"kind": "none"},
            "sampler": {"kind": "few-step", "steps": STEPS, "shift": 8, "warp": False},
        }
    )


def place(frame: int) -> int:
    """Positions count up to the restart and go on from the last place of the window, again and again."""
    position = 0
    for _ in range(frame):
        position = position + 1 if position + 1 < RESTART else WINDOW - 1
    return position


class Adapting:
    """Attention of all frames at once, each beside the slots as they were when it was made."""

    def __init__(self, threshold: float, gave_way: dict[tuple[int, int], int]) -> None:
        self.threshold, self.gave_way = threshold, gave_way

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x[0].unflatten(0, (-1, GRID.tokens)) for x in (q, k, v))
        turn = Dense(GRID, ())._turn
        places = [place(frame) for frame in range(len(q))]
        q, k = turn(q, places), turn(k, places)
        slots: list[int] = []
        out = []
        for frame in range(len(q)):
            if len(slots) < WINDOW:
                slots.append(frame)
            else:
                slots[self._gives_way(layer, frame, slots, k, v)] = frame
            keys, values = k[slots].flatten(0, 1), v[slots].flatten(0, 1)
            logits = torch.einsum("qhd,khd->hqk", q[frame], keys) / q.shape[-1] ** 0.5
            out.append(torch.einsum("hqk,khd->qhd", logits.softmax(-1), values))
        return torch.cat(out)[None]

    def _gives_way(self, layer: int, frame: int, slots: list[int], k: Tensor, v: Tensor) -> int:
        """Decided by the first pass of a frame, in each layer."""
        if (layer, frame) not in self.gave_way:
            alike = [sum(cosine(x[slots[i]], x[frame]) for x in (k, v)) / 2 for i in range(SINK)]
            oldest = slots.index(min(slots[SINK:]))
            least = alike.index(min(alike))
            self.gave_way[layer, frame] = least if alike[least] < self.threshold else oldest
        return self.gave_way[layer, frame]


def cosine(one: Tensor, two: Tensor) -> float:
    a, b = one.mean(0).flatten(), two.mean(0).flatten()
    return float(a @ b / (a.norm() * b.norm()))


def by_oracle(threshold: float) -> tuple[list[Tensor], dict[tuple[int, int], int]]:
    """Frames, and the slots that gave way. What is remembered of a frame is its last noisy pass."""
    noise, schedule = CounterNoise(SEED), Schedule(STEPS, 8, False)
    remembered: list[Tensor] = []
    made, gave_way = [], {}
    for frame in range(FRAMES):
        x = noise(Purpose.INITIAL, [frame], 0, SHAPE)
        for step, timestep in enumerate(STEPS):
            sigma = schedule.sigma(timestep)
            if step:
                x = (1 - sigma) * x + sigma * noise(Purpose.RENOISE, [frame], step, SHAPE)
            before = x
            times = torch.tensor([[float(STEPS[-1])] * frame + [float(timestep)]])
            everything = torch.cat([*remembered, x], 2)
            velocity = backbone()(
                everything, times, prompts()[:, 0], attention=Adapting(threshold, gave_way)
            )[:, :, -1:]
            x = (x.double() - sigma * velocity.double()).float()
        remembered.append(before)
        made.append(x)
    return made, gave_way


@pytest.mark.parametrize("threshold", [-1.0, 0.75])
@torch.inference_mode()
def test_an_adaptive_sink_streams_as_published(threshold: float) -> None:
    expected, gave_way = by_oracle(threshold)
    found = difference(streamed(policy(threshold), FRAMES), expected)
    assert found <= 1e-5, f"largest difference {found:.2e} of the scale"
    chosen = {slot < SINK for slot in gave_way.values()}
    assert chosen == ({False} if threshold == -1 else {True, False}), "the case does not try both"


def test_positions_restart_where_the_published_ones_do() -> None:
    rule = WindowRule(window=6, sink=3, block=1, relative=False, restart_at=50)
    places = [rule.positions((), [frame])[0] for frame in range(142)]
    assert places[:50] == list(range(50))
    assert places[50:95] == list(range(5, 50))
    assert places[95:97] == [5, 6]
