"""The recipes of the reader and of mini-clip: the set, a few steps, resuming, exporting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.train import clip, reader
from longtake.train.config import Stage
from longtake.train.reader_batch import collate, draw_sample
from longtake.train.reader_set import Shards
from longtake.train.recipe_file import load_config
from longtake.world.clip import MiniClip
from longtake.world.corrupt import KINDS
from longtake.world.reader import Reader
from longtake.world.reader_config import ReaderConfig

CONFIG = ReaderConfig()
STAGE = Stage(name="read", steps=2, batch_size=3, frames=16)
READER = reader.ReaderRecipe(
    shards=1,
    shard_clips=4,
    shard_plates=2,
    shard_coded=2,
    validation_clips=16,
    validate_steps=2,
    stages=(STAGE,),
)


class Quiet:
    def record(self, record: Mapping[str, object]) -> None:
        pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    reader.make_set(READER, folder)
    return folder


def test_the_set_is_made_once_and_counts_its_parts(data: Path) -> None:
    made = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    reader.make_set(READER, data)
    assert {path: path.stat().st_mtime_ns for path in data.iterdir()} == made
    shards = Shards(data)
    assert (len(shards), len(shards.having("plates")), len(shards.having("coded"))) == (4, 2, 0)
    with pytest.raises(UserError, match="holds no finished shard"):
        Shards(data / "nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_faulty_windows_ask_for_nothing_but_refusal(data: Path, kind: str) -> None:
    batch = collate(
        [draw_sample(Shards(data), kind, np.random.default_rng(i), False) for i in range(3)], CONFIG
    )
    assert not batch.mapped.any()
    refused = batch.whole == 0
    assert refused.any()
    assert all((answers[refused] == -1).all() for answers in batch.answers.values())
    if kind != "erased":
        assert (batch.legible == 0).all()


def test_true_windows_have_maps_that_add_up(data: Path) -> None:
    batch = collate([draw_sample(Shards(data), "true", np.random.default_rng(0), False)], CONFIG)
    assert batch.mapped.all()
    assert torch.allclose(batch.shares.sum(2), torch.ones_like(batch.shares[:, :, 0]), atol=1e-5)
    assert batch.shares[:, :, :-1].sum() > 0


def test_the_reader_trains_resumes_and_exports(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert reader.train(READER, data, run, Quiet())
    assert reader.train(READER, data, run, Quiet())
    reader.export(run, tmp_path / "weights")
    assert Reader.load(tmp_path / "weights").config == CONFIG
    assert (tmp_path / "weights" / "model.safetensors").stat().st_size < 2_000_000


def test_mini_clip_trains_and_exports(tmp_path: Path) -> None:
    stage = Stage(name="contrast", steps=2, batch_size=4, frames=1)
    recipe = clip.ClipRecipe(scenes=8, held_out=16, validate_steps=2, stages=(stage,))
    assert clip.train(recipe, tmp_path / "run", Quiet())
    clip.export(tmp_path / "run", tmp_path / "weights")
    assert MiniClip.load(tmp_path / "weights").encode_text(["a red cube"]).isfinite().all()
    assert (tmp_path / "weights" / "model.safetensors").stat().st_size < 2_000_000


def test_the_shipped_recipes_are_valid() -> None:
    assert load_config("reader", reader.ReaderRecipe).stages
    assert load_config("clip", clip.ClipRecipe).stages
