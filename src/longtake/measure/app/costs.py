"""Benchmarks of time and memory."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.measure.app.common import (
    FOLDER,
    AsJson,
    Model,
    Out,
    Threads,
    finish,
    open_pipeline,
    progress,
    set_threads,
)

app = typer.Typer()


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

    finish(measure(open_pipeline(model, threads), seconds), out, as_json)


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

    finish(measure(open_pipeline(model, threads), seconds, takes), out, as_json)


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

    finish(measure(open_pipeline(model, threads), frames, progress), out, as_json)


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

    set_threads(threads)
    finish(measure((grid // 2 * 2, int(grid * 1.75) // 2 * 2), progress), out, as_json)


@app.command()
def policies(
    blocks: Annotated[int, typer.Option("--blocks", min=60, help="Blocks of each take.")] = 300,
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """The cost of length of every policy without an end, tiny random weights."""
    from longtake.measure.policy_cost import cost_of_policies as measure

    set_threads(threads)
    finish(measure(blocks, progress), out, as_json)


@app.command()
def memory(out: Out = FOLDER, threads: Threads = None, as_json: AsJson = False) -> None:
    """The peak of memory that `doctor` predicts against the one that is measured, random models."""
    from longtake.measure.memory_need import memory_need as measure

    set_threads(threads)
    finish(measure(progress), out, as_json)


@app.command()
def gpu(
    preset: Annotated[str, typer.Option("--preset", help="Whose sizes.")] = "self-forcing",
    chunks: Annotated[int, typer.Option("--chunks", min=2, help="Chunks after the warm-up.")] = 40,
    out: Out = FOLDER,
    as_json: AsJson = False,
) -> None:
    """A full-size model with random weights on a GPU, end to end: frames a second, first frame, shares, memory."""
    from longtake.measure.gpu import gpu as measure

    finish(measure(progress, preset, chunks), out, as_json)


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

    set_threads(threads)
    finish(measure(progress, share, cells), out, as_json)


@app.command("real-size")
def real_size(
    preset: Annotated[str, typer.Option("--preset", help="Whose sizes.")] = "self-forcing",
    out: Out = FOLDER,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Seconds and memory of one block of a full-size model with random weights, bfloat16."""
    from longtake.measure.real_size import real_size as measure

    set_threads(threads)
    finish(measure(progress, preset), out, as_json)
