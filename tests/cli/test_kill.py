"""A command that is killed leaves a file whose whole chunks are those of the unbroken run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtake.media import FragmentedMp4Writer, VideoFormat, read_video

LENGTH = ("generate", "a red sphere rolls", "--frames", "240", "--seed", "1", "--quiet", "--no-provenance")
FORM = VideoFormat(width=32, height=16, fps=8)


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("unbroken") / "take.mp4"
    subprocess.run(
        [sys.executable, "-m", "longtake", *LENGTH, "--model", str(tiny), "--out", str(out)], check=True
    )
    return out.read_bytes()


@pytest.mark.parametrize("kill", [0, *(pytest.param(kill, marks=pytest.mark.soak) for kill in range(1, 30))])
def test_a_killed_command_leaves_whole_chunks(tiny: Path, tmp_path: Path, unbroken: bytes, kill: int) -> None:
    out = tmp_path / "take.mp4"
    process = subprocess.Popen(
        [sys.executable, "-m", "longtake", *LENGTH, "--model", str(tiny), "--out", str(out)]
    )
    while not out.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random(kill).uniform(0.0, 1.0))
    process.kill()
    process.wait()
    with FragmentedMp4Writer.resume(out, FORM) as writer:
        whole = writer.frames
    assert unbroken.startswith(out.read_bytes())
    assert whole == 0 or len(read_video(out)[0]) == whole
