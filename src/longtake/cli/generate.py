"""`longtake generate`: a prompt or a storyboard in, a video file that grows while it is made."""

from __future__ import annotations

import json
import secrets
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from longtake.cli.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from longtake.chunk import Chunk
    from longtake.cli.first_clip import FirstClip
    from longtake.cli.meter import Meter
    from longtake.cli.progress import ProgressLine
    from longtake.cli.request import Request
    from longtake.cli.signing import Signing
    from longtake.cli.summary import Summary
    from longtake.journal import Recorded, RecordedTake
    from longtake.measure.watch import DriftWatch
    from longtake.media import FragmentedMp4Writer
    from longtake.pipeline import Pipeline
    from longtake.take import Take
    from longtake.timeline import Timeline


def generate(
    prompt: Annotated[str | None, Argument(metavar="PROMPT", help="What is to be seen, in quotes.")] = None,
    storyboard: Annotated[
        Path | None,
        Option(metavar="FILE", help="YAML file of prompts that change over time, instead of one."),
    ] = None,
    seconds: Annotated[float | None, Option(metavar="S", help="Length; 10 unless given.")] = None,
    frames: Annotated[int | None, Option(metavar="N", help="Length in frames, instead of --seconds.")] = None,
    out: Annotated[
        Path, Option("--out", "-o", metavar="FILE", help="The MP4 file; watch it while it grows.")
    ] = Path("take.mp4"),
    force: Annotated[bool, Option("--force", "-f", help="Replace the file if it is there.")] = False,
    seed: Annotated[
        int | None, Option(metavar="N", help="Same seed, same video; drawn and shown unless given.")
    ] = None,
    model: Annotated[
        str, Option(metavar="NAME", help="One that `longtake models` lists, or a folder.")
    ] = "mini",
    size: Annotated[
        str | None, Option(metavar="WxH", help="Picture that the model makes; its native size unless given.")
    ] = None,
    scale: Annotated[int, Option(metavar="N", help="Enlarge the file's picture so many times.")] = 1,
    fps: Annotated[
        float | None, Option(metavar="N", help="Frames a second; only the model's own will do.")
    ] = None,
    image: Annotated[
        str | None,
        Option(metavar="FILE", help="Picture that the video begins with; scaled and cut to its size."),
    ] = None,
    video: Annotated[
        str | None, Option(metavar="FILE", help="Video to be made anew under the prompt, to its end.")
    ] = None,
    strength: Annotated[
        float | None,
        Option(metavar="S", help="How much of --video is replaced, up to 1; the model's unless given."),
    ] = None,
    first_clip: Annotated[
        str | None,
        Option(
            metavar="SOURCE",
            help="Video that the take goes on from, or modelscope:FOLDER, animatediff:FOLDER, svd:FOLDER "
            "(with --image), which make one.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        Option(metavar="N", min=1, help="Denoising steps; of a distilled model one of its own numbers."),
    ] = None,
    method: Annotated[
        str | None,
        Option(metavar="NAME", help="streamingt2v, for a model with its memories; else the model's own."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        Option(metavar="FRAME", help="Frame to hold on to (0, 2.5s, 0+40, 40@48), for StreamingT2V."),
    ] = None,
    apm: Annotated[
        bool, Option("--apm/--no-apm", help="Hold on to anchors (StreamingT2V's long-term memory).")
    ] = True,
    cam: Annotated[
        bool, Option("--cam/--no-cam", help="Go on from the last frames (StreamingT2V's short-term memory).")
    ] = True,
    lora: Annotated[
        list[str] | None,
        Option(metavar="FILE[:SCALE]", help="LoRA that changes the model; may be given several times."),
    ] = None,
    codec: Annotated[
        str, Option(metavar="NAME", help="full, or tiny: decodes many times faster, a little blurred.")
    ] = "full",
    profile: Annotated[
        str | None,
        Option(metavar="NAME", help="Memory profile that `longtake doctor --model` lists; else what fits."),
    ] = None,
    enhance: Annotated[
        bool,
        Option(
            "--enhance",
            help="Larger and cleaner, by the model's enhancer; what is recorded is the take before it.",
        ),
    ] = False,
    watch: Annotated[
        bool, Option("--watch", help="Watch for drift, and say when the picture leaves its beginning.")
    ] = False,
    provenance: Annotated[
        bool,
        Option("--provenance/--no-provenance", help="Sign the finished file: made by a model, with which."),
    ] = True,
    private: Annotated[
        bool, Option("--private", help="Leave prompts and the names of inputs out of what is signed.")
    ] = False,
    journal: Annotated[
        bool,
        Option("--journal/--no-journal", help="Record the take: `longtake takes` resumes and branches it."),
    ] = True,
    as_json: Annotated[bool, Option("--json", help="Print the summary as one JSON object.")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress line.")] = False,
) -> None:
    """Make a video of a prompt or of a storyboard.

    The file can be watched while it grows. Ctrl-C stops early and leaves a whole file; `longtake takes resume`
    finishes it, also after a crash.

    \b
    longtake generate "a red sphere rolls to the right on a wooden floor" --seconds 30
    longtake generate --storyboard story.yaml --scale 4 --seed 7 --out story.mp4
    longtake generate "a red sphere rolls to the right" --image start.png
    longtake generate "a blue cube on grass" --video input.mp4 --strength 0.7
    """
    from longtake.cli.first_clip import FirstClip
    from longtake.cli.request import Request, check_method
    from longtake.cli.signing import Signing

    signing = Signing.read(wanted=provenance, private=private, image=image, video=video)
    beginning = None if first_clip is None else FirstClip.read(first_clip, model, method, image, video)
    request = Request.read(
        prompt=prompt,
        storyboard=storyboard,
        seconds=seconds,
        frames=frames,
        out=out,
        force=force,
        seed=seed,
        model=model,
        size=size,
        scale=scale,
        fps=fps,
        image=image if beginning is None else None,
        video=video,
        strength=strength,
        profile=profile,
        codec=codec,
        lora=lora or (),
        enhance=enhance,
    )
    check_method(request.model, method)
    journal = journal and beginning is None
    filming = _Filming(request, signing, journal=journal, watch=watch, quiet=quiet, as_json=as_json)
    filming.anchors, filming.long_term, filming.short_term = tuple(anchor or ()), apm, cam
    filming.method, filming.beginning, filming.steps = method, beginning, steps
    filming.run()


def _drift_watch() -> DriftWatch:
    from longtake.measure.watch import DriftWatch

    return DriftWatch()


class _Filming:
    """One run of the command: load, stream into the file, report."""

    def __init__(
        self,
        request: Request,
        signing: Signing,
        *,
        journal: bool,
        watch: bool,
        quiet: bool,
        as_json: bool,
    ) -> None:
        from longtake.cli.summary import ReceiptBook

        self.request, self.signing, self.quiet, self.as_json = request, signing, quiet, as_json
        self.receipts = ReceiptBook()
        self.journal, self.recording = journal, list[float]()
        self.anchors: tuple[str, ...] = ()
        self.long_term = self.short_term = True
        self.method: str | None = None
        self.steps: int | None = None
        self.beginning: FirstClip | None = None
        self.watch = _drift_watch() if watch else None

    def run(self) -> None:
        from longtake.cli.meter import Meter, process_age
        from longtake.cli.progress import ProgressLine
        from longtake.media import FragmentedMp4Writer

        request = self.request
        pipe = self._load()
        self.startup = process_age()
        warn_of_unknown_words(pipe, request.timeline)
        writer = FragmentedMp4Writer(request.out, request.form, overwrite=request.force)
        num_frames = _length(request, pipe, endless=self.method is not None)
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
        from rich.console import Console

        from longtake.cli.download import to_terminal
        from longtake.forecast import check_memory
        from longtake.models.codecs import codec_part
        from longtake.models.download import obtain
        from longtake.models.hub import look_up

        request, opening = self.request, self.request.opening
        checkpoint, size = look_up(request.model), {"width": request.width, "height": request.height}
        check_memory(checkpoint, **size, codec=opening.codec, profile=opening.profile)
        obtain(request.model, to_terminal(), also=[codec_part(checkpoint, opening.codec)])
        with Console(stderr=True, quiet=self.quiet).status(f"loading {request.model}"):
            return opening.open(request.model, to_terminal())

    def _start(self, pipe: Pipeline, num_frames: int | None) -> Take | RecordedTake:
        from longtake.cli.filming import loading
        from longtake.journal import Library
        from longtake.settings import Settings

        request = self.request
        settings = Settings(
            width=request.width,
            height=request.height,
            num_inference_steps=self.steps,
            anchors=self.anchors,
            long_term=self.long_term,
            short_term=self.short_term,
            method=self.method,
        )
        observers = () if self.watch is None else (self.watch,)
        if self.journal:
            return Library().create(
                pipe,
                request.timeline,
                seed=request.seed,
                num_frames=num_frames,
                settings=settings,
                image=request.image,
                video=request.video,
                strength=request.strength,
                form=None if request.enhance else request.form,
                out=None if request.enhance else request.out,
                loading=loading(request.model, request.opening, self.signing),
                observers=observers,
            )
        seed = secrets.randbits(31) if request.seed is None else request.seed
        prompt = request.timeline.cues[0].prompt
        return pipe.stream(
            request.timeline,
            seed=seed,
            num_frames=num_frames,
            settings=settings,
            image=request.image,
            video=request.video,
            strength=request.strength,
            clip=None if self.beginning is None else self.beginning.make(prompt, seed),
            observers=observers,
        )

    def _enhanced(self, pipe: Pipeline, take: Take | RecordedTake) -> Iterator[Chunk]:
        from longtake.cli.enhance import enhanced

        return enhanced(pipe, self._noted(take), self.request.timeline, seed=take.seed)

    def _noted(self, take: Take | RecordedTake) -> Iterator[Chunk]:
        """The chunks of a take; what recording them took is noted."""
        from longtake.journal import Recorded

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
        from longtake.cli.filming import held, into
        from longtake.journal import Recorded

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
        import torch

        from longtake.cli.summary import Summary
        from longtake.journal import RecordedTake
        from longtake.models.backends import attention_backend
        from longtake.models.process import peak_rss_mb

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


def warn_of_unknown_words(pipe: Pipeline, timeline: Timeline) -> None:
    """Tell of words in the prompts that the model was not trained on."""
    words = dict.fromkeys(word for cue in timeline.cues for word in pipe.unknown_words(cue.prompt))
    if words:
        unknown = ", ".join(words)
        known = ", ".join(filter(str.isalnum, pipe.known_words))
        typer.echo(f"warning: {pipe.name} does not know: {unknown}; it knows: {known}", err=True)
