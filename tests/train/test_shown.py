"""What each token shows: the shares that are asked for, the loss, and that asking leaves the velocity alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtake.errors import UserError
from longtake.models.attention import Grid, WholeClip
from longtake.train.config import Stage
from longtake.train.device import choose_compute
from longtake.train.mini import Mini
from longtake.train.shown import ANSWERS, ShownHead, shown_shares
from longtake.world.vocabulary import COLOURS, MOTIONS, SHAPES
from tests.train.sets import CELLS, WORDS, record, tiny_config, write_set

PARTS = [1 + len(words) for words in ANSWERS.values()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), shares=True)


def test_shares_follow_the_record_and_each_sum_to_one() -> None:
    shares = torch.zeros(1, 3, 2, 4, 4)
    shares[0, 0, :, :2, :2] = 0.25
    shown = shown_shares(shares, [record(0)], Grid(2, 2))
    assert shown.shape == (1, 2, 4, sum(PARTS))
    shape, colour, motion = shown.split(PARTS, -1)
    assert all(torch.allclose(part.sum(-1), torch.ones(1, 2, 4)) for part in (shape, colour, motion))
    for part, at in (
        (shape, SHAPES.index("sphere")),
        (colour, COLOURS.index("red")),
        (motion, MOTIONS.index("roll")),
    ):
        assert part[0, :, 0, 1 + at].tolist() == [0.25, 0.25]
        assert part[0, :, 1:, 0].eq(1).all()


def test_a_clip_in_which_a_solid_changes_is_not_asked() -> None:
    plain = record(0)
    changing = replace(plain, attributes={**plain.attributes, "events": [{"kind": "colour"}]})
    shares = torch.rand(2, 3, 2, 4, 4) / 3
    shown = shown_shares(shares, [plain, changing], Grid(4, 4))
    assert not shown[1].any()
    head, x = ShownHead(8), torch.randn(2, 2, 16, 8)
    assert torch.isclose(head(x, shown), head(x[:1], shown[:1]))
    assert head(x, torch.zeros_like(shown)) == 0


def test_whoever_knows_the_answer_has_the_least_loss() -> None:
    shares = torch.zeros(1, 3, 1, 2, 2)
    shares[0, 0, 0, 0] = 1.0
    shown = shown_shares(shares, [record(0)], Grid(2, 2))
    head = ShownHead(8)
    head.layers = torch.nn.Identity()  # type: ignore[assignment]
    knows, guesses = 50 * shown, torch.zeros_like(shown)
    assert head(knows, shown) < 1e-3
    expected = sum(torch.log(torch.tensor(float(part))) for part in PARTS)
    assert torch.isclose(head(guesses, shown), torch.as_tensor(expected))


def test_asking_adds_to_the_loss_and_changes_no_velocity(data: Path) -> None:
    mini = Mini(tiny_config(shown=0.5), data, WORDS, choose_compute("cpu", "float32"))
    plain = Mini(tiny_config(), data, WORDS, choose_compute("cpu", "float32"))
    mini.networks.load_state_dict(plain.networks.state_dict(), strict=False)
    stage = Stage(name="x", steps=9, batch_size=4, frames=6, levels={1: 1, 2: 1})
    assert mini.loss(stage, 0) > plain.loss(stage, 0)
    conditions = mini.networks.conditions(mini.sample_batch(stage, 0).captions)
    noisy, level = torch.randn(4, 4, 6, CELLS, CELLS), torch.full((4, 6), 500.0)
    rule = WholeClip(grid=mini.grid, positions=tuple(range(6)))
    with torch.no_grad():
        velocity, middle = mini.networks.with_middle(noisy, level, conditions, rule)
        assert torch.equal(velocity, mini.networks(noisy, level, conditions, rule))
    assert middle.shape[:3] == (4, 6, mini.grid.tokens)
    mini.loss(stage, 1).backward()
    assert mini.networks.shown is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in mini.networks.shown.parameters())


def test_a_set_that_does_not_know_is_refused(tmp_path: Path) -> None:
    data = write_set(tmp_path)
    mini = Mini(tiny_config(shown=0.5), data, WORDS, choose_compute("cpu", "float32"))
    with pytest.raises(UserError, match="which needs a set of toybox clips"):
        mini.loss(Stage(name="x", steps=9, batch_size=4, frames=6, levels={1: 1}), 0)
