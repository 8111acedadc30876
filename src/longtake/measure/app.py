"""`longtake bench`: measure, with everything that is needed to get the same numbers again.

Every command writes `<name>.json` into --out, and prints the result as Markdown or as one JSON object.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.measure.bench import Bench
    from longtake.measure.results import Result
    from longtake.pipeline import Pipeline
    from longtake.world.reader import Reader

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

FOLDER = Path("docs/benchmarks")
Out = Annotated[Path, typer.Option("--out", help="Folder of the results.")]
Model = Annotated[str, typer.Option("--model", help="A name that `longtake models` lists, or a folder.")]
Level = Annotated[int, typer.Option("--level", min=1, max=3, help="Level of toybox's scenes.")]
Prompts = Annotated[int, typer.Option("--prompts", min=2, help="How many held-out prompts.")]
Quick = Annotated[bool, typer.Option("--quick", help="8 prompts, into a result of its own.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin again instead of going on.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default=False)]
Pictures = Annotated[
    Path | None,
    typer.Option("--pictures", help="Folder for a contact sheet of each take.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of Markdown.")]

QUICK = 8


@app.callback()
def bench() -> None:
    """Measure speed, quality and the cost of length. Long ones go on where they stopped."""


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

    bench = _bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    _finish(measure(bench), bench.out, as_json)


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
    bench = _bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    result = long(bench) if names is None else compare(bench, names, frames or (120 if quick else 240))
    _finish(result, bench.out, as_json)


@app.command()
def change(
    level: Level = 1,
    prompts: Prompts = 64,
    model: Model = "mini",
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="reset, recache or interpolate; the model's own unless given."),
    ] = None,
    out: Out = FOLDER,
    quick: Quick = False,
    fresh: Fresh = False,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """A colour or a motion changes in the prompt at second 4: seen by second 8, and the rest kept?"""
    from longtake.measure.change import change as measure

    bench = _bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    _finish(measure(bench, policy=policy), bench.out, as_json)


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
    bench = _bench(
        model, threads, level, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    _finish(measures[what](bench), bench.out, as_json)


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

    bench = _bench(
        model, threads, 1, QUICK if quick else prompts, out / "quick" if quick else out, pictures, fresh
    )
    _finish(measure(bench, beats, every), bench.out, as_json)


@app.command()
def speed(
    seconds: Annotated[float, typer.Option("--seconds", min=2.0, help="Media seconds of each take.")] = 30.0,
    model: Model = "mini",
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Real-time factor, time to the first frame warm and cold, and the share of each part."""
    from longtake.measure.playback import speed as measure

    _finish(measure(_pipeline(model, threads), seconds), out, as_json)


@app.command()
def playback(
    seconds: Annotated[float, typer.Option("--seconds", min=2.0, help="Media seconds of each take.")] = 30.0,
    takes: Annotated[int, typer.Option("--takes", min=1, help="How many takes.")] = 6,
    model: Model = "mini",
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """What a viewer would feel: first chunk, gaps, stalls of players with several start buffers."""
    from longtake.measure.playback import playback as measure

    _finish(measure(_pipeline(model, threads), seconds, takes), out, as_json)


@app.command()
def length(
    frames: Annotated[int, typer.Option("--frames", min=100, help="Frames of the take.")] = 5000,
    model: Model = "mini",
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Whether late chunks take longer or memory grows in a long take."""
    from longtake.measure.length import length as measure

    _finish(measure(_pipeline(model, threads), frames, _progress), out, as_json)


@app.command()
def reader(
    windows: Annotated[int, typer.Option("--windows", min=8, help="True windows.")] = 1000,
    faulty: Annotated[int, typer.Option("--faulty", min=8, help="Windows of each kind of fault.")] = 200,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Folder of a reader; the package's own unless given.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write gate.json beside the weights and report what passed only.")
    ] = False,
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """The reader's gate: 98 % right on true renderings, 95 % unknown on faulty ones."""
    from longtake.measure.gate import gate
    from longtake.measure.gate import record as write
    from longtake.world.reader import WEIGHTS, Reader

    folder = weights or WEIGHTS
    result = gate(Reader.load(folder), windows, faulty, _progress)
    if record:
        write(result, folder)
    _finish(result, out, as_json)


@app.command()
def streaming(
    grid: Annotated[
        int, typer.Option("--grid", min=8, help="Rows of the latent frame; columns are 1.75 times.")
    ] = 32,
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Streaming from the cache against recomputing the past, random weights; loop overhead."""
    from longtake.measure.streaming_cost import streaming as measure

    _set_threads(threads)
    _finish(measure((grid // 2 * 2, int(grid * 1.75) // 2 * 2), _progress), out, as_json)


@app.command()
def policies(
    blocks: Annotated[int, typer.Option("--blocks", min=60, help="Blocks of each take.")] = 300,
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """The cost of length of every policy without an end, tiny random weights."""
    from longtake.measure.policy_cost import cost_of_policies as measure

    _set_threads(threads)
    _finish(measure(blocks, _progress), out, as_json)


@app.command("streamingt2v-step")
def streamingt2v_step(
    share: Annotated[int, typer.Option("--share", min=1, help="Divide the network's width by this.")] = 1,
    cells: Annotated[int, typer.Option("--cells", min=8, help="Rows and columns of the latents.")] = 32,
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """One denoising step of StreamingT2V's UNet with both memories, random weights: seconds and memory."""
    from longtake.measure.streaming_step import streaming_step as measure

    _set_threads(threads)
    _finish(measure(_progress, share, cells), out, as_json)


@app.command("real-size")
def real_size(
    preset: Annotated[str, typer.Option("--preset", help="Whose sizes.")] = "self-forcing",
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Seconds and memory of one block of a full-size model with random weights, bfloat16."""
    from longtake.measure.real_size import real_size as measure

    _set_threads(threads)
    _finish(measure(_progress, preset), out, as_json)


@app.command("cuts")
def cut_counter(
    clips: Annotated[int, typer.Option("--clips", min=10, help="Clips, all kinds alike.")] = 200,
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """The cut counter on clips with known cuts, fades, flashes and none."""
    from longtake.measure.instruments import cut_counter as measure

    _finish(measure(clips, _progress), out, as_json)


@app.command()
def metrics(
    frames: Annotated[int, typer.Option("--frames", min=64, help="Frames of each clip.")] = 1200,
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Frames a second of the metrics that `longtake eval` computes."""
    from longtake.measure.instruments import metric_speed as measure

    _finish(measure(frames, (64, 128, 256), _progress), out, as_json)


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
    film_protocol(_pipeline(model, threads), what, out, _progress, frames=frames)
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


@app.command()
def blending(
    clips: Annotated[int, typer.Option("--clips", min=2, help="Toybox clips.")] = 16,
    frames: Annotated[int, typer.Option("--frames", min=32, help="Frames of each clip.")] = 65,
    size: Annotated[
        int, typer.Option("--size", min=16, help="Side of the clips before they are enhanced.")
    ] = 96,
    model: Model = "mini",
    out: Out = FOLDER,
    pictures: Pictures = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Flow deviation of an enhancer's windows: by themselves, shared noise, averaging, randomized blending.

    A model without an enhancer is measured with random weights, which the result says.
    """
    from longtake.measure.blending import blending as measure
    from longtake.measure.blending import subject

    _set_threads(threads)
    _finish(measure(subject(model), clips, frames, size, _progress, pictures), out, as_json)


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

    pipe, reader = _open(model, threads)
    make(pipe, reader, level, clips, out, _progress)


@app.command()
def agreement(
    sheets: Annotated[Path, typer.Option("--sheets", help="Folder made by `longtake bench sheets`.")],
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """How often the reader agrees with the labels that were filled in by eye."""
    from longtake.measure.by_eye import agreement as measure

    _finish(measure(sheets), out, as_json)


@app.command()
def report(
    results: Annotated[Path, typer.Option("--results", help="Folder of the results.")] = FOLDER,
    out: Annotated[Path | None, typer.Option("--out", help="Markdown file; stdout unless given.")] = None,
) -> None:
    """All results as one Markdown page."""
    from longtake.measure.report import document, load_all

    text = document(load_all(results), results)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def _bench(
    model: str, threads: int | None, level: int, prompts: int, out: Path, pictures: Path | None, fresh: bool
) -> Bench:
    from longtake.measure.bench import Bench

    pipe, reader = _open(model, threads)
    return Bench(
        pipe=pipe,
        reader=reader,
        level=level,
        prompts=prompts,
        out=out,
        progress=_progress,
        fresh=fresh,
        pictures=pictures,
    )


def _open(model: str, threads: int | None) -> tuple[Pipeline, Reader]:
    from longtake.world.reader import Reader

    return _pipeline(model, threads), Reader.load()


def _pipeline(model: str, threads: int | None) -> Pipeline:
    from longtake.pipeline import Pipeline

    _set_threads(threads)
    return Pipeline.from_pretrained(model)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _progress(done: int, total: int, what: str) -> None:
    """One line on stderr that is written over on a terminal, and every tenth part elsewhere."""
    import sys

    if sys.stderr.isatty():
        typer.echo(f"\r{done}/{total} {what:<24}", err=True, nl=done == total)
    elif done == total or done % max(1, total // 10) == 0:
        typer.echo(f"{done}/{total} {what}", err=True)


def _finish(result: Result, out: Path, as_json: bool) -> None:
    from longtake.measure.report import section

    result.save(out)
    typer.echo(json.dumps(result.to_dict(), ensure_ascii=False) if as_json else section(result))
