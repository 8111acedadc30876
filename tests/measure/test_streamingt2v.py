"""StreamingT2V's ablations and lengths on tiny weights: they run, go on and say what they did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.measure.app import app as bench_app
from longtake.measure.app import streamingt2v as streaming_app
from longtake.measure.bench import Bench
from longtake.measure.blending import subject
from longtake.measure.cases import held_out_cases
from longtake.measure.compare import compare
from longtake.measure.filming import about_model
from longtake.measure.methods import chosen, streamed, with_method
from longtake.measure.methods import remembering as with_memories
from longtake.measure.random_weights import redraw
from longtake.measure.results import Result
from longtake.measure.streamingt2v import _filmed, ablations, lengths, opened, variants
from longtake.models.streaming.networks import MemoryNetworks, cam_config, short_term
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader
from tests.tiny import tiny_folder, tiny_memories, tiny_pipeline


def remembering(**which: bool) -> Pipeline:
    pipe = tiny_pipeline()
    pipe.memories = tiny_memories(pipe, **which)
    return pipe


def adding(pipe: Pipeline, folder: Path) -> Path:
    network = short_term(cam_config(pipe.backbone.config, last_layers=1, encoder_layers=1, fusion="add"))
    redraw(network, 5)
    MemoryNetworks(cam=network).save(folder, dtype=None)
    return folder


def bench(pipe: Pipeline, reader: Reader, out: Path) -> Bench:
    return Bench(pipe=pipe, reader=reader, level=1, prompts=2, out=out, progress=lambda *_: None)


def test_every_variant_is_on_the_same_prompts_in_one_table(tmp_path: Path, reader: Reader) -> None:
    pipe = remembering()
    others = opened([f"adding={adding(pipe, tmp_path / 'add')}"], pipe)
    result = ablations(bench(pipe, reader, tmp_path), others, 20)
    assert result.name == "streamingt2v-level1"
    columns = {figure.name.partition(":")[0] for figure in result.figures}
    assert columns == {"cam-apm", "cam", "adding", "none"}
    names = {figure.name for figure in result.figures}
    assert {"cam: cuts", "adding: adherence, head"} <= {name.lower() for name in names}
    ledgers = {path.name for path in tmp_path.glob("*.jsonl")}
    assert ledgers == {f"streamingt2v-level1-{name}.jsonl" for name in columns}


def test_another_memory_computes_in_what_the_model_does(tmp_path: Path) -> None:
    pipe = remembering()
    pipe.backbone.to(torch.bfloat16)
    [other] = opened([f"adding={adding(pipe, tmp_path / 'add')}"], pipe).values()
    assert {p.dtype for p in cast(nn.Module, other).parameters()} == {torch.bfloat16}


def test_lengths_are_measured_on_the_same_takes(tmp_path: Path, reader: Reader) -> None:
    result = lengths(bench(remembering(), reader, tmp_path), (9, 20, 33))
    figures = {figure.name: figure for figure in result.figures}
    assert [figures[f"{n} frames asked: off by"].value for n in (9, 20)] == [0, 0]
    assert figures["33 frames, adherence"].count == 2
    assert figures["mawe_paper, 33 frames over 20"].asked in (None, "<= 1.1")
    assert figures["memory, growth at most"].asked == "<= 20"
    fewer = lengths(bench(remembering(), reader, tmp_path / "fewer"), (9, 33))
    [same] = [each.value for each in fewer.figures if each.name == "33 frames, mawe_paper"]
    assert figures["33 frames, mawe_paper"].value == same, "stopping on the way changes nothing"


def test_a_model_without_long_term_memory_is_measured_without(reader: Reader, tmp_path: Path) -> None:
    assert [each.name for each in variants(remembering(apm=False), {})] == ["cam", "none"]
    with pytest.raises(UserError, match="train one with `longtake train cam`"):
        variants(tiny_pipeline(), {})


def test_what_is_compared_is_named_and_of_this_transformer(tmp_path: Path) -> None:
    pipe = remembering()
    folder = adding(pipe, tmp_path)
    for given in ([str(folder)], [f"a={folder}", f"a={folder}"]):
        with pytest.raises(UserError, match="write NAME=FOLDER"):
            opened(given, pipe)
    with pytest.raises(UserError, match=r"config\.json is missing"):
        opened([f"a={tmp_path / 'nothing'}"], pipe)


def test_another_memory_is_another_model_to_a_ledger_where_it_is_used() -> None:
    one, two = remembering(), remembering()
    redraw(two.memories.cam, 6)
    assert about_model(one) == about_model(two) == about_model(tiny_pipeline())
    assert about_model(streamed(one)) != about_model(streamed(two))
    own, other = about_model(streamed(one)), about_model(streamed(two))
    assert {key for key in own if own[key] != other[key]} == {"memories"}
    assert own["weights"] == about_model(one)["weights"], "the base networks are the same"
    assert own["memories"].keys() == {"cam", "apm"}
    alone = with_memories(streamed(one), long_term=False)
    assert about_model(alone)["memories"] == {"cam": own["memories"]["cam"]}


def test_a_table_with_a_column_of_it_says_which_memories(tmp_path: Path, reader: Reader) -> None:
    pipe = remembering()
    result = compare(replace(bench(pipe, reader, tmp_path), prompts=1), ("streamingt2v", "streaming"), 20, 1)
    assert result.config["memories"] == about_model(streamed(pipe))["memories"]
    assert result.config["weights"] == about_model(pipe)["weights"]


def test_it_stands_beside_other_ways_of_going_on_when_asked() -> None:
    assert "streamingt2v" not in chosen("all")
    assert chosen("all,streamingt2v") == (*chosen("all"), "streamingt2v")
    for which in ({}, {"apm": False}):
        take = with_method(remembering(**which), "streamingt2v").stream("a red sphere", seed=1, num_frames=25)
        assert [len(chunk.frames) for chunk in take] == [17, 8]


def test_frames_of_the_clip_do_not_count_as_growth() -> None:
    """64 MB of frames, a second copy of which is as much again."""

    def chunks(*_: Any, **__: Any) -> Iterator[SimpleNamespace]:
        for value in range(8):
            yield SimpleNamespace(frames=np.full((2, 1024, 1024, 4), value, np.uint8))

    pipe = tiny_pipeline()
    pipe.stream = chunks  # type: ignore[method-assign, assignment]
    clip, growth = _filmed(pipe, held_out_cases(1, 1)[0], (2, 4, 16))
    assert len(clip) == 16
    assert growth < 32


@pytest.mark.filterwarnings("ignore:the enhancer of tiny was trained at")
def test_blending_keeps_its_picture_with_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_app, "QUICK", 1)
    used = list[int]()
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    words = ["streamingt2v", "blending", "--quick", "--frames", "33", "--level", "2", "--threads", "1"]
    done = CliRunner().invoke(
        bench_app, [*words, "--out", str(tmp_path), "--model", str(tiny_folder(tmp_path / "m"))]
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "quick").iterdir()) == [
        "blending-xt.png",
        "blending.json",
    ]
    config = Result.load(tmp_path / "quick" / "blending.json").config
    assert (config["level"], config["frames"], config["clips"]) == (2, 33, 1)
    assert used[0] == 1


def test_other_memories_are_for_ablations() -> None:
    done = CliRunner().invoke(bench_app, ["streamingt2v", "blending", "--cam", "a=b"])
    assert isinstance(done.exception, UserError)
    assert "--cam is for ablations" in str(done.exception)


def test_a_damaged_enhancer_is_not_measured_as_random_weights(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "enhancer").mkdir()
    (folder / "enhancer" / "enhancer.yaml").write_text("name: [")
    with pytest.raises(UserError, match="enhancer"):
        subject(folder)
