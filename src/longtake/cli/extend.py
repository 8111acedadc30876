"""`longtake extend`: the user's own video in, the same video and what happens next out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from longtake.cli import options
from longtake.cli.signals import Stopped, heed
from longtake.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from longtake.cli.going_on import Asked
    from longtake.cli.meter import Meter
    from longtake.cli.progress import ProgressLine
    from longtake.cli.signing import Signing
    from longtake.cli.summary import ReceiptBook
    from longtake.media import FragmentedMp4Writer
    from longtake.pipeline import Pipeline
    from longtake.take import Take


def extend(
    video: Annotated[str, Argument(metavar="VIDEO", help="The video file to go on from.")],
    prompt: Annotated[str, Argument(metavar="PROMPT", help="What happens next, in quotes.")],
    seconds: Annotated[float, Option(metavar="S", help="How much is added.")] = 10.0,
    out: options.Growing = Path("extended.mp4"),
    force: options.Force = False,
    only_new: Annotated[bool, Option("--only-new", help="Leave the given video out of the file.")] = False,
    seed: options.Seed = None,
    model: options.ModelName = "mini",
    method: options.Method = None,
    size: options.Size = None,
    scale: options.Scale = 1,
    apm: options.Apm = True,
    cam: options.Cam = True,
    provenance: options.Provenance = True,
    private: options.Private = False,
    as_json: options.Summarised = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a video of your own.

    Its last frames are encoded once and remembered; what is made follows on from them. The file has the model's size
    and frame rate: the video is scaled and cut to them, and comes first. Ctrl-C stops early and leaves a whole file.

    \b
    longtake extend clip.mp4 "a red sphere rolls to the right on a wooden floor" --seconds 20
    """
    from longtake.cli.going_on import Asked
    from longtake.cli.signing import Signing

    signing = Signing.read(wanted=provenance, private=private, image=None, video=video)
    asked = Asked.read(
        video=video,
        prompt=prompt,
        seconds=seconds,
        out=out,
        force=force,
        seed=seed,
        model=model,
        method=method,
        size=size,
        scale=scale,
    )
    settings = {"long_term": apm, "short_term": cam}
    _Extending(asked, signing, settings, only_new=only_new, quiet=quiet, as_json=as_json).run()


class _Extending:
    """One run of the command: load, copy the video into the file, go on, report."""

    def __init__(
        self,
        asked: Asked,
        signing: Signing,
        settings: dict[str, Any],
        *,
        only_new: bool,
        quiet: bool,
        as_json: bool,
    ) -> None:
        from longtake.cli.summary import ReceiptBook

        self.asked, self.signing, self.settings = asked, signing, settings
        self.only_new, self.quiet, self.as_json = only_new, quiet, as_json
        self.receipts: ReceiptBook = ReceiptBook()
        self.copied = 0

    def run(self) -> None:
        from longtake.cli.meter import Meter
        from longtake.cli.progress import ProgressLine
        from longtake.media import FragmentedMp4Writer

        asked = self.asked
        pipe = self._load()
        take = self._start(pipe)
        writer = FragmentedMp4Writer(asked.out, asked.form, overwrite=asked.force)
        line = ProgressLine(asked.num_frames, quiet=self.quiet)
        meter = Meter(pipe.fps)
        stopped = self._film(take, writer, line, meter)
        if meter.chunks:
            self._report(pipe, take, writer, meter, complete=stopped is None)
        if stopped:
            raise stopped

    def _load(self) -> Pipeline:
        from rich.console import Console

        from longtake.cli.download import to_terminal
        from longtake.pipeline import Pipeline

        with Console(stderr=True, quiet=self.quiet).status(f"loading {self.asked.model}"):
            return Pipeline.from_pretrained(self.asked.model, line=to_terminal())

    def _start(self, pipe: Pipeline) -> Take:
        from longtake.cli.warn import warn_of_unknown_words
        from longtake.settings import Settings

        asked = self.asked
        warn_of_unknown_words(pipe, asked.timeline)
        settings = Settings(width=asked.width, height=asked.height, method=asked.method, **self.settings)
        return pipe.stream(asked.timeline, seed=asked.seed, clip=asked.file.path, settings=settings)

    def _film(
        self, take: Take, writer: FragmentedMp4Writer, line: ProgressLine, meter: Meter
    ) -> Stopped | None:
        """Write into the file; returns what stopped it early, if anything did."""
        try:
            with writer, line:
                for frames in () if self.only_new else self.asked.copied():
                    self._write(writer, frames)
                    self.copied += len(frames)
                for frames in self._new(take):
                    self._write(writer, frames)
                    meter.add(len(frames))
                    line.update(meter)
        except Stopped as stopped:
            return stopped
        return None

    def _new(self, take: Take) -> Iterator[Any]:
        """Frames that follow on from the video, as many as were asked for."""
        missing = self.asked.num_frames
        for chunk in take:
            self.receipts.add(chunk.receipts)
            frames = chunk.frames[max(0, take.given_frames - chunk.start_frame) :][:missing]
            if len(frames):
                yield frames
            missing -= len(frames)
            if not missing:
                return

    def _write(self, writer: FragmentedMp4Writer, frames: Any) -> None:
        heed()
        try:
            writer.write(frames)
        except OSError as error:
            kept = f"the {writer.frames} frames before it play" if writer.frames else "nothing was written"
            raise UserError(f"{writer.path}: {error.strerror}; {kept}; make room and start again") from error

    def _report(
        self, pipe: Pipeline, take: Take, writer: FragmentedMp4Writer, meter: Meter, *, complete: bool
    ) -> None:
        from longtake.models.process import peak_rss_mb

        asked = self.asked
        signed = None
        if complete:
            signed = self.signing.sign(
                asked.out, model=pipe.name, seed=take.seed, receipts=tuple(self.receipts)
            )
        summary = {
            "out": str(asked.out),
            "model": pipe.name,
            "method": asked.method,
            "licence": pipe.preset.terms,
            "seed": take.seed,
            "complete": complete,
            "frames": writer.frames,
            "frames_given": self.copied,
            "frames_new": meter.frames,
            "frames_looked_back_on": take.given_frames,
            "fps": pipe.fps,
            "width": asked.form.width,
            "height": asked.form.height,
            "rtf": round(meter.rtf, 4),
            "peak_rss_mb": round(peak_rss_mb(), 1),
            "receipts": [receipt.to_dict() for receipt in self.receipts],
            "inputs": [asked.note],
            "signed_by": signed,
        }
        typer.echo(json.dumps(summary, ensure_ascii=False) if self.as_json else "\n".join(_lines(summary)))


def _lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    end = "" if summary["complete"] else ", stopped before its end"
    given, new, fps = summary["frames_given"], summary["frames_new"], summary["fps"]
    signed = [f"signed by {summary['signed_by']}"] if summary["signed_by"] else []
    return [
        f"{summary['out']}: {given} frames of the video and {new} new ones ({new / fps:g} s) at {fps} fps{end}",
        f"{summary['rtf']:.2f}x real time; looked back on {summary['frames_looked_back_on']} frames",
        f"model {summary['model']} ({summary['licence']}), seed {summary['seed']}",
        *signed,
        *summary["inputs"],
    ]
