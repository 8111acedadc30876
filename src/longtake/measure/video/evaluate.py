"""All metrics of one video file, in one pass with constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from longtake.measure.video import Curve, Finding, Frame, Meter
from longtake.measure.video.beats import Beats
from longtake.measure.video.clip import ClipScore, ImageText
from longtake.measure.video.drift import Drift
from longtake.measure.video.flow import FlowBackend
from longtake.measure.video.mawe import FROM_FLOW, Mawe
from longtake.measure.video.pace import Pace
from longtake.measure.video.pictures import Pictures
from longtake.measure.video.shots import Shots
from longtake.measure.video.source import VideoFile
from longtake.timeline import Timeline

__all__ = ["Evaluation", "Tools", "evaluate", "run_meters"]

BATCH = 8
"""Frames that are handed to the meters at a time."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What metrics need beside the frames."""

    flow: FlowBackend | None
    """Estimates flow; None leaves out everything that needs one."""
    clip: ImageText | None = None
    """Embeds frames and prompts; None leaves out what needs one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What was found in one video."""

    path: Path
    prompt: str | None
    frames: int
    fps: float
    width: int
    height: int
    flow_backend: str | None
    """Name of what estimated the flow."""
    finding: Finding
    """All meters together."""
    pictures: Pictures
    """Contact sheet and X–T slice."""
    remarks: tuple[str, ...] = ()
    """What is unusual about the file."""

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON: flat figures, None where one does not apply, and why under `notes`."""
        return {
            "path": str(self.path),
            "prompt": self.prompt,
            "frames": self.frames,
            "fps": self.fps,
            "width": self.width,
            "height": self.height,
            "seconds": self.frames / self.fps,
            "flow_backend": self.flow_backend,
            **self.finding.values,
            "notes": dict(self.finding.notes),
            "remarks": list(self.remarks),
        }


def evaluate(
    path: Path,
    *,
    tools: Tools,
    prompt: str | None = None,
    story: Timeline | None = None,
    joins: Sequence[int] | None = None,
) -> Evaluation:
    """Measure a video file.

    story: the cues that the video was made from, for narrative adherence. joins: first frame of every chunk but the
    first; by default the file's key frames, see `VideoFile.joins`. Raises UserError when the file is not a video that
    can be read.
    """
    video = VideoFile.open(path)
    meters: list[Meter] = [
        Drift(
            video.fps,
            embed=tools.clip.image if tools.clip else None,
            embedder=tools.clip.name if tools.clip else "",
        ),
        Pace(video.fps, video.joins if joins is None else lambda: joins),
        Shots(),
        ClipScore(tools.clip, prompt, video.fps),
        pictures := Pictures(),
    ]
    if story is not None:
        meters.append(Beats(tools.clip, story, video.fps))
    if tools.flow is not None:
        meters.insert(0, Mawe(tools.flow, video.fps))
    count, finding = run_meters(meters, video.frames())
    return Evaluation(
        path=path,
        prompt=prompt,
        frames=count,
        fps=video.fps,
        width=video.width,
        height=video.height,
        flow_backend=tools.flow.name if tools.flow else None,
        finding=finding if tools.flow else _without_flow(finding),
        pictures=pictures,
        remarks=tuple(video.notes),
    )


def run_meters(meters: Sequence[Meter], frames: Iterable[Frame]) -> tuple[int, Finding]:
    """Show every frame to every meter, each in a thread of its own; how many there were, and what was found."""
    count, source = 0, iter(frames)
    with ThreadPoolExecutor(len(meters)) as pool:
        while batch := list(islice(source, BATCH)):
            count += len(batch)
            for work in [pool.submit(_show, meter, batch) for meter in meters]:
                work.result()
        findings = [meter.finish() for meter in meters]
    return count, _merge(findings)


def _show(meter: Meter, batch: Sequence[Frame]) -> None:
    for frame in batch:
        meter.add(frame)


def _merge(findings: Iterable[Finding]) -> Finding:
    values: dict[str, float | int | None] = {}
    curves: dict[str, Curve] = {}
    notes: dict[str, str] = {}
    for finding in findings:
        values |= {name: _finite(value) for name, value in finding.values.items()}
        curves |= finding.curves
        notes |= finding.notes
        for name, value in finding.values.items():
            if value is not None and not math.isfinite(value):
                notes[name] = f"not a number: {value}"
    return Finding(values=values, curves=curves, notes=notes)


def _finite(value: float | int | None) -> float | int | None:
    return value if value is None or math.isfinite(value) else None


def _without_flow(finding: Finding) -> Finding:
    why = "left out: no flow was asked for"
    return Finding(
        values=dict.fromkeys(FROM_FLOW) | dict(finding.values),
        curves=finding.curves,
        notes=dict.fromkeys(FROM_FLOW, why) | dict(finding.notes),
    )
