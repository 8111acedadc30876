"""The benchmarks end to end on a tiny pipeline and an untrained reader: they run, resume and say what they
did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from longtake.measure import quality
from longtake.measure.length import length
from longtake.world.reader import Reader, Trust
from longtake.world.reader_net import ReaderConfig, ReaderNet
from tests.tiny import tiny_pipeline


@pytest.fixture
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader(ReaderNet(ReaderConfig()), Trust(legible=0.0, solid=0.0, answer=0.0))


def test_adherence_goes_on_after_a_stop_and_counts_controls(tmp_path: Path, reader: Reader) -> None:
    pipe, seen = tiny_pipeline(), []

    def stop(done: int, total: int, key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quality.adherence(pipe, reader, 1, 2, tmp_path, stop)
    first = (tmp_path / "adherence-level1.jsonl").read_text()
    result = quality.adherence(pipe, reader, 1, 2, tmp_path, stop)
    assert (tmp_path / "adherence-level1.jsonl").read_text().startswith(first)
    assert json.loads(first.splitlines()[1])["prompt"]
    names = [(figure.name, figure.note) for figure in result.figures]
    for note in ("", quality.TRUTH, quality.CHANCE):
        assert ("colour", note) in names
    asked = {figure.name: figure.asked for figure in result.figures if not figure.note}
    assert (asked["colour"], asked["motion"]) == (">= 0.9", ">= 0.85")


def test_long_reads_the_late_frames_and_looks_for_cuts(tmp_path: Path, reader: Reader) -> None:
    result = quality.long(tiny_pipeline(), reader, 1, 2, tmp_path, lambda *_: None, window=(24, 40))
    figures = {figure.name: figure for figure in result.figures if not figure.note.startswith("control")}
    assert figures["cuts"].asked == "<= 0"
    assert figures["object flow within 50–200 % of toybox's"].count == 2


def test_change_reports_both_kinds(tmp_path: Path, reader: Reader) -> None:
    result = quality.change(tiny_pipeline(), reader, 1, 2, tmp_path, lambda *_: None)
    counts = {figure.name: figure.count for figure in result.figures}
    assert (counts["new colour read"], counts["new motion read"], counts["new either read"]) == (1, 1, 2)


def test_length_counts_every_frame() -> None:
    told: list[int] = []
    result = length(tiny_pipeline(), 60, lambda done, total, what: told.append(done))
    assert told[-1] == 60
    assert {figure.unit for figure in result.figures} == {"ratio", "MB", "s"}
