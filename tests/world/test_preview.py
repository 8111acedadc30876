"""The contact sheet and the word list, in Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from longtake.cli import main
from longtake.world.preview import choose, draw
from longtake.world.state import state
from longtake.world.vocabulary import GROUNDS, MOTIONS, SHAPES, words


def test_a_dozen_scenes_show_every_shape_motion_and_ground() -> None:
    moments = [state(scene) for scene in choose(0)]
    assert len(moments) == 12
    assert {solid.shape for moment in moments for solid in moment.solids} == set(SHAPES)
    assert {solid.motion for moment in moments for solid in moment.solids} == set(MOTIONS)
    assert {moment.ground for moment in moments} == set(GROUNDS)


def test_sheet_is_wider_than_its_strips_and_not_blank() -> None:
    sheet = draw(size=32)
    assert sheet.width > 2 * 4 * 32
    assert len(sheet.resize((64, 64)).getcolors(4096) or []) > 100


def test_command_writes_a_png_and_replaces_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sheet.png"
    assert main(["world", "preview", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.format == "PNG"
    written = out.read_bytes()
    assert main(["world", "preview", "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --out {out} exists")
    assert out.read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "sheet.jpg"], "error: --out sheet.jpg: only PNG is written"),
        (["--out", "."], "is a folder"),
        (["--out", "nowhere/sheet.png"], "cannot be written"),
        (["--out", "sheet.png", "--seed", "-1"], "--seed -1 is out of range"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["world", "preview", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_words_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "words", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["shapes"] == list(SHAPES)
    assert listed["all words"] == list(words())
