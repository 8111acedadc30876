"""Gates: what is measured of a stage, what is asked, and what is said when it is not met."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from longtake.errors import UserError
from longtake.measure.cases import held_out_cases
from longtake.measure.results import Result
from longtake.train.gates.config import Band, GateConfig
from longtake.train.gates.curves import curve_figures
from longtake.train.gates.figures import FIGURES, Made, figures, measure
from longtake.train.gates.gate import FIRST_SEED, failures, hold, take_frames
from longtake.train.recipe_file import load_config
from longtake.world.reader import Reader
from tests.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def log(folder: Path, losses: list[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"kind": "leg", "step": 0}]
    lines += [{"kind": "train", "step": 10 * (i + 1), "loss": loss} for i, loss in enumerate(losses)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def records(losses: list[float]) -> list[dict[str, Any]]:
    return [{"kind": "train", "step": 10 * (i + 1), "loss": loss} for i, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "met"),
    [
        ([1.0, 1.0, 1.0, 1.0], [True, True, True, True]),
        ([9.0, 9.0, 9.0, 9.0], [True, False, True, False]),
        ([0.1, 0.1, 0.1, 0.1], [False, True, False, True]),
        ([1.0, 1.0, 1.0, 90.0], [True, True, True, False]),
    ],
)
def test_a_curve_is_held_against_its_band(losses: list[float], met: list[bool]) -> None:
    band = Band(points={20: (0.5, 2.0), 40: (0.5, 2.0)})
    assert [figure.met for figure in curve_figures(records(losses), [band])] == met


def test_points_that_a_run_has_not_reached_are_left_out() -> None:
    band = Band(points={20: (0.0, 2.0), 500: (0.0, 0.1)})
    assert {figure.name for figure in curve_figures(records([1.0] * 4), [band])} == {"loss at step 20"}


def test_a_band_of_a_figure_that_the_log_does_not_have_is_not_met() -> None:
    [figure] = curve_figures(records([1.0]), [Band(figure="critic_loss", points={10: (0, 1)})])
    assert figure.met is False
    assert figure.note == "left out: the log has no critic_loss"


def test_takes_are_measured_shown_and_kept(tmp_path: Path, reader: Reader) -> None:
    log(tmp_path, [1.0, 0.5])
    config = GateConfig(
        prompts=4,
        seconds=2.0,
        curves=(Band(points={20: (0.0, 0.1)}),),
        asked={"legible": ">= 0.99", "flicker": "<= 1000", "drift_colour": "<= 1000"},
    )
    pipe = tiny_pipeline()
    result = hold("dmd", tmp_path, pipe, config, reader=reader)
    table = {figure.name: figure for figure in result.figures}
    assert set(FIGURES) <= set(table)
    assert table["legible"].met is False, "random networks draw nothing that can be read"
    assert table["flicker"].met
    assert table["drift_colour"].met
    assert table["join_ratio"].value is not None, "chunks of a causal model have joins"
    assert table["proxy_fvd"].value > 0
    said = failures(result)
    assert len(said) == 2
    assert any(line.startswith("loss at step 20 is 0.7") and line.endswith("asked <= 0.1") for line in said)
    assert Result.load(tmp_path / "gate.json").figures == result.figures
    assert "**not met**" in (tmp_path / "gate.md").read_text()
    with Image.open(tmp_path / "gate.png") as picture:
        assert picture.height == 4 * 2 * pipe.height
    takes = (tmp_path / "gate.jsonl").read_text()
    stricter = config.model_copy(update={"asked": {"flicker": "<= 0"}})
    again = hold("dmd", tmp_path, tiny_pipeline(), stricter, reader=reader)
    assert (tmp_path / "gate.jsonl").read_text() == takes, "other expectations need no new takes"
    assert any("flicker" in line for line in failures(again))


def test_training_goes_on_after_takes_were_made_in_the_same_process() -> None:
    pipe = tiny_pipeline()
    next(iter(pipe.stream("a red sphere rolls", seed=0, num_frames=5)))
    transformer = pipe.backbone.requires_grad_(True)
    latents = torch.randn(1, transformer.config.in_channels, 2, 2, 4)
    text = torch.randn(1, 3, transformer.config.text_dim)
    transformer(latents, torch.full((1, 2), 500.0), text).sum().backward()
    assert all(p.grad is not None for p in transformer.blocks.parameters())


def test_what_the_reader_is_not_trusted_with_is_left_out(reader: Reader) -> None:
    [case] = held_out_cases(1, 1, first=FIRST_SEED)
    truth = case.truth(16, size=(96, 96), fps=8)
    row = measure(Made(case=case, frames=truth, joins=(8,), truth=truth), reader, 8)
    table = {f.name: f for f in figures([row], [case], reader, {"shape": ">= 0.9", "ground": ">= 0.9"})}
    untrusted = "shape" not in reader.trust.reported
    assert (table["shape"].value is None) is untrusted
    assert table["shape"].met is not untrusted, "what cannot be read does not pass"
    assert table["ground"].met, "the true scene shows what was asked"
    assert table["proxy_fvd"].value is None
    assert table["proxy_fvd"].met is None, "nothing was asked of it"
    untold = Reader(reader.net, replace(reader.trust, reported=()))
    blind = {f.name: f for f in figures([row], [case], untold, {"shape": ">= 0.9", "proxy_fvd": "<= 1"})}
    assert (blind["shape"].met, blind["proxy_fvd"].met, blind["colour"].met) == (False, False, None)


def test_what_was_asked_and_is_not_known_is_said_with_the_reason(tmp_path: Path) -> None:
    log(tmp_path, [1.0])
    result = hold("ode-pairs", tmp_path, None, GateConfig(asked={"legible": ">= 0.9"}))
    assert failures(result) == ["legible is not known: the stage makes no model, asked >= 0.9"]


def test_takes_of_another_policy_are_made_anew(tmp_path: Path, reader: Reader) -> None:
    log(tmp_path, [1.0])
    config = GateConfig(prompts=1, seconds=0.5)
    hold("dmd", tmp_path, tiny_pipeline(), config, reader=reader)
    first = (tmp_path / "gate.jsonl").read_text().splitlines()
    other = tiny_pipeline(guidance_scale=3.0)
    hold("dmd", tmp_path, other, config, reader=reader)
    second = (tmp_path / "gate.jsonl").read_text().splitlines()
    assert len(first) == len(second) == 2
    assert first[0] != second[0], "the ledger says by which policy its takes were made"
    assert first[1] != second[1]
    hold("dmd", tmp_path, other, config.model_copy(update={"seconds": 1.0}), reader=reader)
    assert (tmp_path / "gate.jsonl").read_text().splitlines()[0] != second[0], "a gate may begin afresh"


def test_true_scenes_are_nearer_to_themselves_than_still_ones(reader: Reader) -> None:
    cases = held_out_cases(1, 4, first=FIRST_SEED)
    rows: dict[str, list[dict[str, Any]]] = {"true": [], "still": []}
    for case in cases:
        truth = case.truth(16, size=(96, 96), fps=8)
        for name, frames in (("true", truth), ("still", np.repeat(truth[:1], 16, axis=0))):
            rows[name].append(measure(Made(case=case, frames=frames, joins=(8,), truth=truth), reader, 8))
    found = {
        name: {f.name: f.value for f in figures(rows[name], cases, reader, {})} for name in ("true", "still")
    }
    assert found["true"]["proxy_fvd"] == pytest.approx(0.0, abs=1e-6)
    assert found["still"]["proxy_fvd"] > 1.0
    assert found["still"]["flicker"] == 0.0


def test_a_stage_without_a_model_has_curves_only(tmp_path: Path) -> None:
    log(tmp_path, [1.0])
    result = hold("pairs", tmp_path, None, GateConfig(curves=(Band(points={10: (0.5, 1.5)}),)))
    assert [figure.met for figure in result.figures] == [True, True]


def test_a_model_of_whole_clips_makes_no_longer_ones() -> None:
    clip = tiny_pipeline(block=3, window={"kind": "clip", "frames": 3}, position={"kind": "absolute"})
    assert take_frames(clip, 4.0) == 9
    assert take_frames(tiny_pipeline(), 4.0) == 32


def test_gates_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    for text, said in (
        ("asked: {beauty: '>= 1'}", "beauty unknown; known are colour"),
        ("asked: {flicker: '< 1'}", "asked.flicker"),
        ("{prompts: 3, asked: {proxy_fvd: '<= 1'}}", "proxy_fvd needs prompts 4 at least, 3 given"),
        ("curves: [{points: {10: [2, 1]}}]", "give steps with a least and a greatest"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            load_config(str(path), GateConfig)
