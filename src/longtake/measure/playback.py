"""What a viewer waits for: time to the first frame, real-time factor, stalls, and where the time goes.

RTF is media seconds made per wall second, from the prompt to the last encoded chunk; higher is better.
Included are text encoder, transformer, codec and H.264 encoding into a file, in one process with the default
settings.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from longtake.errors import UserError
from longtake.measure.filming import about_model
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.measure.viewer import Seen, watch
from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.models.process import peak_rss_mb
from longtake.pipeline import Pipeline

__all__ = ["Played", "play", "playback", "speed"]

PROMPTS = (
    "a red sphere rolls to the right on a wooden floor",
    "a blue cube slides to the left on a grey floor",
    "a yellow cone bounces to the right on grass",
)
PARTS = ("text", "denoise", "decode", "commit")
WARM_UP = 2.0
"""Media seconds of the take that is made before timing begins."""


@dataclass(kw_only=True, slots=True)
class Played:
    """Wall-clock seconds of one take."""

    first_frame: float = 0.0
    """From the prompt to the first chunk in the file."""
    total: float = 0.0
    """From the prompt to the last chunk in the file."""
    frames: int = 0
    """Frames in the file."""
    chunks: list[float] = field(default_factory=list)
    """Each chunk, encoding included."""
    lengths: list[int] = field(default_factory=list)
    """Frames of each chunk."""
    parts: dict[str, float] = field(default_factory=dict)
    """By part of the pipeline."""


def play(pipe: Pipeline, prompt: str, num_frames: int, seed: int, folder: Path) -> Played:
    """Make a take into a file and time it."""
    form = VideoFormat(width=pipe.width, height=pipe.height, fps=pipe.fps)
    played = Played(parts=dict.fromkeys((*PARTS, "encode"), 0.0))
    begin = last = time.perf_counter()
    with FragmentedMp4Writer(folder / "take.mp4", form, overwrite=True) as writer:
        for chunk in pipe.stream(prompt, seed=seed, num_frames=num_frames):
            made = time.perf_counter()
            writer.write(chunk.frames)
            now = time.perf_counter()
            played.first_frame = played.first_frame or now - begin
            played.chunks.append(now - last)
            played.lengths.append(len(chunk.frames))
            played.frames += len(chunk.frames)
            played.parts["encode"] += now - made
            for part in PARTS:
                played.parts[part] += getattr(chunk.timings, part)
            last = now
    played.total = last - begin
    return played


def speed(pipe: Pipeline, seconds: float, model: str) -> Result:
    """RTF and time to the first frame when warm, and time to the first frame from a cold command.

    model: what `generate --model` is given there, a name or a folder; `pipe` is the same, opened.
    """
    frames = round(seconds * pipe.fps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play(pipe, PROMPTS[0], round(WARM_UP * pipe.fps), 0, folder)
        takes = [play(pipe, prompt, frames, seed, folder) for seed, prompt in enumerate(PROMPTS)]
        cold = [_cold(model, folder / f"cold{index}.mp4") for index in range(3)]
    total = sum(take.total for take in takes)
    rtf = sum(take.frames for take in takes) / pipe.fps / total
    chunks = [chunk for take in takes for chunk in take.chunks]
    firsts = [take.first_frame for take in takes]
    figures = [
        Figure(name="RTF", value=rtf, unit="media s / s", count=len(takes), asked=">= 1.5"),
        Figure(name="frames a second", value=rtf * pipe.fps, unit="frames/s"),
        Figure(
            name="first frame, warm, worst", value=max(firsts), unit="s", count=len(firsts), asked="<= 0.5"
        ),
        Figure(
            name="first frame, cold command, worst", value=max(cold), unit="s", count=len(cold), asked="<= 8"
        ),
        Figure(name="chunk, median", value=percentile(chunks, 50), unit="s", count=len(chunks)),
        Figure(name="chunk, 95 %", value=percentile(chunks, 95), unit="s", count=len(chunks)),
        *_shares(takes, total),
    ]
    return Result(
        name="speed",
        title="Speed at native size and frame rate",
        definition=(
            "RTF: media seconds per wall second from prompt to last encoded chunk; text encoder, "
            f"transformer, codec and H.264 encoding included, after one take of {WARM_UP:g} s as warm-up. "
            "First frame: prompt accepted to first chunk in the file. Cold: from the start of a new "
            "`longtake generate` process."
        ),
        config={**about_model(pipe), "seconds": seconds, "prompts": list(PROMPTS)},
        figures=tuple(figures),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=total,
    )


STORES = (0.0, 0.5, 2.0)
"""Media seconds that the simulated viewers wait for before they start."""


def playback(pipe: Pipeline, seconds: float, takes: int) -> Result:
    """What viewers with several start buffers live through."""
    with tempfile.TemporaryDirectory() as name:
        play(pipe, PROMPTS[0], round(WARM_UP * pipe.fps), 0, Path(name))
        frames = round(seconds * pipe.fps)
        played = [play(pipe, PROMPTS[seed % len(PROMPTS)], frames, seed, Path(name)) for seed in range(takes)]
    gaps = [gap for each in played for gap in each.chunks[1:]]
    total = sum(each.total for each in played)
    firsts = [each.first_frame for each in played]
    figures = [
        Figure(name="first chunk, median", value=percentile(firsts, 50), unit="s", count=takes),
        Figure(name="first chunk, worst", value=max(firsts), unit="s", count=takes),
        *(
            Figure(
                name=f"between chunks, {percent} %",
                value=percentile(gaps, percent),
                unit="s",
                count=len(gaps),
            )
            for percent in (50, 95, 99)
        ),
        Figure(name="RTF", value=sum(each.frames for each in played) / pipe.fps / total, unit="media s / s"),
        *(figure for store in STORES for figure in _viewed(played, pipe.fps, store)),
        *_shares(played, total),
        Figure(name="peak memory of the process", value=peak_rss_mb(), unit="MB"),
    ]
    return Result(
        name="playback",
        title="What a viewer would feel",
        definition=(
            "Chunks are made as fast as they can be and written to a file; their times of arrival are played to "
            "simulated viewers, who start once so many seconds of video are in store and stall when a chunk is late. "
            "First chunk: from the prompt. Deadline attainment: share of the chunks after the start that were there "
            "when due. RTF: media seconds per wall second. Included: text encoder, transformer, codec, H.264, file; "
            f"not the network or the player. After one take of {WARM_UP:g} s as warm-up."
        ),
        config={**about_model(pipe), "seconds": seconds, "takes": takes, "prompts": list(PROMPTS)},
        figures=tuple(figures),
        provenance=provenance(str(pipe.backbone.dtype).removeprefix("torch.")),
        seconds=total,
    )


def _viewed(played: list[Played], fps: int, store: float) -> Iterator[Figure]:
    """What viewers of the takes see who wait for `store` media seconds."""
    seen = [_seen(each, fps, store) for each in played]
    who, count = f"store of {store:g} s", len(seen)
    yield Figure(name=f"{who}: start, worst", value=max(each.start_s for each in seen), unit="s", count=count)
    yield Figure(
        name=f"{who}: underruns",
        value=float(sum(each.underruns for each in seen)),
        unit="stalls",
        count=count,
    )
    yield Figure(name=f"{who}: stalled", value=sum(each.stall_s for each in seen), unit="s", count=count)
    yield Figure(
        name=f"{who}: deadline attainment",
        value=sum(each.on_time for each in seen) / count,
        unit="share",
        count=count,
    )


def _seen(played: Played, fps: int, store: float) -> Seen:
    return watch(list(accumulate(played.chunks)), [length / fps for length in played.lengths], store)


def _shares(takes: list[Played], total: float) -> Iterator[Figure]:
    for part in (*PARTS, "encode"):
        share = sum(take.parts[part] for take in takes) / total
        yield Figure(name=f"time in {part}", value=share, unit="share", note="of the wall time")


def _cold(model: str, path: Path) -> float:
    """Seconds from starting a new process to its first frame."""
    words = ["generate", PROMPTS[0], "--seconds", "1", "--seed", "0", "--model", model, "--json", "--quiet"]
    command = [sys.executable, "-m", "longtake", *words, "--out", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`longtake {' '.join(words)}` failed: {done.stderr.strip()}")
    summary = json.loads(done.stdout)
    return float(summary["startup_s"] + summary["time_to_first_frame_s"])
