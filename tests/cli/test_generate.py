"""`longtake generate` from end to end with a tiny model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import longtake
from longtake.measure.watch import BOUNDS
from longtake.media import FragmentedMp4Writer, VideoFormat, read_video

PROMPT = "a red sphere rolls"


@pytest.mark.parametrize(
    ("length", "frames"),
    [(("--frames", 1), 1), (("--frames", 6), 6), (("--seconds", 2), 16), (("--seconds", 1.3), 10), ((), 80)],
)
def test_the_file_has_exactly_the_length_asked_for(run, tiny: Path, length: tuple, frames: int) -> None:
    outcome = run("generate", PROMPT, *length, "--model", tiny, "--json", "--quiet")
    assert outcome.code == 0
    assert outcome.stderr == ""
    video, fps = read_video("take.mp4")
    assert (video.shape, fps) == ((frames, 16, 32, 3), 8)
    assert json.loads(outcome.stdout)["frames"] == frames


def test_the_summary_is_one_json_object(run, tiny: Path) -> None:
    outcome = run("generate", PROMPT, "--frames", 20, "--model", tiny, "--seed", 7, "--scale", 3, "--json")
    summary = json.loads(outcome.stdout)
    known = {
        "frames": 20,
        "fps": 8,
        "seed": 7,
        "model": "tiny",
        "width": 96,
        "height": 48,
        "native_width": 32,
    }
    assert summary | known == summary
    assert summary["seconds"] == 2.5
    assert summary["complete"] is True
    assert 0 < summary["chunk_seconds_p50"] <= summary["chunk_seconds_p95"]
    assert all(
        summary[key] > 0 for key in ("time_to_first_frame_s", "startup_s", "rtf", "peak_rss_mb", "chunks")
    )
    assert summary["receipts"] == [
        {
            "cue": {"prompt": PROMPT, "at": 0.0, "transition": 0.0},
            "status": "accepted",
            "first_chunk": 0,
            "applied_chunk": 0,
            "first_time": 0.0,
            "applied_time": 0.0,
        }
    ]
    assert read_video("take.mp4")[0].shape == (20, 48, 96, 3)


def test_people_read_a_few_lines_and_a_progress_line(run, tiny: Path) -> None:
    outcome = run("generate", PROMPT, "--frames", 20, "--model", tiny, "--seed", 7)
    assert outcome.stdout.startswith("take.mp4: 20 frames, 2.5 s at 8 fps, 32x16\nfirst frame after ")
    assert "model tiny (Apache-2.0), seed 7\n" in outcome.stdout
    assert "frame 20/20" in outcome.stderr
    assert "playback" in outcome.stderr


def test_drift_is_watched_when_asked(
    run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longtake.measure.watch.BOUNDS", dict.fromkeys(BOUNDS, 0.0))
    args = ("generate", PROMPT, "--frames", 60, "--model", tiny, "--seed", 7, "--no-provenance")
    plain = json.loads(run(*args, "--json", "--out", tmp_path / "a.mp4").stdout)
    assert plain["drift_alarms"] is None
    watched = run(*args, "--json", "--watch", "--out", tmp_path / "b.mp4")
    alarms = json.loads(watched.stdout)["drift_alarms"]
    assert {alarm["figure"] for alarm in alarms} == set(BOUNDS)
    assert "drift of" in watched.stderr
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert "drift of colour" in run(*args, "--watch", "--out", tmp_path / "c.mp4").stdout


def test_a_drawn_seed_is_told_and_makes_the_same_file_again(run, tiny: Path) -> None:
    args = ("generate", PROMPT, "--frames", 9, "--model", tiny, "--no-provenance")
    told = json.loads(run(*args, "--json").stdout)
    again = run(*args, "--seed", told["seed"], "--out", "again.mp4")
    assert again.code == 0
    assert Path("again.mp4").read_bytes() == Path("take.mp4").read_bytes()


def test_the_file_shows_what_python_gets(run, tiny: Path) -> None:
    run("generate", PROMPT, "--frames", 11, "--model", tiny, "--seed", 3, "--scale", 4)
    take = longtake.load(tiny).stream(PROMPT, seed=3, num_frames=11)
    frames = np.concatenate([chunk.frames for chunk in take])
    video = read_video("take.mp4")[0].reshape(11, 16, 4, 32, 4, 3).mean(axis=(2, 4))
    assert np.corrcoef(video.ravel(), frames.ravel())[0, 1] > 0.9


def test_a_storyboard_is_followed_with_receipts(run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(
        "cues:\n- {at: 0, prompt: a red sphere}\n- {at: 1, prompt: a blue sphere, transition: 1}\n"
    )
    outcome = run("generate", "--storyboard", "story.yaml", "--seconds", 4, "--model", tiny, "--json")
    first, second = json.loads(outcome.stdout)["receipts"]
    assert (first["cue"]["prompt"], second["cue"]["prompt"]) == ("a red sphere", "a blue sphere")
    assert second["status"] == "accepted"
    assert second["first_time"] >= 1
    assert second["applied_time"] >= 2


def test_a_cue_after_the_end_is_warned_about(run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text("cues: [{at: 0, prompt: a red sphere}, {at: 30, prompt: a cube}]")
    outcome = run("generate", "--storyboard", "story.yaml", "--seconds", 1, "--model", tiny, "--quiet")
    assert outcome.code == 0
    assert outcome.stderr == "warning: the video ends before 'a cube' begins\n"


def test_unknown_words_are_warned_about_and_the_take_goes_on(run, tiny: Path) -> None:
    outcome = run("generate", "a red elephant, dancing", "--frames", 2, "--model", tiny, "--quiet")
    assert outcome.code == 0
    known = "a, blue, cube, red, rolls, sphere"
    assert outcome.stderr == f"warning: tiny does not know: elephant, dancing; it knows: {known}\n"
    assert len(read_video("take.mp4")[0]) == 2


def test_a_size_that_is_not_native_is_warned_about(run, tiny: Path) -> None:
    outcome = run("generate", PROMPT, "--frames", 2, "--model", tiny, "--size", "48x32", "--quiet", "--json")
    assert outcome.stderr == "warning: tiny was trained at 32x16; 48x32 may look worse\n"
    summary = json.loads(outcome.stdout)
    assert (summary["width"], summary["height"], summary["native_width"]) == (48, 32, 48)
    assert read_video("take.mp4")[0].shape == (2, 32, 48, 3)


def test_an_existing_file_is_replaced_with_force(run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "take.mp4").write_bytes(b"old")
    assert run("generate", PROMPT, "--frames", 2, "--model", tiny, "--force").code == 0
    assert len(read_video("take.mp4")[0]) == 2


def test_a_full_device_is_one_plain_line(refused, tiny: Path) -> None:
    line = refused(
        *("generate", PROMPT, "--frames", 2, "--model", tiny, "--out", "/dev/full", "--force"),
        *("--quiet", "--no-journal"),
    )
    assert (
        line == "error: /dev/full: No space left on device; nothing was written; make room and start again\n"
    )


SMALL_DISK = (
    "import resource, sys; from longtake.cli import main; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); sys.exit(main())"
)


def start(launcher: list[str], *args: object) -> subprocess.Popen[str]:
    """`longtake generate` in a process of its own."""
    command = [sys.executable, *launcher, "generate", PROMPT, "--quiet", "--json", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_fills_leaves_a_file_that_plays(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "take.mp4"
    process = start(
        ["-c", SMALL_DISK], "--seconds", 600, "--model", tiny, "--scale", 4, "--out", out, "--no-journal"
    )
    stdout, stderr = process.communicate(timeout=300)
    video, _ = read_video(out)
    kept = f"the {len(video)} frames before it play"
    assert process.returncode == 2
    assert stdout == ""
    assert stderr == f"error: {out}: File too large; {kept}; make room and start again\n"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_take_is_a_whole_file(tiny: Path, tmp_path: Path, signum: int, code: int) -> None:
    out = tmp_path / "take.mp4"
    process = start(["-m", "longtake"], "--seconds", 100_000, "--model", tiny, "--out", out)
    deadline = time.monotonic() + 200
    while not (out.exists() and out.stat().st_size > 5_000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == code
    assert stderr == ""
    video, _ = read_video(out)
    summary = json.loads(stdout)
    assert (summary["frames"], summary["complete"]) == (len(video), False)


def test_a_command_stopped_before_the_first_chunk_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    launcher = "import sys; from longtake.cli import main; print('up', flush=True); sys.exit(main())"
    process = start(["-c", launcher], "--model", tiny, "--out", tmp_path / "take.mp4")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)  # in the middle of the imports
    process.terminate()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "Traceback" not in stderr
    assert not (tmp_path / "take.mp4").exists()


def test_a_video_begins_with_the_image(run, tiny: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(picture).save("start.png")
    args = ("--frames", 9, "--seed", 3, "--model", tiny, "--json", "--quiet", "--no-provenance")
    summary = json.loads(run("generate", PROMPT, "--image", "start.png", *args).stdout)
    assert summary["inputs"] == ["image: 80x60, scaled and cut to 32x16"]
    with FragmentedMp4Writer("same.mp4", VideoFormat(width=32, height=16, fps=8)) as writer:
        for chunk in longtake.load(tiny).stream(PROMPT, seed=3, num_frames=9, image="start.png"):
            writer.write(chunk.frames)
    assert Path("take.mp4").read_bytes() == Path("same.mp4").read_bytes()
    people = run(
        "generate", PROMPT, "--image", "start.png", "--force", "--frames", 9, "--model", tiny, "--quiet"
    )
    assert "image: 80x60, scaled and cut to 32x16" in people.stdout


@pytest.mark.parametrize(("args", "frames"), [((), 22), (("--strength", 0.4), 22), (("--frames", 7), 7)])
def test_a_video_is_made_anew_to_its_end(run, tiny: Path, args: tuple, frames: int) -> None:
    source = np.random.default_rng(0).integers(0, 255, (44, 16, 32, 3), np.uint8)
    with FragmentedMp4Writer("input.mp4", VideoFormat(width=32, height=16, fps=16)) as writer:
        writer.write(source)
    outcome = run("generate", PROMPT, "--video", "input.mp4", *args, "--model", tiny, "--json", "--quiet")
    summary = json.loads(outcome.stdout)
    assert (summary["frames"], summary["complete"]) == (frames, True)
    assert summary["inputs"] == ["video: 32x16"]
    assert len(read_video("take.mp4")[0]) == frames
