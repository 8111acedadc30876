"""Intervals, figures, ledgers and the page made from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from longtake.errors import UserError
from longtake.measure.length import length_figures
from longtake.measure.provenance import provenance
from longtake.measure.report import document, earlier, load_all, section, weights_now
from longtake.measure.results import Figure, Ledger, Result
from longtake.measure.stats import Share, share_by_clip, share_of


def test_wilson_interval_of_a_known_case() -> None:
    low, high = Share(hits=81, total=263).interval or (0, 0)  # Newcombe (1998), table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_interval_stays_within_0_and_1_at_the_ends() -> None:
    assert (Share(hits=0, total=5).interval or (1, 0))[0] == 0.0
    assert (Share(hits=5, total=5).interval or (0, 0))[1] == pytest.approx(1.0)
    assert Share(hits=0, total=0).value is None


@pytest.mark.parametrize(
    ("value", "asked", "met"),
    [
        (0.9, ">= 0.9", True),
        (0.89, ">= 0.9", False),
        (1.06, "<= 1.05", False),
        (None, ">= 1", False),
        (3, None, None),
    ],
)
def test_a_figure_knows_whether_it_is_met(value: float | None, asked: str | None, met: bool | None) -> None:
    assert Figure(name="x", value=value, asked=asked).met is met


def result(name: str = "speed") -> Result:
    share = Figure.share("colour", Share(hits=9, total=10), asked=0.8)
    control = Figure.share("colour", Share(hits=1, total=10), note="control: chance")
    return Result(
        name=name,
        title="Title",
        definition="What is counted.",
        config={"model": "tiny"},
        figures=(share, control, Figure(name="RTF", value=1.2, unit="media s / s", asked=">= 1.5")),
        provenance=provenance("float32"),
        seconds=60.0,
    )


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    assert Result.load(result().save(tmp_path)) == result()


def test_the_page_has_command_commit_hardware_and_what_is_not_met(tmp_path: Path) -> None:
    result("speed").save(tmp_path)
    result("adherence-level1").save(tmp_path)
    results = load_all(tmp_path)
    assert [each.name for each in results] == ["adherence-level1", "speed"]
    page = document(results, tmp_path, {})
    for part in ("- command:", "- commit:", "- hardware:", "**not met**", "90.0 %", "≥ 80.0 % met"):
        assert part in page, part
    with pytest.raises(UserError, match="holds no results"):
        load_all(tmp_path / "empty")


def test_the_page_marks_results_of_earlier_weights() -> None:
    old = replace(result(), config={"model": "mini", "weights": "of long ago"})
    own = replace(result(), config={"model": "my own", "weights": "not the package's"})
    now = weights_now([old, own])
    assert list(now) == ["mini"]
    fresh = replace(old, config={"model": "mini", "weights": now["mini"]["weights"]})
    page = document([old, own, fresh], Path("results"), now)
    assert page.count("**Of earlier weights**") == 1
    assert page.index("**Of earlier weights**") < page.index("of long ago")


def test_memories_are_compared_where_a_result_used_them() -> None:
    now = {"mini": {"weights": "w", "cam": "c", "apm": "a"}}
    base = {"model": "mini", "weights": "w"}
    streamed = base | {"memories": {"cam": "c", "apm": "a"}}
    for config, old in (
        (base, []),
        (streamed, []),
        (base | {"memories": {"cam": "of long ago"}}, ["mini"]),
        ({"models": {"cam-apm": streamed, "adding": base | {"memories": {"cam": "another"}}}}, []),
        ({"models": {"adding": base | {"memories": {"cam": "another"}}}}, ["mini"]),
        ({"models": {"own": {"model": "mini", "weights": "of long ago"}}}, ["mini"]),
        ({"model": "own", "weights": "x", "teacher": {"model": "mini", "weights": "of long ago"}}, ["mini"]),
        ({"teacher": {"steps": 50}, "models": 2}, []),
    ):
        assert earlier(replace(result(), config=config), now) == old, config


def test_what_is_said_of_each_model_is_readable() -> None:
    config = {"models": {"own": {"model": "mini", "weights": "w"}}, "sizes": [1, 2]}
    assert "models (own (model mini; weights w)), sizes 1 / 2" in section(replace(result(), config=config))


def test_answers_of_one_clip_are_resampled_together() -> None:
    plain = share_by_clip([[True], [False], []])
    assert (plain.value, plain.note) == (0.5, "")
    assert plain == share_of([True, False])
    clips = share_by_clip([[True] * 4] * 30 + [[False] * 4] * 30)
    assert (clips.value, clips.total) == (0.5, 240)
    assert clips.interval is not None
    assert clips.interval[1] - clips.interval[0] == pytest.approx(2 * 1.96 * (0.25 / 60) ** 0.5, rel=0.1)
    assert "of 60 clips" in clips.note
    sure = share_by_clip([[True, True]] * 10)
    assert sure.interval == share_of([True] * 10).interval, "what never fails is not known without doubt"
    assert share_by_clip([[], []]).interval is None


def test_a_mean_leaves_out_what_is_not_known() -> None:
    figure = Figure.mean("x", [1.0, None, 3.0], "s")
    assert (figure.value, figure.count, figure.unit) == (2.0, 2, "s")
    nothing = Figure.mean("x", [None])
    assert (nothing.value, nothing.count, nothing.note) == (None, 0, "applies to none of the clips")


def test_a_ledger_goes_on_after_a_kill_in_mid_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Ledger(path, {"model": "mini"}).add("one", seconds=1.0)
    with path.open("a") as file:
        file.write('{"key": "two", "sec')
    again = Ledger(path, {"model": "mini"})
    assert "one" in again
    assert "two" not in again
    again.add("two", seconds=2.0)
    assert Ledger(path, {"model": "mini"}).seconds == 3.0


def test_a_ledger_of_another_model_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "a.jsonl", {"model": "mini"})
    with pytest.raises(UserError, match="mini"):
        Ledger(tmp_path / "a.jsonl", {"model": "other"})
    Ledger(tmp_path / "a.jsonl", {"model": "other"}, fresh=True)


def test_growing_chunk_times_and_memory_are_seen() -> None:
    steady = {figure.name: figure for figure in length_figures([1.0] * 10, [1.0] * 100, [500.0] * 100)}
    growing = {
        figure.name: figure
        for figure in length_figures(
            [1.2] * 10, [1.0 + i / 100 for i in range(100)], [500.0 + i for i in range(100)]
        )
    }
    for name, figure in steady.items():
        assert figure.met is not False, name
    assert growing["chunk time, last tenth over early chunks"].value == pytest.approx(1.945 / 1.2)
    assert growing["memory growth after chunk 20"].value == 79.0


def test_a_figures_command_is_what_a_user_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/longtake/__main__.py", "bench", "cuts"])
    assert provenance("uint8").command == "longtake bench cuts"
