"""Protocols: prompts, lengths and seeds as data, and the making of their videos.

`longtake bench film` makes the videos of a protocol with any model, one file a prompt, and goes on where it was
stopped; `longtake eval FOLDER --prompts FOLDER/prompts.txt` measures them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from longtake.errors import UserError
from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.pipeline import Pipeline
from longtake.timeline import Cue, Timeline

__all__ = ["Protocol", "Shot", "film_protocol", "names", "read_protocol"]

Progress = Callable[[int, int, str], None]
"""Told after each video: how many are done, of how many, and its name."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Cue(_Strict):
    at: float
    prompt: str


class Shot(_Strict):
    """One video to be made."""

    kind: Literal["free", "static", "moving", "changing"]
    """What it shows, for tables by kind."""
    cues: tuple[_Cue, ...]
    """Its prompts, the first at 0."""

    @property
    def timeline(self) -> Timeline:
        """As a take wants it."""
        return Timeline(cues=tuple(Cue(prompt=cue.prompt, at=cue.at) for cue in self.cues))

    @property
    def prompt(self) -> str:
        """Its prompts in one line."""
        return " / ".join(cue.prompt for cue in self.cues)


class Protocol(_Strict):
    """What is made, and how long."""

    title: str
    """One line."""
    frames: PositiveInt
    """Frames of a video."""
    also: tuple[PositiveInt, ...] = ()
    """Other lengths at which the source reports figures."""
    seed: int = 0
    """Seed of the first video; each further one has the next."""
    prompts: tuple[Shot, ...]
    """The videos."""


def names() -> tuple[str, ...]:
    """The protocols that the package carries."""
    folder = resources.files("longtake.measure") / "protocols"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir()))


def read_protocol(name: str) -> Protocol:
    """One of `names()`, or a YAML file. Raises UserError for an unknown name or a broken file."""
    path = Path(name)
    if name in names():
        text = (resources.files("longtake.measure") / "protocols" / f"{name}.yaml").read_text("utf-8")
    elif path.suffix in (".yaml", ".yml"):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as reason:
            raise UserError(f"protocol {path} cannot be read: {reason}") from None
    else:
        raise UserError(f"protocol {name!r} is unknown; use {', '.join(names())}, or a YAML file")
    try:
        return Protocol.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as reason:
        raise UserError(f"protocol {name}: {_first_line(reason)}") from None


def _first_line(reason: ValidationError | yaml.YAMLError) -> str:
    if isinstance(reason, ValidationError):
        error = reason.errors()[0]
        return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
    return str(reason).splitlines()[0]


def film_protocol(
    pipe: Pipeline, protocol: Protocol, folder: Path, progress: Progress, *, frames: int | None = None
) -> list[Path]:
    """Make the videos that `folder` lacks, and `prompts.txt` beside them; the files in the order of the prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = "".join(f"{shot.prompt}\n" for shot in protocol.prompts)
    (folder / "prompts.txt").write_text(prompts, encoding="utf-8")
    digits = len(str(len(protocol.prompts)))
    paths = []
    for number, shot in enumerate(protocol.prompts):
        path = folder / f"{number + 1:0{digits}d}.mp4"
        if not path.exists():
            _film(pipe, shot, protocol.seed + number, frames or protocol.frames, path)
        paths.append(path)
        progress(number + 1, len(protocol.prompts), path.name)
    return paths


def _film(pipe: Pipeline, shot: Shot, seed: int, frames: int, path: Path) -> None:
    """A whole file or none."""
    form = VideoFormat(width=pipe.width, height=pipe.height, fps=pipe.fps)
    partial = path.with_name(f".{path.name}.part")
    with FragmentedMp4Writer(partial, form, overwrite=True) as writer:
        for chunk in pipe.stream(shot.timeline, seed=seed, num_frames=frames):
            writer.write(chunk.frames)
    os.replace(partial, path)
