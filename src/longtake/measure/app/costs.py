"""Benchmarks of time and memory."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.measure.app.common import MODEL, PLAIN, THREADED, Given, command, progress

app = typer.Typer()

Seconds = Annotated[float, typer.Option("--seconds", min=2.0, help="Media seconds of each take.")]
Preset = Annotated[str, typer.Option("--preset", help="Whose sizes.")]


@command(app, MODEL)
def speed(given: Given, seconds: Seconds = 30.0) -> None:
    """Real-time factor, time to the first frame warm and cold, and the share of each part."""
    from longtake.measure.playback import speed as measure

    given.finish(measure(given.pipeline(), seconds, given.model))


@command(app, MODEL)
def playback(
    given: Given,
    seconds: Seconds = 30.0,
    takes: Annotated[int, typer.Option("--takes", min=1, help="How many takes.")] = 6,
) -> None:
    """What a viewer would feel: first chunk, gaps, stalls of players with several start buffers."""
    from longtake.measure.playback import playback as measure

    given.finish(measure(given.pipeline(), seconds, takes))


@command(app, MODEL)
def length(
    given: Given,
    frames: Annotated[int, typer.Option("--frames", min=100, help="Frames of the take.")] = 5000,
) -> None:
    """Whether late chunks take longer or memory grows in a long take."""
    from longtake.measure.length import length as measure

    given.finish(measure(given.pipeline(), frames, progress))


@command(app, THREADED)
def streaming(
    given: Given,
    grid: Annotated[
        int, typer.Option("--grid", min=8, help="Rows of the latent frame; columns are 1.75 times.")
    ] = 16,
) -> None:
    """Streaming from the cache against recomputing the past, random weights; loop overhead."""
    from longtake.measure.streaming_cost import streaming as measure

    given.set_threads()
    given.finish(measure((grid // 2 * 2, int(grid * 1.75) // 2 * 2), progress))


@command(app, THREADED)
def policies(
    given: Given,
    blocks: Annotated[int, typer.Option("--blocks", min=60, help="Blocks of each take.")] = 300,
) -> None:
    """The cost of length of every policy without an end, tiny random weights."""
    from longtake.measure.policy_cost import cost_of_policies as measure

    given.set_threads()
    given.finish(measure(blocks, progress))


@command(app, THREADED)
def memory(given: Given) -> None:
    """The peak of memory that `doctor` predicts against the one that is measured, random models."""
    from longtake.measure.memory_need import memory_need as measure

    given.set_threads()
    given.finish(measure(progress))


@command(app, PLAIN)
def gpu(
    given: Given,
    preset: Preset = "self-forcing",
    chunks: Annotated[int, typer.Option("--chunks", min=2, help="Chunks after the warm-up.")] = 40,
) -> None:
    """A full-size model with random weights on a GPU, end to end: frames a second, first frame, shares, memory."""
    from longtake.measure.gpu import gpu as measure

    given.finish(measure(progress, preset, chunks))


@command(app, THREADED, "streamingt2v-step")
def streamingt2v_step(
    given: Given,
    share: Annotated[int, typer.Option("--share", min=1, help="Divide the network's width by this.")] = 1,
    cells: Annotated[int, typer.Option("--cells", min=8, help="Rows and columns of the latents.")] = 32,
) -> None:
    """One denoising step of StreamingT2V's UNet with both memories, random weights: seconds and memory."""
    from longtake.measure.streaming_step import streaming_step as measure

    given.set_threads()
    given.finish(measure(progress, share, cells))


@command(app, THREADED, "real-size")
def real_size(given: Given, preset: Preset = "self-forcing") -> None:
    """Seconds and memory of one block of a full-size model with random weights, bfloat16."""
    from longtake.measure.real_size import real_size as measure

    given.set_threads()
    given.finish(measure(progress, preset))
