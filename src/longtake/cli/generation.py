"""What `longtake generate` does once its options are read: the take, its file, its summary."""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
import typer
from rich.console import Console

from longtake.chunk import Chunk
from longtake.cli.download import to_terminal
from longtake.cli.enhance import enhanced
from longtake.cli.filming import held, into, loading
from longtake.cli.first_clip import FirstClip
from longtake.cli.meter import Meter, process_age
from longtake.cli.progress import ProgressLine
from longtake.cli.request import Request
from longtake.cli.signals import Stopped, heed
from longtake.cli.signing import Signing
from longtake.cli.summary import ReceiptBook, Summary
from longtake.cli.warn import warn_of_unknown_words
from longtake.fitting import check_memory
from longtake.journal import Library, Recorded, RecordedTake
from longtake.media import FragmentedMp4Writer
from longtake.models.backends import attention_backend
from longtake.models.codecs import codec_part
from longtake.models.download import obtain
from longtake.models.hub import look_up
from longtake.models.process import peak_rss_mb
from longtake.pipeline import Pipeline
from longtake.settings import Settings
from longtake.take import Take

if TYPE_CHECKING:
    from longtake.measure.watch import DriftWatch

__all__ = ["Generation"]


class Generation:
    """One run of the command: load, stream into the file, report."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        signing: Signing,
        *,
        beginning: FirstClip | None,
        journal: bool,
        watch: DriftWatch | None,
        quiet: bool,
        as_json: bool,
    ) -> None:
        self.request, self.settings, self.signing = request, settings, signing
        self.beginning, self.journal = beginning, journal
        self.quiet, self.as_json = quiet, as_json
        self.receipts = ReceiptBook()
        self.recording: list[float] = []
        self.watch = watch

    def run(self) -> None:
        request = self.request
        pipe = self._load()
        heed()
        self.startup = process_age()
        warn_of_unknown_words(pipe, request.timeline)
        writer = FragmentedMp4Writer(request.out, request.form, overwrite=request.force)
        num_frames = _length(request, pipe, endless=self.settings.method is not None)
        line = ProgressLine(num_frames, quiet=self.quiet)
        meter = Meter(pipe.fps)  # counts from here: the prompt is accepted, the model is ready
        take = self._start(pipe, num_frames)
        made = self._enhanced(pipe, take) if request.enhance else take
        stopped = self._film(take, made, writer, line, meter)
        if meter.chunks:
            self._report(self._summary(pipe, take, writer, meter, complete=stopped is None))
        if stopped:
            raise stopped

    def _load(self) -> Pipeline:
        request, opening = self.request, self.request.opening
        checkpoint, size = look_up(request.model), {"width": request.width, "height": request.height}
        check_memory(checkpoint, **size, codec=opening.codec, profile=opening.profile)
        obtain(request.model, to_terminal(), also=[codec_part(checkpoint, opening.codec)])
        with Console(stderr=True, quiet=self.quiet).status(f"loading {request.model}"):
            return opening.open(request.model, to_terminal())

    def _start(self, pipe: Pipeline, num_frames: int | None) -> Take | RecordedTake:
        request, beginning = self.request, self.beginning
        seed = secrets.randbits(31) if request.seed is None else request.seed
        clip = None if beginning is None else beginning.make(request.timeline.cues[0].prompt, seed)
        observers = () if self.watch is None else (self.watch,)
        given: dict[str, Any] = {
            "seed": seed,
            "num_frames": num_frames,
            "settings": self.settings,
            "image": request.image,
            "video": request.video,
            "strength": request.strength,
            "clip": clip,
            "observers": observers,
        }
        if not self.journal:
            return pipe.stream(request.timeline, **given)
        return Library().create(
            pipe,
            request.timeline,
            form=None if request.enhance else request.form,
            out=None if request.enhance else request.out,
            loading=loading(request.model, request.opening, self.signing),
            **given,
        )

    def _enhanced(self, pipe: Pipeline, take: Take | RecordedTake) -> Iterator[Chunk]:
        return enhanced(pipe, self._noted(take), self.request.timeline, seed=take.seed)

    def _noted(self, take: Take | RecordedTake) -> Iterator[Chunk]:
        """The chunks of a take; what recording them took is noted."""
        for made in take:
            if isinstance(made, Recorded):
                self.recording.append(made.recording)
                yield made.chunk
            else:
                yield made

    def _film(
        self,
        take: Take | RecordedTake,
        chunks: Iterable[Chunk | Recorded],
        writer: FragmentedMp4Writer,
        line: ProgressLine,
        meter: Meter,
    ) -> Stopped | None:
        """Write the take into the file; returns what stopped it early, if anything did."""
        try:
            with writer, line, held(take):
                for made in chunks:
                    chunk = into(writer, take, made)
                    self.recording += [made.recording] if isinstance(made, Recorded) else []
                    self.receipts.add(chunk.receipts)
                    meter.add(len(chunk.frames))
                    line.update(meter, self._alarm())
        except Stopped as stopped:
            return stopped
        return None

    def _alarm(self) -> str:
        """The latest drift alarm, for the progress line."""
        return str(self.watch.alarms[-1]) if self.watch and self.watch.alarms else ""

    def _summary(
        self,
        pipe: Pipeline,
        take: Take | RecordedTake,
        writer: FragmentedMp4Writer,
        meter: Meter,
        *,
        complete: bool,
    ) -> Summary:
        request = self.request
        return Summary(
            out=str(request.out),
            take_id=take.id if isinstance(take, RecordedTake) else None,
            model=pipe.name,
            licence=pipe.preset.terms,
            seed=take.seed,
            complete=complete,
            enhanced=request.enhance,
            frames=writer.frames,
            chunks=writer.chunks,
            fps=pipe.fps,
            seconds=writer.frames / pipe.fps,
            width=request.form.width,
            height=request.form.height,
            native_width=request.width,
            startup_s=self.startup,
            time_to_first_frame_s=meter.time_to_first_frame,
            chunk_seconds_p50=meter.chunk_percentile(50),
            chunk_seconds_p95=meter.chunk_percentile(95),
            journal_seconds_p50=statistics.median(self.recording) if self.recording else None,
            rtf=meter.rtf,
            peak_rss_mb=peak_rss_mb(),
            dtype=str(pipe.backbone.dtype).removeprefix("torch."),
            attention="{} ({})".format(*attention_backend()),
            threads=torch.get_num_threads(),
            drift_alarms=None if self.watch is None else [asdict(alarm) for alarm in self.watch.alarms],
            receipts=[receipt.to_dict() for receipt in self.receipts],
            inputs=list(request.inputs),
            signed_by=self._sign(pipe, take) if complete else None,
        )

    def _sign(self, pipe: Pipeline, take: Take | RecordedTake) -> str | None:
        """Sign the finished file; one that was stopped stays as it is, so that it can be gone on with."""
        return self.signing.sign(
            self.request.out, model=pipe.name, seed=take.seed, receipts=tuple(self.receipts)
        )

    def _report(self, summary: Summary) -> None:
        for cue in self.receipts.missing(self.request.timeline.cues):
            typer.echo(f"warning: the video ends before {cue.prompt!r} begins", err=True)
        text = (
            json.dumps(summary.to_dict(), ensure_ascii=False) if self.as_json else "\n".join(summary.lines())
        )
        typer.echo(text)


def _length(request: Request, pipe: Pipeline, *, endless: bool = False) -> int | None:
    """Frames to be made: as asked, or by default; None where the source video or the model ends the take.

    endless: whether it goes on by another method than the model's own.
    """
    if request.num_frames is not None or request.video is not None:
        return request.num_frames
    if endless:
        return request.default_frames
    return (
        None
        if pipe.longest is not None and pipe.longest <= request.default_frames
        else request.default_frames
    )
