"""Teacher and student of one architecture, timed on tiny random networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from longtake.measure.policy_cost import NETWORK
from longtake.measure.speedup import Scale, _deep_enough, as_student, native_speedup, speedup
from longtake.models.steps import FewStepSpec
from tests.tiny import tiny_pipeline

TINY = Scale(network=NETWORK, size=(6, 10), least=0.0, frames=20, timed=2)


def test_the_teacher_makes_all_frames_and_counts_the_steps_that_were_not_timed() -> None:
    told = list[str]()
    result = speedup(lambda done, total, what: told.append(what), TINY)
    found = {figure.name: figure.value or 0 for figure in result.figures}
    assert told == ["network chosen", "student timed", "teacher timed"]
    assert result.config["latent frames"] == 6
    assert found["teacher: total"] > found["teacher: denoise"] > 0.5 * found["teacher: total"], (
        "24 of 25 parts of it were not timed, however slow the machine was beside it"
    )
    assert 0.5 * found["teacher: total"] < found["teacher: first"] <= found["teacher: total"]
    assert found["student: first"] < found["student: total"]
    assert found["first frame, teacher over student"] == pytest.approx(
        found["teacher: first"] / found["student: first"]
    )
    assert "2 of 50 steps timed" in result.definition


def test_layers_are_doubled_until_a_forward_is_long_enough() -> None:
    _, short = _deep_enough(TINY)
    config, seconds = _deep_enough(replace(TINY, least=4 * short))
    assert seconds >= 4 * short
    assert config.num_layers > NETWORK.num_layers
    assert config == replace(NETWORK, num_layers=config.num_layers)


def test_at_its_own_size_everything_is_measured() -> None:
    result = native_speedup(tiny_pipeline(), lambda *_: None, frames=9, steps=2)
    found = {figure.name: figure.value or 0 for figure in result.figures}
    shares = [found[f"teacher: time in {part}"] for part in ("text", "denoise", "decode", "commit", "encode")]
    assert 0.5 < sum(shares) <= 1.001
    assert "under a student's" in result.notes[0]


def test_a_student_stays_as_it_is() -> None:
    few = {"kind": "few-step", "steps": [1000, 500], "shift": 3, "warp": True}
    pipe = tiny_pipeline(sampler=few, guidance_scale=1.0)
    assert as_student(pipe) is pipe
    assert isinstance(as_student(tiny_pipeline()).preset.policy.sampler, FewStepSpec)
