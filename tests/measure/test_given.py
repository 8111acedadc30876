"""Takes from a picture and from a video, measured end to end on a tiny pipeline and an untrained reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtake.errors import UserError
from longtake.measure import given
from longtake.measure.bench import Bench
from longtake.measure.cases import Asked, Case, held_out_cases
from longtake.measure.change import POLICIES, changed_by
from longtake.measure.given import EQUAL, first_frame_psnr, from_image, from_video, recoloured
from longtake.world.edit import edit
from longtake.world.reader import Reader
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import Reading, ReadSolid, Trust
from tests.tiny import tiny_pipeline


class Oracle(Reader):
    """Reads what a case asks for, and finds solids where the test puts them."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(ReaderNet(ReaderConfig()), Trust(legible=0.0, solid=0.0, answer=0.0))
        self.said: Asked | None = None
        self.away = 0.0

    def read_batch(self, clips: np.ndarray, fps: float | None = None) -> list[Reading]:
        assert self.said is not None
        solids = tuple(ReadSolid(colour=s.colour, shape=s.shape, motion=s.motion) for s in self.said.solids)
        reading = Reading(objects=solids, ground=self.said.ground, count=len(solids), legible=True)
        return [reading] * len(clips)

    def track(self, frames: np.ndarray, colour: str) -> np.ndarray:
        assert self.said is not None
        off = self.away if colour == self.said.solids[0].colour else 0.0
        return np.full((len(frames), 2), 0.5 + off, np.float32)


@pytest.fixture
def reader() -> Oracle:
    return Oracle()


def bench(reader: Reader, out: Path, prompts: int = 1) -> Bench:
    pipe = tiny_pipeline(first_frame="prefix")
    return Bench(pipe=pipe, reader=reader, level=1, prompts=prompts, out=out, progress=lambda *_: None)


def values(result: Any) -> dict[str, float]:
    return {figure.name: figure.value for figure in result.figures if not figure.note}


def test_a_take_from_a_picture_begins_with_the_codecs_own_form_of_it(
    reader: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "SECONDS", 1.0)
    (case,) = held_out_cases(1, 1)
    reader.said = case.asked
    found = values(from_image(bench(reader, tmp_path)))
    assert found == {"first frame, worst case": EQUAL, "identity kept": 1.0, "motion as prompted": 1.0}
    reader.said = replace(case.asked, ground="nowhere")
    found = values(from_image(bench(reader, tmp_path / "other")))
    assert (found["identity kept"], found["motion as prompted"]) == (0.0, 1.0)


def test_another_first_frame_is_told_by_its_distance() -> None:
    pipe = tiny_pipeline(first_frame="prefix")
    picture = np.random.default_rng(0).integers(40, 200, (16, 32, 3), np.uint8)
    codec = pipe.codec
    stream = codec.start()
    own = codec.decode(codec.encode(torch.from_numpy(picture)[None, None], stream), stream)[0, 0].numpy()
    assert first_frame_psnr(pipe, picture, own) == EQUAL
    off = np.clip(own.astype(int) + 10, 0, 255).astype(np.uint8)
    expected = 10 * np.log10(255**2 / np.square(own.astype(float) - off).mean())
    assert first_frame_psnr(pipe, picture, off) == pytest.approx(expected)


def test_a_recoloured_case_changes_the_first_solids_colour_and_nothing_else() -> None:
    for case in held_out_cases(2, 6):
        changed, wanted = recoloured(case)
        first, new = case.asked.solids[0], wanted.solids[0]
        assert new.colour not in {solid.colour for solid in case.asked.solids}
        assert new.colour in changed.prompt
        assert first.colour not in changed.prompt.replace(new.colour, "")
        assert replace(new, colour=first.colour) == first
        assert (wanted.solids[1:], wanted.ground) == (case.asked.solids[1:], case.asked.ground)
        assert changed.scene == case.scene
        assert edit(case.scene, colour=new.colour) != case.scene


def remade(*_: Any) -> np.ndarray:
    return np.zeros((8, 16, 32, 3), np.uint8)


@pytest.mark.parametrize(("away", "near"), [(0.0, 1.0), (0.05, 1.0), (0.2, 0.0)])
def test_positions_and_colour_are_told_apart(
    away: float, near: float, reader: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "SECONDS", 1.0)
    monkeypatch.setattr(given, "_remade", remade)
    monkeypatch.setattr(given, "STRENGTHS", (0.5,))
    case, wanted = recoloured(held_out_cases(1, 1)[0])
    reader.said, reader.away = wanted, away
    found = values(from_video(bench(reader, tmp_path)))
    assert found["live, strength 0.5: positions kept"] == near
    assert found["file, strength 0.5: prompted colour"] == 1.0
    reader.said = case.asked
    found = values(from_video(bench(reader, tmp_path / "other")))
    assert found["file, strength 0.5: prompted colour"] == 0.0
    assert found["file, strength 0.5: positions kept"] == 1.0, "found by the colour that it kept"


def test_a_video_is_given_live_and_as_a_file(reader: Oracle) -> None:
    subject = bench(reader, Path())
    case: Case = held_out_cases(1, 1)[0]
    source = subject.truth(case, 8)
    live, file = (given._remade(subject.pipe, case, source, 0.9, way) for way in given.WAYS)
    assert live.shape == file.shape == source.shape
    assert not np.array_equal(live, file), "H.264 loses something"


def test_prompts_change_by_every_policy() -> None:
    pipe = tiny_pipeline()
    kinds = {name: changed_by(pipe, name).preset.policy.prompt_change.kind for name in POLICIES}
    assert kinds == {name: name for name in POLICIES}
    assert changed_by(pipe, None) is pipe
    with pytest.raises(UserError, match="'forget' is unknown; use one of reset, recache, interpolate"):
        changed_by(pipe, "forget")
