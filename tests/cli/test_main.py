"""The command as a whole: help, version, listings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import longtake
from longtake.cli.lazy import MOUNTED

HEAVY = {
    "torch",
    "numpy",
    "numba",
    "av",
    "transformers",
    "diffusers",
    "pydantic",
    "PIL",
    "yaml",
    "cryptography",
    "c2pa",
}


@pytest.mark.parametrize("args", [["--help"], []])
def test_help_lists_every_command(run, args: list[str]) -> None:
    outcome = run(*args)
    assert outcome.code == 0
    assert all(
        name in outcome.stdout for name in ("generate", "models", "convert", "doctor", "provenance", *MOUNTED)
    )
    assert "..." not in outcome.stdout.split("Commands:")[1], "no help line may be cut"


def test_version(run) -> None:
    assert run("--version").stdout == f"{longtake.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from longtake.cli import main; main(['--help']); "
        f"sys.exit(' '.join({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "\n"


def test_help_answers_in_under_half_a_second() -> None:
    before = os.times()
    for _ in range(3):
        subprocess.run([sys.executable, "-m", "longtake", "--help"], capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent / 3 < 0.5, "processor time, which is what it takes when the machine is not busy"


@pytest.mark.parametrize("command", ["generate", "models", "convert", "doctor", "provenance", *MOUNTED])
def test_every_command_answers_help(run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert outcome.stdout.startswith(f"Usage: longtake {command} ")


def test_a_group_without_a_command_shows_its_help(run) -> None:
    outcome = run("train")
    assert outcome.code == 2
    assert outcome.stderr.startswith("Usage: longtake train ")


def test_models_are_listed(run) -> None:
    plain, listed = run("models").stdout, json.loads(run("models", "--json").stdout)
    assert [line.split()[0] for line in plain.splitlines()] == [entry["name"] for entry in listed]
    mini = next(entry for entry in listed if entry["name"] == "mini")
    assert {"width", "height", "fps", "licence", "summary"} <= mini.keys()
    assert all(entry["summary"] in plain for entry in listed), "a listing is never cut"


def test_doctor_reports_versions_machine_and_models(run) -> None:
    outcome = run("doctor", "--json")
    report = json.loads(outcome.stdout)
    assert report["versions"]["longtake"] == longtake.__version__
    assert report["compute"]["dtype"] in ("float32", "bfloat16")
    assert report["machine"]["cores"] >= 1
    whole = all(model["problem"] is None for model in report["models"].values())
    assert outcome.code == (0 if whole else 1)
    assert "compute" in run("doctor").stdout
