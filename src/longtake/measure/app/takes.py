"""Benchmarks of what takes show: prompts, changes, pictures, stories; and the making of takes to be judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longtake.errors import UserError
from longtake.measure.app.common import (
    FOLDER,
    QUICK,
    AsJson,
    Fresh,
    Level,
    Model,
    Out,
    Pictures,
    Prompts,
    Quick,
    Threads,
    finish,
    open_bench,
    open_judged,
    open_pipeline,
    progress,
)

app = typer.Typer()


@app.command()
def adherence(
    level: Level = 1,
    prompts: Prompts = 256,
    model: Model = "mini",
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """The first four seconds of held-out prompts, read back: colour, shape, motion, pairing, ground."""
    from longtake.measure.quality import adherence as measure

    bench = open_bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    finish(measure(bench), bench.out, as_json)


@app.command("long")
def late(
    level: Level = 1,
    prompts: Prompts = 32,
    model: Model = "mini",
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="NAMES", help="Compare these instead; all, or a,b,c.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=16, help="Frames of a take with --methods.", show_default=False),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Denoising steps of every method with --methods.")
    ] = 20,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """The same takes at frames 1000 to 1200: read back, cuts, motion against toybox's.

    With --methods: the same prompts through several methods of going on, one table; 240 frames a take.
    """
    from longtake.measure.compare import compare
    from longtake.measure.methods import chosen
    from longtake.measure.quality import long

    names = None if methods is None else chosen(methods)
    bench = open_bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    result = long(bench) if names is None else compare(bench, names, frames or (120 if quick else 240), steps)
    finish(result, bench.out, as_json)


@app.command()
def change(
    level: Level = 1,
    prompts: Prompts = 64,
    model: Model = "mini",
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="reset, recache, interpolate, or all of them; the model's own unless given."
        ),
    ] = None,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """A colour or a motion changes in the prompt at second 4: seen by second 8, and the rest kept?"""
    from longtake.measure.change import POLICIES
    from longtake.measure.change import change as measure

    bench = open_bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    for name in POLICIES if policy == "all" else (policy,):
        finish(measure(bench, policy=name), bench.out, as_json)


@app.command()
def given(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="image, or video.")],
    level: Level = 1,
    prompts: Prompts = 64,
    model: Model = "mini",
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Takes from a picture, or from a video at three strengths: is what was given kept, the prompt followed?"""
    from longtake.measure.given import from_image, from_video

    measures = {"image": from_image, "video": from_video}
    if what not in measures:
        raise UserError(f"{what!r} is unknown; give image or video")
    bench = open_bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    finish(measures[what](bench), bench.out, as_json)


@app.command()
def narrative(
    prompts: Annotated[int, typer.Option("--stories", min=2, help="How many storyboards.")] = 32,
    beats: Annotated[int, typer.Option("--beats", min=2, help="Beats of each.")] = 4,
    every: Annotated[float, typer.Option("--every", min=3.0, help="Seconds of a beat.")] = 6.0,
    model: Model = "mini",
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Storyboards read back: beats seen, on time, in order, identity kept."""
    from longtake.measure.story import narrative as measure

    bench = open_bench(
        model, threads, 1, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    finish(measure(bench, beats, every), bench.out, as_json)


@app.command()
def sheets(
    out: Annotated[Path, typer.Option("--out", help="Folder of the pictures, readings and labels.")],
    clips: Annotated[int, typer.Option("--clips", min=1, help="How many takes.")] = 50,
    level: Level = 1,
    model: Model = "mini",
    threads: Threads = None,
) -> None:
    """Contact sheets of takes without their prompts, and a labels.yaml to fill in by eye."""
    from longtake.measure.by_eye import sheets as make

    pipe, reader = open_judged(model, threads)
    make(pipe, reader, level, clips, out, progress)


@app.command()
def agreement(
    sheets: Annotated[Path, typer.Option("--sheets", help="Folder made by `longtake bench sheets`.")],
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """How often the reader agrees with the labels that were filled in by eye."""
    from longtake.measure.by_eye import agreement as measure

    finish(measure(sheets), out, as_json)


@app.command()
def film(
    out: Annotated[Path, typer.Option("--out", help="Folder of the videos; those that are there stay.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="streamingt2v, toybox, or a YAML file.")
    ] = "toybox",
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Other than the protocol's.", show_default=False)
    ] = None,
    model: Model = "mini",
    threads: Threads = None,
) -> None:
    """Make the videos of a protocol, for `longtake eval` and for VBench."""
    from longtake.measure.protocol import film_protocol, read_protocol

    what = read_protocol(protocol)
    film_protocol(open_pipeline(model, threads), what, out, progress, frames=frames)
    typer.echo(f"measure them: longtake eval {out} --prompts {out / 'prompts.txt'}", err=True)


@app.command()
def vbench(
    videos: Annotated[Path, typer.Option("--videos", help="Folder made by `longtake bench film`.")],
    layout: Annotated[Path, typer.Option("--layout", help="Empty folder for VBench's own names.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of VBench's results.")] = Path("vbench"),
    as_json: AsJson = False,
) -> None:
    """Lay videos out for VBench, and run it when it is installed."""
    from longtake.measure.vbench import lay_out, run_vbench

    files = sorted(videos.glob("*.mp4"))
    try:
        prompts = (videos / "prompts.txt").read_text(encoding="utf-8").splitlines()
        lay_out(list(zip(files, prompts, strict=True)), layout)
    except (OSError, ValueError) as reason:
        raise UserError(f"{videos} needs one prompt a video in prompts.txt ({reason})") from None
    figures = run_vbench(layout, out)
    rows = {figure.name: figure.value for figure in figures}
    typer.echo(
        json.dumps(rows) if as_json else "\n".join(f"{name}: {value:.4g}" for name, value in rows.items())
    )
