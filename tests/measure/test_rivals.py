"""Models on the same prompts and seeds: a student against its teacher, and several side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from longtake.errors import UserError
from longtake.measure.adherence import judged
from longtake.measure.bench import Bench, Progress
from longtake.measure.cases import held_out_cases
from longtake.measure.contest import Entrant, entrants
from longtake.measure.paired import beside, quotient
from longtake.measure.report import section
from longtake.measure.results import Result
from longtake.measure.rivals import ablations, drift
from longtake.measure.student import against_teacher
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader
from tests.browser import chromium, complaints
from tests.tiny import tiny_pipeline

FEW = {"sampler": {"kind": "few-step", "steps": [1000], "shift": 3, "warp": True}, "guidance_scale": 1.0}
WHOLE = {"block": 3, "window": {"kind": "clip", "frames": 3}}


def bench(
    reader: Reader, out: Path, pipe: Pipeline, prompts: int = 2, progress: Progress = lambda *_: None
) -> Bench:
    return Bench(pipe=pipe, reader=reader, level=1, prompts=prompts, out=out, progress=progress)


def values(result: Result) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in result.figures if not figure.note.startswith("control")}


def test_a_student_is_held_against_its_teacher_clip_by_clip(tmp_path: Path, reader: Reader) -> None:
    teacher = tiny_pipeline(**WHOLE)
    result = against_teacher(bench(reader, tmp_path, tiny_pipeline(**FEW), prompts=4), teacher)
    found = values(result)
    assert result.config["frames"] == 9, "as long as the teacher makes at once"
    assert found["adherence, student − teacher"] == pytest.approx(
        found["adherence, student"] - found["adherence, teacher"]  # type: ignore[operator]
    )
    asked = {figure.name: figure.asked for figure in result.figures if figure.asked}
    assert asked == {
        "adherence, lower end of that interval": ">= -0.04",
        "proxy-FVD, student over teacher, upper end of that interval": "<= 1.15",
    }
    assert Result.load(result.save(tmp_path)).to_dict() == result.to_dict()


def test_a_model_is_no_better_than_itself(tmp_path: Path, reader: Reader) -> None:
    one, two = tiny_pipeline(), tiny_pipeline()
    result = against_teacher(bench(reader, tmp_path, one, prompts=4), two, seconds=1)
    found = {figure.name: figure for figure in result.figures}
    assert found["adherence, student − teacher"].interval == (0, 0)
    over = found["proxy-FVD, student over teacher"]
    assert (over.value, over.interval) == (1, (1, 1))
    assert result.config["teacher"]["weights"] == result.config["weights"]


def test_columns_stand_beside_each_other_and_go_on_after_a_stop(tmp_path: Path, reader: Reader) -> None:
    models = [Entrant(name="own", pipe=tiny_pipeline()), Entrant(name="one-step", pipe=tiny_pipeline(**FEW))]

    def stop(done: int, *_: object) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablations(bench(reader, tmp_path, models[0].pipe, progress=stop), models, 16)
    kept = (tmp_path / "ablations-level1-own.jsonl").read_text()
    result = ablations(bench(reader, tmp_path, models[0].pipe), models, 16)
    assert (tmp_path / "ablations-level1-own.jsonl").read_text().startswith(kept)
    assert json.loads(kept.splitlines()[1])["prompt"]
    found = values(result)
    assert {"own: adherence, head", "one-step: adherence, head", "one-step: cuts"} <= found.keys()
    assert "own: adherence, tail" not in found, "too short to have an end of its own"
    assert "| | own | one-step |" in section(result)
    about = result.config["models"]
    assert about["own"]["model"] == about["one-step"]["model"] == "tiny"
    assert about["own"]["weights"] == about["one-step"]["weights"]
    assert about["own"]["policy"] != about["one-step"]["policy"]
    assert section(result).count(result.config["reader"]) == 1


def test_long_takes_are_read_at_both_ends(tmp_path: Path, reader: Reader) -> None:
    models = [Entrant(name=name, pipe=tiny_pipeline()) for name in ("a", "b")]
    result = drift(bench(reader, tmp_path, models[0].pipe), models, 64)
    figures = {figure.name: figure for figure in result.figures}
    assert figures["a: adherence, tail over head"].asked in (">= 0.95", None)
    assert {"a: colour drift at 2 s", "b: colour drift at 8 s"} <= figures.keys()
    assert figures["b: adherence, tail"].value == figures["a: adherence, tail"].value, (
        "same weights and seeds"
    )
    assert (tmp_path / "drift-level1.png").stat().st_size > 0
    assert section(result)


def test_takes_of_a_prompt_stand_below_each_other_on_a_page(tmp_path: Path, reader: Reader) -> None:
    models = [Entrant(name=name, pipe=tiny_pipeline()) for name in ("a", "b")]
    pictures = tmp_path / "pictures"
    subject = replace(bench(reader, tmp_path, models[0].pipe), pictures=pictures)
    ablations(subject, models, 16)
    cases = held_out_cases(1, 2)
    (pictures / "b" / f"{cases[1].key}.png").unlink()
    ablations(subject, models, 16)
    with chromium() as browser:
        page = browser.new_page()
        heard = complaints(page)
        page.goto((pictures / "report.html").as_uri())
        assert page.locator("h2").all_inner_texts() == [case.prompt for case in cases]
        assert page.locator("h3").all_inner_texts() == ["a", "b"] * 2
        loaded = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert loaded == [True] * 7, "frames and slice of every take but the frames of one"
        assert page.locator("p", has_text="made without pictures").count() == 1
        assert "drift of identity" in page.inner_text("body")
        assert heard == []


def test_models_get_names_of_their_own() -> None:
    pipe = tiny_pipeline()
    opened = list[str]()

    def load(model: str) -> Pipeline:
        opened.append(model)
        return pipe

    assert [each.name for each in entrants(["mini", "b=runs/x=1/model"], load)] == ["tiny", "b"]
    assert opened == ["mini", "runs/x=1/model"]


@pytest.mark.parametrize("models", [["a", "b"], ["a b=x"], ["../a=x"]])
def test_a_name_that_is_not_simple_or_not_its_own_is_refused(models: list[str]) -> None:
    with pytest.raises(UserError, match="write NAME=MODEL"):
        entrants(models, lambda _: tiny_pipeline())


def test_a_reader_that_is_trusted_with_nothing_judges_nothing() -> None:
    assert judged(("count", "motion")) == ("colour", "motion", "count")
    with pytest.raises(UserError, match="passed its gate for nothing"):
        judged(())


def test_a_difference_is_taken_pair_by_pair() -> None:
    figure = beside("a: x", [1.0, 2.0, None], [0.5, 1.5, 9.0])
    assert (figure.value, figure.count) == (1.5, 2)
    assert figure.note == "(+0.5, +0.5 to +0.5)"


def test_a_quotient_of_means_has_an_interval() -> None:
    assert quotient([0.9, 0.0], [0.9, 0.0]) == (1, 1, 1)
    over = quotient([0.4] * 9 + [0.6], [0.8] * 10)
    assert over is not None
    assert over[0] == pytest.approx(0.525)
    assert over[1] < over[0] < over[2]
    assert quotient([0.1], [0.0]) is None
