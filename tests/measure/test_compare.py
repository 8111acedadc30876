"""Methods of going on side by side, on a tiny pipeline and an untrained reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtake.errors import UserError
from longtake.measure.bench import Bench, Progress
from longtake.measure.compare import compare
from longtake.measure.methods import chosen, with_steps
from longtake.measure.report import section
from longtake.measure.results import Result
from longtake.models.steps import OdeSpec
from longtake.world.reader import Reader
from tests.tiny import tiny_pipeline

METHODS = ("streaming", "last-frame")
FRAMES = 24


def bench(reader: Reader, out: Path, progress: Progress = lambda *_: None) -> Bench:
    return Bench(pipe=tiny_pipeline(), reader=reader, level=1, prompts=2, out=out, progress=progress)


def figures(result: Result) -> dict[str, object]:
    return {f.name: (f.value, f.interval, f.note) for f in result.figures if "real-time" not in f.name}


def test_it_goes_on_with_the_next_clip_after_a_stop(tmp_path: Path, reader: Reader) -> None:
    done = list[str]()

    def stop(count: int, total: int, key: str) -> None:
        done.append(key)
        if len(done) == 3:  # one clip of the second method
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(bench(reader, tmp_path, stop), METHODS, FRAMES, 1)
    kept = {path: path.read_text() for path in tmp_path.glob("*.jsonl")}
    assert sorted(text.count("\n") - 1 for text in kept.values()) == [1, 2]
    result = compare(bench(reader, tmp_path), METHODS, FRAMES, 1)
    for path, text in kept.items():
        assert path.read_text().startswith(text), "nothing was made twice"
    assert result.seconds > 0
    assert "| | streaming | last-frame |" in section(result)
    assert "but for 1 denoising steps" in result.definition
    assert "method" not in result.config


def test_the_same_command_twice_gives_the_same_numbers(tmp_path: Path, reader: Reader) -> None:
    one, two = (compare(bench(reader, tmp_path / name), METHODS, FRAMES) for name in "ab")
    assert figures(one) == figures(two)


def test_steps_are_for_models_without_a_list_of_their_own(tmp_path: Path, reader: Reader) -> None:
    sampler = {"kind": "ode", "num_inference_steps": 4, "shift": 3, "first_num_inference_steps": 6}
    changed = with_steps(tiny_pipeline(sampler=sampler), 7).preset.policy.sampler
    assert isinstance(changed, OdeSpec)
    assert (changed.num_inference_steps, changed.first_num_inference_steps) == (7, None)
    few = tiny_pipeline(
        sampler={"kind": "few-step", "steps": [1000], "shift": 3, "warp": True}, guidance_scale=1.0
    )
    with pytest.raises(UserError, match="leave --steps out"):
        with_steps(few, 2)


def test_an_unknown_method_lists_the_known() -> None:
    with pytest.raises(UserError, match="'dream' is unknown; known: all, streaming"):
        chosen("streaming,dream")
