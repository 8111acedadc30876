"""Stored latents: eight bits and back, deterministic batches, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.train.quantise import quantise, restore
from longtake.train.store import LatentSet, shard_names
from tests.train.sets import CELLS, CHANNELS, FRAMES, record, write_set, write_shard


def test_eight_bits_are_within_half_a_step() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 1.0, 5.0])[None, :, None, None, None]
    latents = torch.randn(6, 3, 5, 4, 4, generator=generator) * spread
    latents[:, :, 0] *= 3
    image = torch.arange(5) == 0
    steps, scales = quantise(latents, image)
    assert steps.dtype == torch.int8
    back = restore(steps, scales, image)
    half = torch.where(image, scales[0][:, None], scales[1][:, None])[None, :, :, None, None] / 2
    assert ((back - latents).abs() <= half + 1e-6).all()
    noise = ((back - latents).square().mean() / latents.square().mean()).sqrt()
    assert noise < 0.02, f"relative error {noise}"


def test_quantised_latents_are_stable() -> None:
    latents = torch.randn(4, 2, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    image = torch.arange(3) == 0
    back = restore(*quantise(latents, image), image)
    assert torch.allclose(restore(*quantise(back, image), image), back, atol=1e-6)


def test_batches_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    write_set(tmp_path)
    asked = ([True, False] * 4, {1: 0.5, 2: 0.5})
    one, two = LatentSet(tmp_path, seed=3), LatentSet(tmp_path, seed=3)
    for step in (0, 7, 7_000):
        a, b = one.batch(step, *asked), two.batch(step, *asked)
        assert torch.equal(a.latents, b.latents)
        assert a.records == b.records
    assert not torch.equal(one.batch(1, *asked).latents, one.batch(2, *asked).latents)
    assert not torch.equal(one.batch(1, *asked).latents, LatentSet(tmp_path, seed=4).batch(1, *asked).latents)


def test_batches_follow_levels_and_kinds(tmp_path: Path) -> None:
    data = LatentSet(write_set(tmp_path))
    batch = data.batch(0, [True] * 20 + [False] * 20, {1: 1.0})
    assert batch.latents.shape == (40, CHANNELS, FRAMES, CELLS, CELLS)
    assert {r.level for r in batch.records} == {1}
    assert [r.jump for r in batch.records] == [True] * 20 + [False] * 20
    levels = [r.level for r in data.batch(1, [False] * 2000, {1: 3, 2: 1}).records]
    assert abs(np.mean(np.array(levels) == 1) - 0.75) < 0.03


def test_records_survive_the_sidecar(tmp_path: Path) -> None:
    records = [record(1), record(2, jump=True, event=4)]
    write_shard(tmp_path, "shard-000000", records)
    data = LatentSet(tmp_path)
    assert list(data.shards[0].records) == records
    assert data.latent_shape == (CHANNELS, FRAMES, CELLS, CELLS)


def test_only_finished_shards_count(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "shard-000001.json").unlink()
    assert shard_names(tmp_path) == ("shard-000000",)
    assert len(LatentSet(tmp_path)) == 12


def test_a_missing_level_an_empty_folder_and_a_broken_shard_are_plain_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no finished shard"):
        LatentSet(tmp_path)
    write_set(tmp_path)
    with pytest.raises(UserError, match=r"no clips of level \[3\]"):
        LatentSet(tmp_path).batch(0, [False], {3: 1.0})
    (tmp_path / "shard-000000.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="delete it and make it again"):
        LatentSet(tmp_path)


def test_a_stage_of_one_frame_draws_from_single_frames_when_there_are_any(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    write_shard(folder, "images-000000", [record(700 + i) for i in range(5)], frames=1)
    stored = LatentSet(folder)
    assert stored.latent_shape == (CHANNELS, FRAMES, CELLS, CELLS)
    singles = stored.batch(0, [False] * 6, {1: 1.0}, single=True)
    assert singles.latents.shape[2] == 1
    assert all(clip.seed >= 700 for clip in singles.records)
    clips = stored.batch(0, [False] * 6, {1: 1.0})
    assert clips.latents.shape[2] == FRAMES
    assert all(clip.seed < 700 for clip in clips.records)
