"""Training on some of the tokens: which ones, that they are computed as in a whole pass, and what shapes are asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.train.config import Focus, Stage
from longtake.train.device import choose_compute
from longtake.train.focus import ShapeHead, SomeTokens, choose_tokens, patches, pick, shape_shares
from longtake.train.mini import Mini
from longtake.world.vocabulary import SHAPES
from tests.tiny import redraw
from tests.train.sets import WORDS, record, tiny_config, write_set


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), shares=True)


def corner(frames: int = 2) -> torch.Tensor:
    """One solid that covers the upper left cell of 8×8."""
    shares = torch.zeros(1, 1, frames, 8, 8)
    shares[..., 0, 0] = 0.5
    return shares


def test_tokens_near_a_solid_come_first() -> None:
    kept = choose_tokens(np.random.default_rng(0), corner(), Focus(tokens=12, chance=1.0))
    assert {0, 1, 8, 9} <= set(kept[0, 1].tolist())
    assert kept.diff(dim=2).gt(0).all()


def test_noise_is_split_between_the_two_kinds_of_step(data: Path) -> None:
    mini = Mini(tiny_config(), data, WORDS, choose_compute("cpu", "float32"))
    focus = Focus(tokens=2, most=0.7, least=0.5)
    stage = Stage(name="x", steps=60, batch_size=4, frames=6, levels={1: 1}, focus=focus)
    seen = set()
    for step in range(60):
        sample = mini.sample_batch(stage, step)
        sigma, focused = sample.plan.sigma[sample.plan.counts], sample.chosen is not None
        assert (sigma <= 0.7).all() if focused else (sigma >= 0.5).all()
        seen.add(focused)
    assert seen == {True, False}


def test_all_tokens_kept_are_a_whole_pass(data: Path) -> None:
    mini = Mini(tiny_config(shapes=0.5), data, WORDS, choose_compute("cpu", "float32"))
    redraw(mini.networks.transformer)
    frames, block = 6, mini.config.block
    sample = mini.sample_batch(Stage(name="x", steps=1, batch_size=2, frames=frames, levels={1: 1}), 0)
    conditions, mask = mini.networks.conditions(sample.captions), block_causal_mask(frames, block)
    timestep = 1000 * torch.from_numpy(sample.plan.sigma).float()
    whole = mini.networks(
        sample.clean,
        timestep,
        conditions,
        WholeClip(grid=mini.grid, positions=tuple(range(frames)), mask=mask),
    )
    every = torch.arange(mini.grid.tokens).expand(2, frames, -1)
    rule = SomeTokens(grid=mini.grid, positions=tuple(range(frames)), kept=every, mask=mask)
    some, _ = mini.networks.some(sample.clean, timestep, conditions, rule)
    expected = patches(whole, mini.networks.transformer.config.patch_size)
    assert (some - expected).abs().max() <= 1e-5


def test_kept_tokens_stand_where_they_stood(data: Path) -> None:
    """With one token a frame attention sees positions alone: moving the token changes the answer, as it should."""
    mini = Mini(tiny_config(), data, WORDS, choose_compute("cpu", "float32"))
    redraw(mini.networks.transformer)
    frames = 3
    sample = mini.sample_batch(Stage(name="x", steps=1, batch_size=1, frames=frames, levels={1: 1}), 0)
    conditions = mini.networks.conditions(sample.captions)
    still = sample.clean[..., :1, :1].expand_as(sample.clean)
    answers = []
    for places in ([0, 0, 0], [1, 1, 1], [0, 1, 0]):
        kept = torch.tensor(places).view(1, frames, 1)
        rule = SomeTokens(grid=mini.grid, positions=tuple(range(frames)), kept=kept)
        answers.append(mini.networks.some(still, torch.full((1, frames), 500.0), conditions, rule)[0])
    assert torch.allclose(answers[0], answers[1], atol=1e-5), "rotary positions are relative"
    assert (answers[0] - answers[2]).abs().max() > 1e-3


def test_shares_of_shapes_follow_the_record_and_sum_to_one() -> None:
    shown = replace(record(0), attributes={"solids": [{"shape": "cube"}, {"shape": "torus"}]})
    shares = torch.zeros(1, 3, 1, 1, 2)
    shares[0, 0, 0, 0, 0], shares[0, 1, 0, 0, 0] = 0.25, 0.5
    table = shape_shares(shares, [shown])[0, 0]
    assert table[0, SHAPES.index("cube")] == 0.25
    assert table[0, SHAPES.index("torus")] == 0.5
    assert table[0, -1] == 0.25
    assert table[1, -1] == 1.0


def test_shape_loss_is_the_entropy_of_the_shares_at_best() -> None:
    head = ShapeHead(4)
    torch.nn.init.zeros_(head.layers[2].weight)
    torch.nn.init.zeros_(head.layers[2].bias)
    even = torch.full((1, 1, 1, len(SHAPES) + 1), 1 / (len(SHAPES) + 1))
    assert head(torch.randn(1, 1, 1, 4), even).item() == pytest.approx(np.log(len(SHAPES) + 1))


def test_a_focused_stage_trains_the_network_and_the_head(data: Path) -> None:
    mini = Mini(tiny_config(shapes=0.5), data, WORDS, choose_compute("cpu", "float32"))
    stage = Stage(name="x", steps=9, batch_size=4, frames=6, levels={1: 1}, focus=Focus(tokens=2, share=1.0))
    mini.loss(stage, 0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in mini.networks.shapes.parameters())
    assert mini.networks.transformer.proj_out.weight.grad.abs().max() > 0


def test_a_focus_without_shares_is_refused(tmp_path: Path) -> None:
    mini = Mini(tiny_config(), write_set(tmp_path / "set"), WORDS, choose_compute("cpu", "float32"))
    stage = Stage(
        name="near", steps=1, batch_size=2, frames=6, levels={1: 1}, focus=Focus(tokens=2, share=1.0)
    )
    with pytest.raises(UserError, match="stage near has a focus"):
        mini.loss(stage, 0)


def test_patches_stand_in_the_order_of_the_head(data: Path) -> None:
    mini = Mini(tiny_config(), data, WORDS, choose_compute("cpu", "float32"))
    net = mini.networks.transformer
    x = torch.randn(2, net.config.out_channels, 3, *mini.data.latent_shape[2:])
    assert torch.equal(net._unpatchify(patches(x, net.config.patch_size), mini.grid), x)


def test_pick_takes_the_named_tokens() -> None:
    x = torch.arange(6.0).view(1, 1, 6, 1)
    assert pick(x, torch.tensor([[[1, 4]]])).flatten().tolist() == [1.0, 4.0]
