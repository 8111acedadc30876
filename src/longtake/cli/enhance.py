"""`longtake enhance`: a video file in, a larger and cleaner one out that grows while it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from longtake.cli import options
from longtake.cli.signals import Stopped
from longtake.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from longtake.chunk import Chunk
    from longtake.cli.meter import Meter
    from longtake.cli.progress import ProgressLine
    from longtake.enhance.enhancement import Enhancement
    from longtake.media import FragmentedMp4Writer
    from longtake.pipeline import Pipeline
    from longtake.timeline import Receipt, Timeline


def enhance(
    video: Annotated[str, Argument(metavar="VIDEO", help="The video file.")],
    prompt: Annotated[str, Argument(metavar="PROMPT", help="What is to be seen in it, in quotes.")],
    out: Annotated[Path, Option("--out", "-o", metavar="FILE", help="The MP4 file.")] = Path("large.mp4"),
    force: options.Force = False,
    mode: Annotated[
        str, Option(metavar="NAME", help="exact: as the whole video at once; live: a window behind at most.")
    ] = "exact",
    strength: Annotated[
        float | None, Option(metavar="S", help="How much is made anew, up to 1; the model's unless given.")
    ] = None,
    steps: Annotated[int | None, Option(metavar="N", help="Network evaluations of a window.")] = None,
    blending: Annotated[
        str | None,
        Option(metavar="NAME", help="How windows are joined: randomized, average, shared, naive, …"),
    ] = None,
    window: Annotated[int | None, Option(metavar="N", help="Latent frames of a window.")] = None,
    overlap: Annotated[int | None, Option(metavar="N", help="Latent frames that windows share.")] = None,
    scale: Annotated[int | None, Option(metavar="N", help="How many times larger.")] = None,
    size: Annotated[str | None, Option(metavar="WxH", help="Size of the file, instead of --scale.")] = None,
    kernel: Annotated[str, Option(metavar="NAME", help="Enlarging first: lanczos or bicubic.")] = "lanczos",
    model: Annotated[
        str, Option(metavar="NAME", help="A model that has an enhancer, or an enhancer's folder.")
    ] = "mini",
    seed: Annotated[int, Option(metavar="N", help="Same seed, same video.")] = 0,
    as_json: options.Summarised = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a video larger and cleaner.

    It goes through in windows that overlap, so that memory does not grow with its length, and keeps its frame rate. The
    file can be watched while it grows. Ctrl-C stops early and leaves a whole file.

    \b
    longtake enhance take.mp4 "a red sphere rolls to the right on a wooden floor" --out large.mp4
    longtake enhance take.mp4 "a red sphere on grass" --mode live --strength 0.4
    """
    from longtake.cli.request import check_output, check_seed
    from longtake.enhance.settings import EnhanceSettings

    width, height = _size(size)
    settings = EnhanceSettings(
        mode=mode,  # type: ignore[arg-type]
        strength=strength,
        steps=steps,
        blending=blending,
        window=window,
        overlap=overlap,
        scale=scale,
        width=width,
        height=height,
        kernel=kernel,  # type: ignore[arg-type]
    )
    check_seed(seed)
    check_output(out, force=force)
    _Enhancing(video, prompt, model, settings, seed, out, force=force, quiet=quiet, as_json=as_json).run()


class _Enhancing:
    """One run of the command: open, stream into the file, report."""

    def __init__(
        self,
        video: str,
        prompt: str,
        model: str,
        settings: Any,
        seed: int,
        out: Path,
        *,
        force: bool,
        quiet: bool,
        as_json: bool,
    ) -> None:
        from longtake.footage import VideoFile

        self.file = VideoFile.open(video)
        self.fps = max(1, round(self.file.fps))
        self.prompt, self.model, self.settings, self.seed = prompt, model, settings, seed
        self.out, self.force, self.quiet, self.as_json = out, force, quiet, as_json

    def run(self) -> None:
        from longtake.cli.meter import Meter
        from longtake.cli.progress import ProgressLine
        from longtake.media import FragmentedMp4Writer, VideoFormat

        enhancement, licence = self._start()
        form = VideoFormat(width=enhancement.width, height=enhancement.height, fps=self.fps)
        writer = FragmentedMp4Writer(self.out, form, overwrite=self.force)
        meter, line = Meter(self.fps), ProgressLine(None, quiet=self.quiet)
        stopped = self._film(enhancement, writer, meter, line)
        if meter.chunks:
            self._report(enhancement, licence, writer, meter, complete=stopped is None)
        if stopped:
            raise stopped

    def _start(self) -> tuple[Enhancement, str]:
        from rich.console import Console

        with Console(stderr=True, quiet=self.quiet).status(f"loading the enhancer of {self.model}"):
            from longtake.enhance.enhancer import Enhancer

            enhancer = Enhancer.from_pretrained(self.model)
        enhancement = enhancer.stream(
            self.file.frames(self.fps), self.prompt, fps=self.fps, seed=self.seed, settings=self.settings
        )
        return enhancement, enhancer.spec.licence

    def _film(
        self, enhancement: Enhancement, writer: FragmentedMp4Writer, meter: Meter, line: ProgressLine
    ) -> Stopped | None:
        """Write into the file; returns what stopped it early, if anything did."""
        from longtake.cli.filming import write_frames

        try:
            with writer, line:
                for chunk in enhancement:
                    if len(chunk.frames):
                        write_frames(writer, chunk.frames)
                        meter.add(len(chunk.frames))
                        line.update(meter)
        except Stopped as stopped:
            return stopped
        return None

    def _report(
        self,
        enhancement: Enhancement,
        licence: str,
        writer: FragmentedMp4Writer,
        meter: Meter,
        *,
        complete: bool,
    ) -> None:
        from longtake.models.process import peak_rss_mb

        summary = {
            "out": str(self.out),
            "model": self.model,
            "licence": licence,
            "mode": self.settings.mode,
            "complete": complete,
            "frames": writer.frames,
            "fps": self.fps,
            "width": enhancement.width,
            "height": enhancement.height,
            "from_width": self.file.width,
            "from_height": self.file.height,
            "seed": self.seed,
            "delay_s": round(enhancement.delay_seconds, 4),
            "rtf": round(meter.rtf, 4),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }
        typer.echo(json.dumps(summary) if self.as_json else "\n".join(_lines(summary)))


def _lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    size = f"{summary['from_width']}x{summary['from_height']} to {summary['width']}x{summary['height']}"
    end = "" if summary["complete"] else ", stopped before its end"
    return [
        f"{summary['out']}: {summary['frames']} frames at {summary['fps']} fps, {size}{end}",
        f"mode {summary['mode']}, {summary['delay_s']:.3g} s of video behind; {summary['rtf']:.2f}x real time",
        f"enhancer of {summary['model']} ({summary['licence']}), seed {summary['seed']}",
    ]


def _size(size: str | None) -> tuple[int | None, int | None]:
    """Read `--size WxH`."""
    import re

    if size is None:
        return None, None
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", size)
    if match is None:
        raise UserError(f"--size {size!r} is not a size; give WIDTHxHEIGHT in pixels, such as 192x192")
    return int(match[1]), int(match[2])


def enhanced(pipe: Pipeline, chunks: Iterable[Chunk], timeline: Timeline, *, seed: int) -> Iterator[Chunk]:
    """A take's chunks after the model's enhancer, live; receipts leave with the first chunk after theirs."""
    from longtake.chunk import Chunk, Timings

    receipts: list[Receipt] = []

    def made() -> Iterator[Chunk]:
        for chunk in chunks:
            receipts.extend(chunk.receipts)
            yield chunk

    for large in pipe.enhance(made(), timeline, seed=seed):
        told = tuple(receipts)
        receipts.clear()
        yield Chunk(
            index=large.index,
            frames=large.frames,
            start_frame=large.start_frame,
            fps=pipe.fps,
            receipts=told,
            timings=Timings(),
            latents=large.latents,
        )
