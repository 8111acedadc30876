"""Protocols as data, their videos, and VBench's layout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longtake.errors import UserError
from longtake.measure.protocol import Protocol, film_protocol, names, read_protocol
from longtake.measure.vbench import lay_out, run_vbench
from longtake.media import read_video
from longtake.models.prompt import parse
from longtake.pipeline import Pipeline


@pytest.fixture(scope="module")
def mini() -> Pipeline:
    return Pipeline.from_pretrained("mini")


def test_the_protocols_of_the_package() -> None:
    assert names() == ("streamingt2v", "toybox")
    paper, toybox = map(read_protocol, names())
    assert (len(paper.prompts), paper.frames) == (50, 240)
    assert len({shot.prompt for shot in paper.prompts}) == 50
    kinds = [shot.kind for shot in toybox.prompts]
    assert {kind: kinds.count(kind) for kind in kinds} == {"static": 16, "moving": 16, "changing": 16}
    assert all((len(shot.cues) > 1) == (shot.kind == "changing") for shot in toybox.prompts)
    for shot in (*paper.prompts, *toybox.prompts):
        assert len(shot.timeline.cues) == len(shot.cues)
        assert all(parse(cue.prompt) for cue in shot.cues)


def test_mini_knows_every_word_of_toybox_s_prompts(mini: Pipeline) -> None:
    for shot in read_protocol("toybox").prompts:
        assert all(not mini.unknown_words(cue.prompt) for cue in shot.cues), shot.prompt


def test_films_what_is_missing_and_nothing_else(mini: Pipeline, tmp_path: Path) -> None:
    both = [{"kind": "moving", "cues": [{"at": 0, "prompt": f"a {c} cube on sand"}]} for c in ("red", "blue")]
    protocol = Protocol.model_validate({"title": "two", "frames": 5, "prompts": both})
    first, second = film_protocol(mini, protocol, tmp_path, lambda *_: None)
    before, stamp = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    film_protocol(mini, protocol, tmp_path, lambda *_: None)
    assert first.stat().st_mtime_ns == stamp
    assert second.read_bytes() == before != first.read_bytes()
    assert len(read_video(first)[0]) == 5
    assert (tmp_path / "prompts.txt").read_text().splitlines() == [
        "a red cube on sand",
        "a blue cube on sand",
    ]
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: a", "frames"),
        ("frames: [", "protocol"),
        ("title: a\nframes: 0\nprompts: []", "greater than 0"),
    ],
)
def test_a_broken_protocol_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_protocol(str(tmp_path / "p.yaml"))


def test_an_unknown_protocol_lists_the_known() -> None:
    with pytest.raises(UserError, match="streamingt2v, toybox"):
        read_protocol("vbenh")


def test_vbench_s_layout_numbers_equal_prompts(tmp_path: Path) -> None:
    videos = [(tmp_path / f"{number}.mp4", prompt) for number, prompt in enumerate(["a / b", "c", "a / b"])]
    for path, _ in videos:
        path.write_bytes(path.name.encode())
    made = lay_out(videos, tmp_path / "out")
    assert [path.name for path in made] == ["a   b-0.mp4", "c-0.mp4", "a   b-1.mp4"]
    assert [path.read_bytes() for path in made] == [b"0.mp4", b"1.mp4", b"2.mp4"]
    assert lay_out(videos, tmp_path / "out") == made
    (tmp_path / "out" / "other.txt").touch()
    with pytest.raises(UserError, match=r"other\.txt"):
        lay_out(videos, tmp_path / "out")


def test_vbench_is_called_as_it_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    with pytest.raises(UserError, match="pip install vbench"):
        run_vbench(tmp_path, tmp_path)
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "vbench"
    stand_in.write_text(
        '#!/bin/sh\nset -e\ntest "$1" = evaluate\ntest "$3" = "$WANTED"\ntest "$5" = custom_input\n'
        'echo \'{"motion_smoothness": [0.5, [{"a": 1}, {"b": 2}]]}\' > "$7/x_eval_results.json"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    monkeypatch.setenv("WANTED", str(tmp_path))
    [figure] = run_vbench(tmp_path, tmp_path)
    assert (figure.name, figure.value, figure.count) == ("motion_smoothness", 0.5, 2)
