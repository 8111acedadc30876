"""Agreement between a person's labels and the reader's readings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from longtake.errors import UserError
from longtake.measure.by_eye import Label, agreement, agrees, sheets
from longtake.measure.results import Ledger
from longtake.world.reader import Reader
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import Reading, ReadSolid
from tests.tiny import tiny_pipeline

RED = Reading(objects=(ReadSolid(colour="red", shape="cube", motion="roll"),), ground="sand", legible=True)


def label(
    colour: str | None, shape: str | None = "", motion: str = "", ground: str = ""
) -> dict[str, object]:
    return {"solids": [{"colour": colour, "shape": shape, "motion": motion}], "ground": ground}


@pytest.mark.parametrize(
    ("filled", "reading", "same"),
    [
        (label("red", "cube", "roll", "sand"), RED, True),
        (label("red", "cube"), RED, True),
        (label("red", "cone"), RED, False),
        (label("blue", "cube"), RED, False),
        (label("red", ground="grass"), RED, False),
        (label("unknown"), RED, False),
        (label("unknown"), Reading(), True),
        (label("red"), Reading(), False),
        (label("red", None), RED, True),
        (label(None, ground="sand"), RED, True),
        (label("", ground="grass"), RED, False),
    ],
)
def test_what_was_filled_in_must_be_what_was_read(
    filled: dict[str, object], reading: Reading, same: bool
) -> None:
    assert agrees(Label.model_validate(filled), reading) is same


def test_sheets_show_no_prompt_and_labels_are_compared(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reader = Reader(ReaderNet(ReaderConfig()))
    sheets(tiny_pipeline(), reader, 1, 2, tmp_path, lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000.png",
        "001.png",
        "labels.yaml",
        "readings.jsonl",
    ]
    assert "prompt" not in (tmp_path / "readings.jsonl").read_text()
    labels = yaml.safe_load((tmp_path / "labels.yaml").read_text())
    labels["001"]["solids"][0]["colour"] = "unknown"
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    assert [figure.count for figure in agreement(tmp_path).figures] == [1]


def test_missing_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bench sheets"):
        agreement(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file"),
        ('"000": {solids: [], ground: sand}', r"000\.solids"),
        ('"000": {solids: [{colour: red}], sky: blue}', r"000\.sky"),
        ('"000": {solids: [{colour: 3}]}', r"000\.solids\.0\.colour"),
        ('"007": {solids: [{colour: red}]}', "007: no such clip"),
        ("{", "not YAML"),
    ],
)
def test_labels_that_cannot_be_used_are_named_with_file_and_field(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "labels.yaml").write_text(text)
    Ledger(tmp_path / "readings.jsonl", {}).add("000", reading=RED.to_dict())
    with pytest.raises(UserError, match=rf"labels\.yaml.*{words}"):
        agreement(tmp_path)


def test_fields_left_out_or_null_are_blank(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text('"000": {solids: [{colour: red, shape: }], ground: }')
    Ledger(tmp_path / "readings.jsonl", {}).add("000", reading=RED.to_dict())
    [figure] = agreement(tmp_path).figures
    assert (figure.value, figure.count) == (1.0, 1)
