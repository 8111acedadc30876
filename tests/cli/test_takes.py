"""`longtake takes`, and what `generate` records."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from longtake.cli.signals import Stopped
from longtake.journal import Library
from longtake.media import FragmentedMp4Writer, read_video

PROMPT, OTHER = "a red sphere rolls", "a blue cube"
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
PLAIN = ("--no-provenance", "--quiet", "--json")


@pytest.fixture(autouse=True)
def own_library(run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("library")
    monkeypatch.setenv("LONGTAKE_HOME", str(home))
    return home


@pytest.fixture
def generated(run, tiny: Path):  # type: ignore[no-untyped-def]
    """Runs `generate`; returns the take's id."""

    def command(*args: object, frames: int = 29) -> str:
        outcome = run("generate", PROMPT, "--frames", frames, "--seed", 3, "--model", tiny, *PLAIN, *args)
        return str(json.loads(outcome.stdout)["take_id"])

    return command


def stop_at(number: int, monkeypatch: pytest.MonkeyPatch, stop: BaseException) -> None:
    """Let writing chunk `number` of the file end the command."""
    real, count = FragmentedMp4Writer.append, []

    def append(writer: FragmentedMp4Writer, init: bytes, fragment: bytes) -> None:
        count.append(fragment)
        if len(count) == number:
            raise stop
        real(writer, init, fragment)

    monkeypatch.setattr(FragmentedMp4Writer, "append", append)


@pytest.mark.parametrize("options", [(), ("--scale", 3)])
def test_a_stopped_take_is_finished_to_the_same_file(
    run, generated, tmp_path: Path, options: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated("--out", "whole.mp4", *options)
    with monkeypatch.context() as patch:
        stop_at(3, patch, Stopped(2))
        id = generated("--out", "broken.mp4", *options)
    assert len(read_video("broken.mp4")[0]) == 13
    outcome = run("takes", "resume", id[:8], "--quiet")
    assert outcome.code == 0, outcome
    assert "broken.mp4: 29 frames, 3.625 s at 8 fps" in outcome.stdout
    assert (tmp_path / "broken.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    again = run("takes", "resume", id, "--quiet")
    assert again.code == 0
    assert (tmp_path / "broken.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_stopped_take_says_how_to_finish_it(run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(2, monkeypatch, Stopped(2))
    outcome = run("generate", PROMPT, "--frames", 29, "--model", tiny, "--quiet")
    (record,) = Library().list()
    assert outcome.code == 130
    assert f"finish it with `longtake takes resume {record.id}`" in outcome.stdout


@pytest.mark.parametrize("there", [b"", b"\0\0\0", b"longer"])
def test_a_file_is_brought_to_where_the_record_stands(
    run, generated, tmp_path: Path, there: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may lag behind its record, be torn, or be gone."""
    generated("--out", "whole.mp4")
    whole, broken = (tmp_path / "whole.mp4").read_bytes(), tmp_path / "broken.mp4"
    with monkeypatch.context() as patch:
        stop_at(3, patch, Stopped(2))
        id = generated("--out", broken)
    if there == b"longer":
        broken.write_bytes(whole + b"rubbish")
    elif there:
        broken.write_bytes(whole[:2000])
    else:
        broken.unlink()
    assert run("takes", "resume", id, "--quiet").code == 0
    assert broken.read_bytes() == whole


def test_a_file_that_holds_something_else_is_left_alone(
    run, generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(3, patch, Stopped(2))
        id = generated("--out", "take.mp4")
    (tmp_path / "take.mp4").write_bytes(b"a film of somebody else")
    outcome = run("takes", "resume", id, "--quiet")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "take.mp4 holds another video" in outcome.stderr
    assert (tmp_path / "take.mp4").read_bytes() == b"a film of somebody else"
    assert run("takes", "resume", id, "--quiet", "--out", "other.mp4").code == 0
    assert len(read_video("other.mp4")[0]) == 29


def test_takes_are_listed_newest_first_in_plain_lines(run, generated) -> None:
    assert run("takes", "list").stdout == ""
    ids = [generated("--out", f"{name}.mp4", frames=2) for name in "ab"]
    outcome = run("takes", "list")
    lines = outcome.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert all(UUID.fullmatch(line.split()[0]) for line in lines)
    assert all(line.endswith(f"tiny  {PROMPT}") for line in lines)
    listed = json.loads(run("takes", "list", "--json").stdout)
    assert [take["id"] for take in listed] == ids[::-1]
    assert {take["status"] for take in listed} == {"finished"}
    assert listed[0]["prompt"] == PROMPT
    assert run("takes", "delete", ids[0][:10]).code == 0
    assert len(run("takes", "list").stdout.splitlines()) == 1


def test_a_long_prompt_is_not_cut_to_a_width(run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = " ".join(["a red sphere rolls"] * 40)
    monkeypatch.setenv("COLUMNS", "40")
    run("generate", prompt, "--frames", 1, "--model", tiny, *PLAIN)
    assert run("takes", "list").stdout.rstrip().endswith(prompt)


def test_no_journal_records_nothing(run, generated) -> None:
    assert generated("--no-journal", frames=1) == "None"
    assert run("takes", "list").stdout == ""


def test_a_take_is_shown(run, generated) -> None:
    id = generated()
    outcome = run("takes", "show", id[:8])
    assert f"id          {id}\n" in outcome.stdout
    assert "29 frames in 4 chunks, 3.625 s of 3.625 s" in outcome.stdout
    assert f"cue         0 s: {PROMPT}" in outcome.stdout
    assert json.loads(run("takes", "show", id, "--json").stdout)["frames"] == 29


def test_a_branch_begins_with_its_parents_frames(run, generated) -> None:
    id = generated("--out", "whole.mp4")
    outcome = run(
        *("takes", "branch", id, "--at", 1.7, "--prompt", OTHER, "--seconds", 3, "--out", "b.mp4", "--quiet")
    )
    assert outcome.code == 0, outcome
    whole, branch = read_video("whole.mp4")[0], read_video("b.mp4")[0]
    assert len(branch) == 24
    assert (branch[:13] == whole[:13]).all()
    assert (branch[13:] != whole[13:24]).any()
    assert f"(branch of {id[:8]} at 1.625 s)" in run("takes", "list").stdout.splitlines()[0]


def test_a_replay_compares_or_makes_the_video_again(run, generated, tmp_path: Path) -> None:
    id = generated("--out", "whole.mp4")
    outcome = run("takes", "replay", id, "--verify", "--out", "again.mp4", "--quiet")
    assert outcome.code == 0
    assert "all 29 frames of 4 chunks are equal" in outcome.stdout
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    path = next((Library().home / id / "chunks").glob("*1.m4s"))
    path.write_bytes(b"other" + path.read_bytes()[5:])
    outcome = run("takes", "replay", id, "--verify", "--quiet")
    assert outcome.code == 1
    assert "differs from chunk 1 (segment on disk) on; 5 frames before it are equal" in outcome.stdout


def test_an_export_is_the_file(run, generated, tmp_path: Path) -> None:
    id = generated("--out", "whole.mp4")
    assert run("takes", "export", id, "--out", "x.mp4", "--no-provenance").code == 0
    assert (tmp_path / "x.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("show", "nope"), "no take 'nope' here"),
        (("resume", "nope"), "no take 'nope' here"),
        (("delete", "../x"), "no take '../x' here"),
        (("replay", "nope"), "give --verify"),
        (("export", "nope", "--out", "x.mp4"), "no take 'nope' here"),
        (("export", "nope", "--out", "x.avi"), "ends in .mp4"),
        (("branch", "nope", "--at", 1, "--prompt", "x"), "no take 'nope' here"),
    ],
)
def test_what_is_not_there_is_refused(refused, args: tuple, message: str) -> None:
    assert message in refused("takes", *args)
