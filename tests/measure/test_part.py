"""Parts of a benchmark's takes: several processes, one ledger."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longtake.errors import UserError
from longtake.measure.app import app
from longtake.measure.bench import Bench
from longtake.measure.compare import compare
from longtake.measure.part import Part, PartDone
from longtake.measure.results import Ledger, Result
from longtake.world.reader import Reader
from tests.tiny import tiny_folder, tiny_pipeline

METHODS = ("streaming", "last-frame")


def figures(result: Result) -> dict[str, object]:
    return {f.name: (f.value, f.interval, f.note) for f in result.figures if "real-time" not in f.name}


def test_parts_together_are_the_whole(tmp_path: Path, reader: Reader) -> None:
    def bench(place: str, part: str | None) -> Bench:
        own = Bench(
            pipe=tiny_pipeline(), reader=reader, level=1, prompts=3, out=tmp_path / place, progress=print
        )
        return replace(own, part=None if part is None else Part.read(part))

    with pytest.raises(PartDone, match="2 of 3 takes are left"):
        compare(bench("parts", "2/2"), METHODS, 16, 1)
    with pytest.raises(PartDone, match="1 of 3 takes are left"):
        compare(bench("others", "1/2"), METHODS, 16, 1)
    whole = compare(bench("parts", "1/2"), METHODS, 16, 1)
    assert figures(whole) == figures(compare(bench("alone", None), METHODS, 16, 1))


def test_the_command_says_that_others_are_missing(tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "model")
    words = ["long", "--methods", "streaming", "--frames", "16", "--steps", "1", "--prompts", "2"]
    words += ["--model", str(model), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*words, "--part", "1/2"])
    assert done.exit_code == 0, done.output
    assert (
        "1 of 2 takes are left to other parts; the same command without --part gives the result"
        in done.output
    )
    assert not (tmp_path / "out" / "methods-level1.json").exists()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "methods-level1.json").exists()


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b", "1/0", "-1/2"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="give K/N"):
        Part.read(text)


def test_beginning_again_is_not_for_parts() -> None:
    done = CliRunner().invoke(app, ["long", "--part", "1/2", "--fresh"])
    assert isinstance(done.exception, UserError)
    assert "leave out --fresh or --part" in str(done.exception)


def test_a_ledger_opened_twice_at_once_loses_nothing(tmp_path: Path) -> None:
    path, ready = tmp_path / "a.jsonl", threading.Barrier(8)

    def fill(number: int) -> None:
        ready.wait()
        for row in range(20):
            Ledger(path, {"model": "mini"}).add(f"{number}-{row}", text="x" * 2000)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Ledger(path, {"model": "mini"}).rows) == 160
