"""Options that several commands have in common, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

__all__ = [
    "Apm",
    "AsJson",
    "Cam",
    "Force",
    "Growing",
    "Journal",
    "Method",
    "ModelName",
    "Private",
    "Provenance",
    "Quiet",
    "Scale",
    "Seed",
    "Size",
    "Summarised",
]

Growing = Annotated[
    Path, Option("--out", "-o", metavar="FILE", help="The MP4 file; watch it while it grows.")
]
Force = Annotated[bool, Option("--force", "-f", help="Replace the file if it is there.")]
Seed = Annotated[
    int | None, Option("--seed", metavar="N", help="Same seed, same video; drawn and shown unless given.")
]
ModelName = Annotated[
    str, Option("--model", metavar="NAME", help="One that `longtake models` lists, or a folder.")
]
Size = Annotated[
    str | None,
    Option("--size", metavar="WxH", help="Picture that the model makes; its native size unless given."),
]
Scale = Annotated[int, Option("--scale", metavar="N", help="Enlarge the file's picture so many times.")]
Method = Annotated[
    str | None,
    Option(
        "--method",
        metavar="NAME",
        help="streamingt2v, for a model with its memories; else the model's own.",
    ),
]
Apm = Annotated[bool, Option("--apm/--no-apm", help="Hold on to anchors (StreamingT2V's long-term memory).")]
Cam = Annotated[
    bool, Option("--cam/--no-cam", help="Go on from the last frames (StreamingT2V's short-term memory).")
]
Journal = Annotated[
    bool,
    Option("--journal/--no-journal", help="Record the take: `longtake takes` resumes and branches it."),
]
Provenance = Annotated[
    bool,
    Option("--provenance/--no-provenance", help="Sign the finished file: made by a model, with which."),
]
Private = Annotated[
    bool, Option("--private", help="Leave prompts and the names of inputs out of what is signed.")
]
Summarised = Annotated[bool, Option("--json", help="Print the summary as one JSON object.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="No progress line.")]
