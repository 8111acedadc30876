"""What `longtake extend` does once its options are read: the video into the file, the take after it, the summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console

from longtake.cli.download import to_terminal
from longtake.cli.filming import held, loading, write_frames
from longtake.cli.going_on import Asked
from longtake.cli.meter import Meter
from longtake.cli.opening import Opening
from longtake.cli.progress import ProgressLine
from longtake.cli.signals import Stopped
from longtake.cli.signing import Signing
from longtake.cli.summary import ReceiptBook
from longtake.cli.warn import warn_of_unknown_words
from longtake.journal import Library, Recorded, RecordedTake
from longtake.media import FragmentedMp4Writer
from longtake.models.process import peak_rss_mb
from longtake.pipeline import Pipeline
from longtake.settings import Settings
from longtake.take import Take

__all__ = ["Extension"]


class Extension:
    """One run of the command: load, copy the video into the file, go on, report."""

    def __init__(
        self,
        asked: Asked,
        signing: Signing,
        settings: dict[str, Any],
        *,
        only_new: bool,
        journal: bool,
        quiet: bool,
        as_json: bool,
    ) -> None:
        self.asked, self.signing, self.settings = asked, signing, settings
        self.only_new, self.journal = only_new, journal
        self.quiet, self.as_json = quiet, as_json
        self.receipts: ReceiptBook = ReceiptBook()
        self.copied = self.looked_back = 0

    def run(self) -> None:
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
        with Console(stderr=True, quiet=self.quiet).status(f"loading {self.asked.model}"):
            return Pipeline.from_pretrained(self.asked.model, line=to_terminal())

    def _start(self, pipe: Pipeline) -> Take | RecordedTake:
        asked = self.asked
        warn_of_unknown_words(pipe, asked.timeline)
        settings = Settings(width=asked.width, height=asked.height, method=asked.method, **self.settings)
        end = pipe.end_of(asked.file.path, settings)
        self.looked_back = len(end)
        given: dict[str, Any] = {
            "seed": asked.seed,
            "num_frames": self.looked_back + asked.num_frames,
            "settings": settings,
            "clip": end,
        }
        if not self.journal:
            return pipe.stream(asked.timeline, **given)
        known = loading(asked.model, Opening(), self.signing)
        return Library().create(pipe, asked.timeline, loading=known, **given)

    def _film(
        self, take: Take | RecordedTake, writer: FragmentedMp4Writer, line: ProgressLine, meter: Meter
    ) -> Stopped | None:
        """Write into the file; returns what stopped it early, if anything did."""
        try:
            with writer, line, held(take):
                for frames in () if self.only_new else self.asked.copied():
                    write_frames(writer, frames)
                    self.copied += len(frames)
                for frames in self._new(take):
                    write_frames(writer, frames)
                    meter.add(len(frames))
                    line.update(meter)
        except Stopped as stopped:
            return stopped
        return None

    def _new(self, take: Take | RecordedTake) -> Iterator[Any]:
        """The frames that follow on from the video."""
        for made in take:
            chunk = made.chunk if isinstance(made, Recorded) else made
            self.receipts.add(chunk.receipts)
            frames = chunk.frames[max(0, self.looked_back - chunk.start_frame) :]
            if len(frames):
                yield frames

    def _report(
        self,
        pipe: Pipeline,
        take: Take | RecordedTake,
        writer: FragmentedMp4Writer,
        meter: Meter,
        *,
        complete: bool,
    ) -> None:
        asked = self.asked
        signed = None
        if complete:
            signed = self.signing.sign(
                asked.out, model=pipe.name, seed=take.seed, receipts=tuple(self.receipts)
            )
        summary = {
            "out": str(asked.out),
            "take_id": take.id if isinstance(take, RecordedTake) else None,
            "model": pipe.name,
            "method": asked.method,
            "licence": pipe.preset.terms,
            "seed": take.seed,
            "complete": complete,
            "frames": writer.frames,
            "frames_given": self.copied,
            "frames_new": meter.frames,
            "frames_looked_back_on": self.looked_back,
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
    id = summary["take_id"]
    kept = f"; `longtake takes resume {id}` makes the rest, `takes export` writes it" if id else ""
    end = "" if summary["complete"] else f", stopped before its end{kept}"
    given, new, fps = summary["frames_given"], summary["frames_new"], summary["fps"]
    signed = [f"signed by {summary['signed_by']}"] if summary["signed_by"] else []
    taken = [f"take {id}"] if id else []
    return [
        f"{summary['out']}: {given} frames of the video and {new} new ones ({new / fps:g} s) at {fps} fps{end}",
        f"{summary['rtf']:.2f}x real time; looked back on {summary['frames_looked_back_on']} frames",
        f"model {summary['model']} ({summary['licence']}), seed {summary['seed']}",
        *signed,
        *taken,
        *summary["inputs"],
    ]
