"""The report in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtake.measure.video.evaluate import Tools, evaluate
from longtake.measure.video.page import write_page
from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.world.render import render
from longtake.world.scene import sample_scene
from tests.browser import chromium, complaints


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, one of which stands still; the prompt of the other is hostile."""
    folder = tmp_path_factory.mktemp("report")
    moving = render(sample_scene(3, level=1), 40, size=(64, 64), fps=8).frames
    clips = {"moving": moving, "still": np.repeat(moving[:1], 40, 0)}
    found = []
    for name, frames in clips.items():
        path = folder / f"{name}.mp4"
        with FragmentedMp4Writer(path, VideoFormat(width=64, height=64, fps=8)) as writer:
            writer.write(frames[:20])
            writer.write(frames[20:])
        prompt = "<img src=x onerror=console.error('run')>" if name == "moving" else "nothing moves"
        found.append(evaluate(path, tools=Tools(flow=None), prompt=prompt))
    write_page(folder / "report.html", found)
    return folder / "report.html"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_opens_without_a_complaint_and_fits_the_screen(report: Path, width: int, scheme: str) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        heard = complaints(page)
        page.goto(report.as_uri())
        page.wait_for_load_state("networkidle")
        assert heard == []
        assert "<img src=x" in page.inner_text("body")  # shown as text
        loaded = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert len(loaded) >= 4  # a contact sheet and a slice of each clip
        assert all(loaded)
        assert page.locator("svg polyline").count() >= 4
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=str(report.with_name(f"{width}-{scheme}.png")), full_page=True)


def test_the_worst_is_named_where_one_is_worse(report: Path) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(report.as_uri())
        line = page.locator("p", has_text="Worst:").inner_text()
    assert "share of still pairs – still.mp4" in line
    assert "cuts" not in line  # there are none in either
