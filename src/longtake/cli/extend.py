"""`longtake extend`: the user's own video in, the same video and what happens next out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from longtake.cli import options


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
    journal: options.Journal = True,
    as_json: options.Summarised = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a video of your own.

    Its last frames are encoded once and remembered; what is made follows on from them. The file has the model's size
    and frame rate: the video is scaled and cut to them, and comes first. Ctrl-C stops early and leaves a whole file.
    The take is recorded from those last frames on: `longtake takes` resumes, branches and exports it.

    \b
    longtake extend clip.mp4 "a red sphere rolls to the right on a wooden floor" --seconds 20
    """
    from longtake.cli.extension import Extension
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
    Extension(
        asked, signing, settings, only_new=only_new, journal=journal, quiet=quiet, as_json=as_json
    ).run()
