"""A contact sheet of toybox: a dozen scenes with their captions, and every word that captions use."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from longtake.world.captions import caption
from longtake.world.render import render
from longtake.world.scene import Scene, sample_scene
from longtake.world.state import state
from longtake.world.vocabulary import groups

SCENES = 12
FRAMES = (0, 6, 12, 18)
"""Frames of each scene that are shown: 2.25 seconds at 8 frames a second."""
COLUMNS = 2
LEVELS = (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
CANDIDATES = 40
"""Scenes drawn for each that is shown."""
GAP, MARGIN, LINE = 4, 40, 22
PAPER, INK, FAINT = (250, 248, 244), (40, 42, 48), (122, 122, 128)


def _features(scene: Scene) -> set[str]:
    """What a scene shows, in words that can be counted."""
    moment = state(scene)
    solids = moment.solids
    shown = {
        f"{name}: {getattr(s, name)}" for s in solids for name in ("shape", "colour", "motion", "material")
    }
    return shown | {f"ground: {moment.ground}", f"camera: {moment.camera}", f"count: {len(solids)}"}


def choose(seed: int) -> list[Scene]:
    """A dozen scenes that between them show as much as possible, each the one of its candidates with most new."""
    seen: dict[str, int] = {}
    chosen = []
    for place, level in enumerate(LEVELS):
        first = (seed * SCENES + place) * CANDIDATES
        candidates = [sample_scene(first + i, level=level) for i in range(CANDIDATES)]
        best = max(candidates, key=lambda scene: sum(0.5 ** seen.get(f, 0) for f in _features(scene)) / level)
        for feature in _features(best):
            seen[feature] = seen.get(feature, 0) + 1
        chosen.append(best)
    return chosen


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """The text as lines of at most a width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _strip(scene: Scene, size: int) -> Image.Image:
    """A few frames of a scene side by side."""
    picture = Image.new("RGB", (len(FRAMES) * (size + GAP) - GAP, size), PAPER)
    for place, number in enumerate(FRAMES):
        frame = render(scene, 1, start=number, size=(size, size)).frames[0]
        picture.paste(Image.fromarray(frame), (place * (size + GAP), 0))
    return picture


def draw(seed: int = 0, size: int = 192) -> Image.Image:
    """The sheet as a picture; each frame is size x size."""
    font, title = ImageFont.load_default(16), ImageFont.load_default(28)
    strip = len(FRAMES) * (size + GAP) - GAP
    cell = size + 2 * LINE + 24
    width = MARGIN + COLUMNS * (strip + MARGIN)
    words = [
        (name, _wrapped(", ".join(values), font, width - 2 * MARGIN - 110))
        for name, values in groups().items()
    ]
    top = MARGIN + 3 * LINE
    panel = top + SCENES // COLUMNS * cell + 12
    height = panel + LINE * sum(len(lines) for _, lines in words) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 8), "toybox: what mini was trained on", INK, font=title)
    pen.text(
        (MARGIN, MARGIN + LINE + 8), "One scene a strip, three quarters of a second a step.", FAINT, font=font
    )
    for place, scene in enumerate(choose(seed)):
        x, y = MARGIN + place % COLUMNS * (strip + MARGIN), top + place // COLUMNS * cell
        sheet.paste(_strip(scene, size), (x, y))
        for row, line in enumerate(_wrapped(caption(scene), font, strip)[:2]):
            pen.text((x, y + size + 6 + row * LINE), line, INK, font=font)
    for name, lines in words:
        pen.text((MARGIN, panel), name, FAINT, font=font)
        for line in lines:
            pen.text((MARGIN + 110, panel), line, INK, font=font)
            panel += LINE
    return sheet


def sheet(path: Path, seed: int = 0, size: int = 192) -> None:
    """Write the sheet as a PNG file."""
    draw(seed, size).save(path, format="PNG")
