"""A report of evaluations as one HTML page that needs nothing else: table, curves, X–T slices, contact sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.errors import UserError
from longtake.measure.provenance import provenance
from longtake.measure.video import Curve
from longtake.measure.video.evaluate import Evaluation
from longtake.measure.video.table import FIGURES, show

__all__ = ["Plot", "data_url", "png", "write_html", "write_page"]

CURVES = {
    "flow_mean": "Mean flow",
    "warp_error": "Warp error",
    "change": "Change from frame to frame",
    "drift_colour": "Drift of colour",
    "drift_contrast": "Drift of contrast",
    "drift_sharpness": "Drift of sharpness",
    "drift_saturation": "Drift of saturation",
    "drift_identity": "Drift of identity",
    "clip_score": "CLIP score",
    "mini_clip_score": "mini-clip score",
}
WIDTH, HEIGHT = 300.0, 96.0
WORST = ("mawe_paper", "drift_colour", "still_share", "join_ratio", "cuts")
"""Figures of which the worst video is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A curve as SVG coordinates."""

    title: str
    unit: str
    lines: tuple[str, ...]
    """`points` of each stretch without gaps."""
    low: str
    high: str
    zero: float | None
    """Height of the value 0, when it is in the picture."""
    end: str
    """Seconds at the right edge."""

    @classmethod
    def of(cls, title: str, curve: Curve) -> Plot | None:
        """None when there is nothing to draw."""
        known = [value for value in curve.values if value is not None]
        if len(known) < 2:
            return None
        low, high = min([*known, 0.0]), max([*known, 0.0])
        span, last = (high - low) or 1.0, curve.seconds[-1] or 1.0
        return cls(
            title=title,
            unit=curve.unit,
            lines=tuple(_stretches(curve, low, span, last)),
            low=show(low),
            high=show(high),
            zero=HEIGHT * high / span if low < 0 < high else None,
            end=f"{last:.3g} s",
        )


def _stretches(curve: Curve, low: float, span: float, last: float) -> Iterator[str]:
    points: list[str] = []
    for second, value in zip(curve.seconds, curve.values, strict=True):
        if value is None:
            if len(points) > 1:
                yield " ".join(points)
            points = []
        else:
            points.append(f"{WIDTH * second / last:.1f},{HEIGHT * (1 - (value - low) / span):.1f}")
    if len(points) > 1:
        yield " ".join(points)


def write_page(path: Path, found: Sequence[Evaluation]) -> None:
    """Write the report. Raises UserError when the file cannot be written."""
    write_html(
        path,
        "page.html",
        origin=provenance("float32"),
        figures={
            name: label for name, label in FIGURES.items() if any(name in e.finding.values for e in found)
        },
        videos=[_video(each) for each in found],
        worst=list(_worst(found)),
        backends=sorted({each.flow_backend or "none" for each in found}),
        width=WIDTH,
        height=HEIGHT,
    )


def write_html(path: Path, template: str, **values: object) -> None:
    """Write a template of this folder, filled in. Raises UserError when the file cannot be written."""
    from jinja2 import Environment, FunctionLoader

    def source(name: str) -> str:
        return (files("longtake.measure.video") / name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(template).render(**values)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"report {path} cannot be written: {error.strerror}; give another place") from None


def _video(found: Evaluation) -> dict[str, object]:
    plots = [
        Plot.of(title, found.finding.curves[name])
        for name, title in CURVES.items()
        if name in found.finding.curves
    ]
    return {
        "name": found.path.name,
        "prompt": found.prompt,
        "about": f"{found.frames} frames · {found.width}×{found.height} · {found.fps:g} fps · "
        f"{found.frames / found.fps:.3g} s",
        "values": {name: show(value) for name, value in found.finding.values.items()},
        "notes": {name: note for name, note in found.finding.notes.items() if name in FIGURES},
        "remarks": found.remarks,
        "plots": [plot for plot in plots if plot is not None],
        "sheet": data_url(png(found.pictures.sheet())),
        "slice": data_url(png(found.pictures.slice())),
    }


def _worst(found: Sequence[Evaluation]) -> Iterator[tuple[str, str, str]]:
    """Title of a figure, the video that has the worst value, and the value; none where all are alike."""
    for name in WORST if len(found) > 1 else ():
        known = [(value, each) for each in found if (value := each.finding.values.get(name)) is not None]
        if len({value for value, _ in known}) > 1:
            value, each = max(known, key=lambda pair: pair[0])
            yield FIGURES[name].title, each.path.name, show(value)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture uint8 [H, W, 3] as a file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_url(picture: bytes) -> str:
    """A PNG file as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()
