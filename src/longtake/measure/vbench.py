"""VBench (https://github.com/Vchitect/VBench): its folder layout from ours, and its command when it is installed.

VBench measures any videos in its "custom input" mode, which covers the dimensions listed in `DIMENSIONS`; the prompt
of a video is its file's name. Its models are fetched by VBench itself, at its first run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from longtake.errors import UserError
from longtake.measure.results import Figure

__all__ = ["DIMENSIONS", "lay_out", "run_vbench"]

DIMENSIONS = (
    "subject_consistency", "background_consistency", "motion_smoothness", "dynamic_degree", "aesthetic_quality",
    "imaging_quality", "temporal_flickering",
)  # fmt: skip
"""What custom input can be measured in."""
LONGEST_NAME = 180  # characters; a file system takes 255 bytes


def lay_out(videos: Sequence[tuple[Path, str]], folder: Path) -> list[Path]:
    """Link videos into `folder` as VBench names them: `<prompt>-<number>.mp4`, numbers counting equal prompts.

    Raises UserError when the folder holds other files, which VBench would measure too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counted: dict[str, int] = {}
    wanted = {}
    for path, prompt in videos:
        name = re.sub(r"[^\w ,.'-]", " ", prompt)[:LONGEST_NAME].strip() or "video"
        number = counted[name] = counted.get(name, -1) + 1
        wanted[f"{name}-{number}{path.suffix}"] = path.resolve()
    others = sorted({entry.name for entry in folder.iterdir()} - set(wanted))
    if others:
        raise UserError(f"{folder} holds {others[0]!r}, which VBench would measure too; give an empty folder")
    for name, path in wanted.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(path)
    return [folder / name for name in wanted]


def run_vbench(folder: Path, out: Path) -> list[Figure]:
    """Run VBench over the folder that `lay_out` made. Raises UserError when it is missing or fails."""
    command = shutil.which("vbench")
    if command is None:
        raise UserError(f"VBench is not installed (pip install vbench); its folder is ready: {folder}")
    words = ["--videos_path", str(folder), "--mode", "custom_input", "--output_path", str(out)]
    done = subprocess.run(
        [command, "evaluate", *words, "--dimension", *DIMENSIONS], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(f"vbench ended with {done.returncode}: {last}")
    return _figures(out)


def _figures(out: Path) -> list[Figure]:
    """The newest `*_eval_results.json`: dimension → [mean, per video]."""
    found = sorted(out.glob("*_eval_results.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"vbench wrote no results into {out}; run it by hand to see why")
    results = json.loads(found[-1].read_text(encoding="utf-8"))
    return [
        Figure(name=name, value=float(value), unit="share", count=len(each))
        for name, (value, each) in results.items()
    ]
