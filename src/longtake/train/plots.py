"""The loss plot of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.errors import UserError

__all__ = ["plot_run", "require_matplotlib"]

SMOOTHING = 0.9


def require_matplotlib() -> None:
    """Raise UserError when plots cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError(
            "training draws plots with matplotlib, which is not installed; pip install 'longtake[train]'"
        ) from None


def plot_run(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Training loss, and validation loss per noise level, against steps; a line where a stage begins."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    train = [record for record in records if record["kind"] == "train"]
    for name, label in (("loss", "training"), ("critic_loss", "critic")):
        steps = [record["step"] for record in train if name in record]
        values = [record[name] for record in train if name in record]
        if values:
            left.plot(steps, values, alpha=0.3, label=label)
            left.plot(steps, smooth(values), label=f"{label}, smoothed")
    validation = [record for record in records if record["kind"] == "validation"]
    for name in sorted({name for record in validation for name in record if name.startswith("sigma_")}):
        points = [(record["step"], record[name]) for record in validation if name in record]
        right.plot(*zip(*points, strict=True), label=f"σ = {name.removeprefix('sigma_')}")
    for axis, title in ((left, "training loss"), (right, "validation loss, averaged weights")):
        for step, stage in stage_starts(train):
            axis.axvline(step, color="grey", linewidth=0.6)
            axis.text(step, 1.0, f" {stage}", transform=axis.get_xaxis_transform(), va="top", fontsize=7)
        axis.set(title=title, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential average, corrected for its start."""
    smoothed, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(mean / weight)
    return smoothed


def stage_starts(train: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """First logged step of each stage."""
    starts: dict[str, int] = {}
    for record in train:
        starts.setdefault(record["stage"], record["step"])
    return [(step, stage) for stage, step in starts.items()]
