"""The text encoder learns what captions say, and every token comes to know it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from longtake.errors import UserError
from longtake.models.text import TextEncoder
from longtake.train.lessons import ABSENT, lesson_of, teach
from longtake.train.start import train_mini
from longtake.train.store import ClipRecord, Segment
from longtake.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES
from tests.train.sets import tiny_config, write_set

SEEN = ("red", "blue"), ("sphere", "cube", "cone"), ("roll", "slide"), ("sand", "grass")
WORDS = ("a", "on", "and", "s", *itertools.chain(*SEEN))


def record(*solids: tuple[str, str, str], ground: str) -> ClipRecord:
    caption = " and ".join(f"a {colour} {shape} {motion} s" for colour, shape, motion in solids)
    shown = [{"colour": c, "shape": s, "motion": m} for c, s, m in solids]
    return ClipRecord(
        level=len(solids),
        seed=0,
        start=0,
        jump=False,
        split="train",
        attributes={"solids": shown, "ground": ground},
        segments=(Segment(start=0, captions=(f"{caption} on {ground}", caption)),),
    )


def test_a_lesson_says_for_each_colour_what_is_there() -> None:
    made = record(("red", "cube", "roll"), ("blue", "cone", "stay"), ground="grass")
    lesson = lesson_of(made, 3)
    assert lesson.caption == "a red cube roll s and a blue cone stay s"
    red, blue = COLOURS.index("red"), COLOURS.index("blue")
    assert lesson.shapes[red] == 1 + SHAPES.index("cube")
    assert lesson.motions[blue] == 1 + MOTIONS.index("stay")
    assert {lesson.shapes[k] for k in range(len(COLOURS)) if k not in (red, blue)} == {ABSENT}
    assert lesson.ground == GROUNDS.index("grass")


def test_every_token_comes_to_know_the_shape() -> None:
    torch.manual_seed(0)
    text = TextEncoder.small(WORDS, d_model=32, layers=2, heads=2, d_ff=64, max_length=16)
    records = [record(kind, ground=ground) for *kind, ground in itertools.product(*SEEN)]
    norm = text.encoder.encoder.final_layer_norm.weight.clone()
    assert teach(text, records, steps=5) < 0.2
    right = teach(text, records, steps=150)
    assert right > 0.95, right
    assert torch.equal(text.encoder.encoder.final_layer_norm.weight, norm)
    assert all(p.grad is None for p in text.parameters())
    sphere, cube = text.encode(["a red sphere roll s on sand", "a red cube roll s on sand"])
    apart = (sphere - cube)[:8].norm(dim=1) / sphere[:8].norm(dim=1)
    assert float(apart.min()) > 0.1, apart


def test_a_new_run_begins_with_them_and_a_resumed_one_does_not(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set")
    config = tiny_config()
    config = config.model_copy(update={"words": config.words.model_copy(update={"lessons": 2})})
    assert not train_mini(config, data, tmp_path / "run", max_minutes=0.0)
    assert not train_mini(config, data, tmp_path / "run", resume=True, max_minutes=0.0)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("lessons") == 1


def test_footage_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_set(tmp_path / "set")
    config = tiny_config()
    config = config.model_copy(update={"words": config.words.model_copy(update={"lessons": 2})})
    monkeypatch.setattr("longtake.train.store.LatentSet.is_footage", True)
    with pytest.raises(UserError, match="leave them out for footage"):
        train_mini(config, data, tmp_path / "run")
