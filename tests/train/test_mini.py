"""The pretraining loss: what counts, what sees what, and that it falls."""

from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.train.config import CropConfig, Length, MiniConfig, NoiseConfig, Stage
from longtake.train.device import choose_compute
from longtake.train.mini import Mini, masked_error, mix, teacher_mask
from longtake.train.networks import Conditions
from tests.tiny import redraw
from tests.train.sets import FRAMES, WORDS, tiny_config, write_set


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"))


def recipe(data: Path, config: MiniConfig | None = None) -> Mini:
    return Mini(config or tiny_config(), data, WORDS, choose_compute("cpu", "float32"))


def clips_stage(**noise: object) -> Stage:
    return Stage(name="x", steps=9, batch_size=4, frames=6, levels={1: 1, 2: 1}, noise=NoiseConfig(**noise))


def test_context_frames_do_not_enter_the_loss() -> None:
    target = torch.zeros(1, 2, 4, 3, 3)
    velocity = target.clone()
    counts = torch.tensor([[False, True, True, False]])
    velocity[:, :, [0, 3]] = 100.0
    assert masked_error(velocity, target, counts) == 0
    velocity[:, :, 1] = 2.0
    assert masked_error(velocity, target, counts) == 2.0


def test_every_denoised_frame_weighs_the_same() -> None:
    target = torch.zeros(2, 1, 3, 1, 1)
    velocity = torch.ones_like(target)
    velocity[1] = 3.0
    counts = torch.tensor([[True, True, True], [True, False, False]])
    assert masked_error(velocity, target, counts) == (3 * 1 + 1 * 9) / 4


def test_mix_interpolates_frame_by_frame() -> None:
    clean, noise = torch.zeros(1, 1, 3, 1, 1), torch.ones(1, 1, 3, 1, 1)
    assert mix(clean, noise, torch.tensor([[0.0, 0.25, 1.0]])).flatten().tolist() == [0.0, 0.25, 1.0]


def test_clean_past_mask_shows_a_noisy_block_the_clean_blocks_before_it() -> None:
    mask = teacher_mask(4, 2)
    assert mask.int().tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 1],
        [1, 1, 0, 0, 0, 0, 1, 1],
    ]


def test_lengths_take_turns_and_the_parts_of_an_update_share_one(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini = Mini(tiny_config(), data, WORDS, choose_compute("cpu", "float32"), parts=2)
    others = (Length(share=0.3, frames=1, batch_size=5), Length(share=0.2, frames=2, batch_size=3))
    stage = Stage(name="x", steps=9, batch_size=1, frames=6, levels={1: 1, 2: 1}, others=others)
    drawn: list[tuple[int, int]] = []
    monkeypatch.setattr(mini, "_velocity", lambda given: torch.zeros_like(given.target))
    monkeypatch.setattr(
        "longtake.train.mini.masked_error",
        lambda velocity, target, counts: drawn.append((target.shape[2], target.shape[0])),
    )
    for part in range(400):
        mini.loss(stage, part)
    assert drawn[0::2] == drawn[1::2]
    counts = {length: drawn.count(length) for length in set(drawn)}
    assert set(counts) == {(1, 5), (2, 3), (6, 1)}
    assert 70 < counts[1, 5] < 170
    assert 40 < counts[2, 3] < 130


def test_a_stage_keeps_some_steps_of_its_own_length() -> None:
    images = Length(share=1.0, frames=1, batch_size=5)
    with pytest.raises(ValueError, match="must leave some steps to 6 frames"):
        Stage(name="x", steps=9, batch_size=1, frames=6, others=(images,))


def test_teacher_forcing_is_the_streaming_step_of_each_block(data: Path) -> None:
    """Every noisy block of a doubled pass equals that block denoised after a clean past, one block at a time."""
    mini = recipe(data)
    redraw(mini.networks.transformer)
    frames, block = 6, mini.config.block
    generator = torch.Generator().manual_seed(0)
    clean, noisy = (torch.randn(1, 4, frames, 4, 4, generator=generator) for _ in range(2))
    sigma = torch.tensor([[0.3, 0.3, 0.8, 0.8, 0.5, 0.5]])
    conditions = mini.networks.conditions(_one_caption(frames))
    rule = WholeClip(grid=mini.grid, positions=tuple(range(frames)) * 2, mask=teacher_mask(frames, block))
    doubled = mini.networks(
        torch.cat([clean, noisy], 2), torch.cat([torch.zeros_like(sigma), 1000 * sigma], 1), conditions, rule
    )[:, :, frames:]
    for first in range(0, frames, block):
        end = first + block
        inputs = torch.cat([clean[:, :, :first], noisy[:, :, first:end]], 2)
        times = torch.cat([torch.zeros(1, first), 1000 * sigma[:, first:end]], 1)
        rule = WholeClip(grid=mini.grid, positions=tuple(range(end)), mask=block_causal_mask(end, block))
        step = mini.networks(inputs, times, conditions, rule)[:, :, first:]
        difference = (step - doubled[:, :, first:end]).abs().max()
        assert difference < 1e-4, f"block at {first} differs by {difference}"


def _one_caption(frames: int):  # type: ignore[no-untyped-def]
    from longtake.train.crops import Captions

    return Captions(texts=(("a red sphere",),), segment=np.zeros((1, frames), dtype=np.int64))


def test_loss_is_a_function_of_the_step(data: Path) -> None:
    first, second = recipe(data), recipe(data)
    stage = first.stages[1]
    for step in (0, 5):
        assert torch.equal(first.loss(stage, step), second.loss(stage, step))
    assert not torch.equal(first.loss(stage, 0), first.loss(stage, 1))


@pytest.mark.parametrize("mode", ["shared", "blocks", "prefix", "prefix_block", "teacher"])
def test_every_mode_gives_every_weight_a_gradient(data: Path, mode: str) -> None:
    mini = recipe(data)
    redraw(mini.networks.transformer)
    stage = clips_stage(causal={mode: 1.0}).model_copy(update={"causal": 1.0})
    loss = sum(mini.loss(stage, step) for step in range(4))
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    without = [name for name, p in mini.networks.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without, f"no gradient: {without}"


def test_captions_reach_the_frames_they_are_meant_for(data: Path) -> None:
    """Changing the second caption changes nothing before the frames that read it, under the causal mask."""
    mini = recipe(data)
    redraw(mini.networks.transformer)
    tokens = mini.networks.text.tokenize(["a red sphere", "a blue cube", "blue"])
    segment = torch.tensor([[0, 0, 0, 0, 1, 1]])
    latents = torch.randn(1, 4, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    rule = WholeClip(grid=mini.grid, positions=tuple(range(6)), mask=block_causal_mask(6, 2))
    times = torch.full((1, 6), 500.0)
    one, other = (
        mini.networks(latents, times, Conditions(tokens, torch.tensor([[0, second]]), segment), rule)
        for second in (1, 2)
    )
    assert torch.equal(one[:, :, :4], other[:, :, :4])
    assert not torch.equal(one[:, :, 4:], other[:, :, 4:])


def test_validation_reports_levels_and_splits(data: Path) -> None:
    mini = recipe(data)
    weights = dict(mini.networks.named_parameters())
    figures = mini.validate(weights, 6)
    assert figures == mini.validate(weights, 6)
    assert {"sigma_0.1", "sigma_0.9", "seen", "held_out"} <= set(figures)


def test_stages_longer_than_the_stored_clips_are_refused_before_the_first_step(data: Path) -> None:
    others = (Length(share=0.01, frames=FRAMES + 1, batch_size=2),)
    for stage in (
        clips_stage().model_copy(update={"frames": FRAMES + 1}),
        clips_stage().model_copy(update={"others": others}),
    ):
        with pytest.raises(UserError, match=f"clips of {FRAMES} latent frames.*{FRAMES + 1}"):
            recipe(data, tiny_config(stages=(stage,)))


@pytest.mark.parametrize("crop", ["start", "middle", "sink"])
def test_a_batch_longer_than_the_stored_clips_is_refused(crop: str, data: Path) -> None:
    subject = recipe(data, tiny_config(crops=CropConfig(weights={crop: 1.0})))
    with pytest.raises(UserError, match=f"clips of {FRAMES} latent frames.*{FRAMES + 1}"):
        subject.sample_batch(clips_stage().model_copy(update={"frames": FRAMES + 1}), 0)
