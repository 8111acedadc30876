"""A tiny model on disk, and the command line run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from longtake.cli import main
from tests.tiny import tiny_folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model: 32x16 pixels at 8 frames a second."""
    return tiny_folder(tmp_path_factory.mktemp("tiny"), first_frame="prefix")


@pytest.fixture
def run(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Outcome]:
    """Runs `longtake ARGS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path_factory.getbasetemp() / "home"))

    def command(*args: object) -> Outcome:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture
def refused(run: Callable[..., Outcome], tmp_path: Path) -> Callable[..., str]:
    """Runs a command that must be refused with one plain line and change nothing; returns the line."""

    def command(*args: object) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        outcome = run(*args)
        assert outcome.code == 2, outcome
        assert outcome.stdout == ""
        assert outcome.stderr.startswith("error: ")
        assert outcome.stderr.endswith("\n")
        assert outcome.stderr.count("\n") == 1, outcome.stderr
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        return outcome.stderr

    return command
