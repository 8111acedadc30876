"""What the figures are called, and one evaluation as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from longtake.measure.video.evaluate import Evaluation

__all__ = ["FIGURES", "Label", "lines", "show"]


@dataclass(frozen=True, slots=True)
class Label:
    """How a figure is shown."""

    title: str
    """What it is."""
    unit: str = ""
    """Its unit."""
    better: str = ""
    """Which direction is better: ↓, ↑, →0, →1, or nothing when neither is."""


FIGURES = {
    "mawe_reference": Label("MAWE, the script's form", "", "↓"),
    "mawe_paper": Label("MAWE, the paper's form", "", "↓"),
    "warp_error": Label("warp error", "levels²", "↓"),
    "flow_mean": Label("mean flow", "px a frame"),
    "flow_square": Label("mean squared flow at 720²", "px²"),
    "flow_deviation": Label("flow deviation over time at 720²", "px", "↓"),
    "cuts": Label("cuts", "", "↓"),
    "clip_score": Label("CLIP score", "", "↑"),
    "mini_clip_score": Label("mini-clip score", "", "↑"),
    "beats_adherence": Label("narrative adherence", "", "↑"),
    "beats_seen": Label("beats seen", "", "↑"),
    "beats_on_time": Label("beats on time", "", "↑"),
    "beats_in_order": Label("beats in order", "", "↑"),
    "beat_identity": Label("identity from beat to beat", "cos", "↑"),
    "drift_colour": Label("drift of colour", "ΔE", "→0"),
    "drift_contrast": Label("drift of contrast", "L*", "→0"),
    "drift_sharpness": Label("drift of sharpness", "ln", "→0"),
    "drift_saturation": Label("drift of saturation", "C*", "→0"),
    "drift_identity": Label("drift of identity", "1 − cos", "→0"),
    "still_share": Label("share of still pairs", "", "↓"),
    "still_longest_s": Label("longest still stretch", "s", "↓"),
    "flicker": Label("flicker", "levels", "↓"),
    "join_ratio": Label("change at joins / inside chunks", "", "→1"),
    "join_excess": Label("change at joins − inside chunks", "levels", "→0"),
}
"""The figures of a table, in its order; others are in the JSON only."""


def show(value: float | int | None) -> str:
    """A figure with four digits, or a dash."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def lines(found: Evaluation) -> Iterator[str]:
    """A title, a line for each figure, then the notes."""
    yield f"{found.path}: {found.frames} frames, {found.width}x{found.height}, {found.fps:g} fps"
    if found.prompt:
        yield f"  prompt: {found.prompt}"
    yield f"  flow: {found.flow_backend or 'none'}"
    values = found.finding.values
    for name, label in FIGURES.items():
        if name in values:
            unit = f" {label.unit}" if label.unit else ""
            note = found.finding.notes.get(name, "")
            yield f"  {label.title:<34}{show(values[name]):>10}{unit:<11}{label.better:<3} {note}".rstrip()
    yield from (f"  note: {remark}" for remark in found.remarks)
