"""`longtake generate`: a prompt or a storyboard in, a video file that grows while it is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from longtake.cli import options

if TYPE_CHECKING:
    from longtake.measure.watch import DriftWatch


def generate(
    prompt: Annotated[str | None, Argument(metavar="PROMPT", help="What is to be seen, in quotes.")] = None,
    storyboard: Annotated[
        Path | None,
        Option(metavar="FILE", help="YAML file of prompts that change over time, instead of one."),
    ] = None,
    seconds: Annotated[float | None, Option(metavar="S", help="Length; 10 unless given.")] = None,
    frames: Annotated[int | None, Option(metavar="N", help="Length in frames, instead of --seconds.")] = None,
    out: options.Growing = Path("take.mp4"),
    force: options.Force = False,
    seed: options.Seed = None,
    model: options.ModelName = "mini",
    size: options.Size = None,
    scale: options.Scale = 1,
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
    method: options.Method = None,
    anchor: Annotated[
        list[str] | None,
        Option(metavar="FRAME", help="Frame to hold on to (0, 2.5s, 0+40, 40@48), for StreamingT2V."),
    ] = None,
    apm: options.Apm = True,
    cam: options.Cam = True,
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
    provenance: options.Provenance = True,
    private: options.Private = False,
    journal: options.Journal = True,
    as_json: options.Summarised = False,
    quiet: options.Quiet = False,
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

    from longtake.cli.generation import Generation
    from longtake.settings import Settings

    settings = Settings(
        width=request.width,
        height=request.height,
        num_inference_steps=steps,
        anchors=tuple(anchor or ()),
        long_term=apm,
        short_term=cam,
        method=method,
    )
    Generation(
        request,
        settings,
        signing,
        beginning=beginning,
        journal=journal,
        watch=_drift_watch() if watch else None,
        quiet=quiet,
        as_json=as_json,
    ).run()


def _drift_watch() -> DriftWatch:
    from longtake.measure.watch import DriftWatch

    return DriftWatch()
