"""The benchmark of speed: its cold command opens the model that was given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from longtake.measure import playback
from longtake.measure.playback import speed
from longtake.pipeline import Pipeline
from tests.tiny import tiny_folder


def test_the_cold_command_is_given_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "WARM_UP", 1.0)
    commands = list[list[str]]()

    def ran(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        told = json.dumps({"startup_s": 1.0, "time_to_first_frame_s": 0.5})
        return subprocess.CompletedProcess(command, 0, stdout=told, stderr="")

    folder = tiny_folder(tmp_path / "my-own")
    pipe = Pipeline.from_pretrained(folder)
    monkeypatch.setattr(playback.subprocess, "run", ran)
    monkeypatch.setattr(playback, "provenance", lambda dtype: None)
    result = speed(pipe, 1.0, str(folder))
    assert {command[command.index("--model") + 1] for command in commands} == {str(folder)}
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["first frame, cold command, worst"] == 1.5
