"""The benchmarks end to end on a tiny pipeline and an untrained reader: they run, resume and say what they
did."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from longtake.errors import UserError
from longtake.measure.bench import CHANCE, TRUTH, Bench, Progress
from longtake.measure.cases import held_out_cases
from longtake.measure.change import change
from longtake.measure.length import length
from longtake.measure.quality import adherence, long
from longtake.world.reader import Reader
from tests.tiny import tiny_pipeline


def bench(reader: Reader, out: Path, progress: Progress = lambda *_: None) -> Bench:
    return Bench(
        pipe=tiny_pipeline(),
        reader=reader,
        level=1,
        prompts=2,
        out=out,
        progress=progress,
        pictures=out / "sheets",
    )


def test_adherence_goes_on_after_a_stop_and_counts_controls(tmp_path: Path, reader: Reader) -> None:
    seen: list[str] = []

    def stop(done: int, total: int, key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adherence(bench(reader, tmp_path, stop))
    first = (tmp_path / "adherence-level1.jsonl").read_text()
    result = adherence(bench(reader, tmp_path, stop))
    assert (tmp_path / "adherence-level1.jsonl").read_text().startswith(first)
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 2
    assert json.loads(first.splitlines()[1])["prompt"]
    names = [(figure.name, figure.note) for figure in result.figures]
    for note in ("", TRUTH, CHANCE):
        assert ("colour", note) in names
    asked = {figure.name: figure.asked for figure in result.figures if not figure.note}
    assert (asked["colour"], asked["motion"]) == (">= 0.9", ">= 0.85")


def test_takes_of_another_policy_are_not_mixed_in(tmp_path: Path, reader: Reader) -> None:
    cases = held_out_cases(1, 2)
    own = bench(reader, tmp_path)
    takes = own.run("x", {}, cases, lambda case: {})
    assert {"policy", "reader", "dtype"} <= takes.ledger.about.keys()
    with pytest.raises(UserError, match="policy"):
        replace(own, pipe=tiny_pipeline(guidance_scale=2.0)).run("x", {}, cases, lambda case: {})
    whole = own.run("y", {"policy": {"block": 2}}, cases, lambda case: {})
    assert whole.ledger.about["policy"] == {"block": 2}
    assert whole.result("", "", ()).config["policy"] == takes.ledger.about["policy"], "a hash on the page"


def test_long_reads_the_late_frames_and_looks_for_cuts(tmp_path: Path, reader: Reader) -> None:
    result = long(bench(reader, tmp_path), window=(24, 40))
    figures = {figure.name: figure for figure in result.figures if not figure.note.startswith("control")}
    assert figures["cuts"].asked == "<= 0"
    assert figures["object flow within 50–200 % of toybox's"].count == 2


def test_change_reports_both_kinds(tmp_path: Path, reader: Reader) -> None:
    result = change(bench(reader, tmp_path))
    counts = {figure.name: figure.count for figure in result.figures if not figure.note}
    assert (counts["new colour read"], counts["new motion read"], counts["new either read"]) == (1, 1, 2)


def test_length_counts_every_frame() -> None:
    told: list[int] = []
    result = length(tiny_pipeline(), 60, lambda done, total, what: told.append(done))
    assert told[-1] == 60
    assert {figure.unit for figure in result.figures} == {"ratio", "MB", "s"}
