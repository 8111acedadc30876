"""`longtake eval`: measure video files, anybody's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.measure.video.evaluate import Evaluation, Tools
    from longtake.timeline import Timeline

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    video: Annotated[Path, Argument(metavar="FILE|FOLDER", help="A video file, or a folder of them.")],
    prompt: Annotated[str | None, Option(metavar="TEXT", help="What the video was to show.")] = None,
    prompts: Annotated[
        Path | None,
        Option(metavar="FILE", help="A prompt a line, for the folder's files in the order of their names."),
    ] = None,
    storyboard: Annotated[
        Path | None,
        Option(metavar="FILE", help="The storyboard it was made from: how many beats are seen, by CLIP."),
    ] = None,
    flow: Annotated[
        str, Option(metavar="NAME", help="auto, dis or raft; none leaves out what needs optical flow.")
    ] = "auto",
    clip: Annotated[
        str | None, Option(metavar="FOLDER|mini", help="CLIP model for the CLIP score; mini is toybox's own.")
    ] = None,
    report: Annotated[Path | None, Option(metavar="FILE", help="Write a report, one HTML page.")] = None,
    as_json: Annotated[
        bool, Option("--json", help="Print JSON: an object for a file, a list for a folder.")
    ] = False,
) -> None:
    """Measure a video: MAWE, cuts, drift, flicker, seams, stillness, CLIP score.

    \b
    longtake eval take.mp4 --prompt "a red sphere rolls to the right on a wooden floor"
    longtake eval folder/ --prompts prompts.txt --report report.html
    """
    from longtake.measure.video.clip import choose_clip
    from longtake.measure.video.evaluate import Tools
    from longtake.measure.video.flow import choose_flow

    jobs = _jobs(video, prompt, prompts)
    story = None if storyboard is None else _story(storyboard)
    tools = Tools(flow=None if flow == "none" else choose_flow(flow), clip=choose_clip(clip))
    if report is not None and report.is_dir():
        raise UserError(f"{report} is a folder; give the report a file name, as report.html")
    found = _measure(jobs, tools, story, quiet=as_json)
    if report is not None:
        from longtake.measure.video.page import write_page

        write_page(report, found)
        sys.stderr.write(f"report: {report}\n")
    _print(found, as_json=as_json, single=video.is_file())


def _jobs(video: Path, prompt: str | None, prompts: Path | None) -> list[tuple[Path, str | None]]:
    """Which files, each with its prompt."""
    if prompt is not None and prompts is not None:
        raise UserError("--prompt and --prompts were both given; use one")
    if not video.exists():
        raise UserError(f"{video} does not exist; give a video file or a folder of them")
    if video.is_file():
        if prompts is not None:
            raise UserError(f"--prompts goes with a folder, and {video} is a file; use --prompt")
        return [(video, prompt)]
    files = sorted(path for path in video.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{video} holds no video files ({', '.join(SUFFIXES)})")
    lines = [prompt] * len(files) if prompts is None else _lines(prompts)
    if len(lines) != len(files):
        raise UserError(
            f"{prompts} has {len(lines)} prompts for {len(files)} videos in {video}; give one a video, in the order "
            "of their names"
        )
    return list(zip(files, lines, strict=True))


def _lines(path: Path) -> list[str | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"prompts {path} cannot be read: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _story(path: Path) -> Timeline:
    """A storyboard whose cues are in seconds; a chunk's length is not known from a file."""
    from longtake.timeline import Timeline

    story = Timeline.from_storyboard(path)
    if any(cue.at is None for cue in story.cues):
        raise UserError(
            f"{path} gives cues by chunk, which a video file does not tell; give every cue an `at`"
        )
    return story


def _measure(
    jobs: list[tuple[Path, str | None]], tools: Tools, story: Timeline | None, *, quiet: bool
) -> list[Evaluation]:
    from rich.console import Console
    from rich.progress import track

    from longtake.measure.video.evaluate import evaluate as measure

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    return [
        measure(path, tools=tools, prompt=prompt, story=story)
        for path, prompt in track(jobs, "measuring", console=console, disable=hidden, transient=True)
    ]


def _print(found: list[Evaluation], *, as_json: bool, single: bool) -> None:
    from longtake.measure.video.table import lines

    if as_json:
        plain = [each.to_dict() for each in found]
        typer.echo(json.dumps(plain[0] if single else plain, ensure_ascii=False, allow_nan=False))
        return
    for each in found:
        for line in lines(each):
            typer.echo(line)
