"""A take into its file, recorded or not; what the commands that write a video share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from longtake.chunk import Chunk
from longtake.cli.opening import Opening
from longtake.cli.signals import heed
from longtake.cli.signing import Signing
from longtake.errors import UserError
from longtake.journal import Recorded, RecordedTake
from longtake.media import FragmentedMp4Writer
from longtake.models.hub import presets
from longtake.take import Take


def held(take: Take | RecordedTake) -> AbstractContextManager[object]:
    """Lets a recorded take go at the end, whatever ends it."""
    return take if isinstance(take, RecordedTake) else nullcontext()


def into(writer: FragmentedMp4Writer, take: Take | RecordedTake, made: Chunk | Recorded) -> Chunk:
    """Write what a take has made into the file. Raises UserError when that fails; what is recorded stays."""
    heed()
    try:
        if isinstance(made, Chunk):
            writer.write(made.frames)
            return made
        assert isinstance(take, RecordedTake)
        writer.append(take.init_segment, made.segment)
        return made.chunk
    except OSError as error:
        again = f"`longtake takes resume {take.id}`" if isinstance(take, RecordedTake) else "start again"
        raise _unwritten(writer, error, again) from error


def write_frames(writer: FragmentedMp4Writer, frames: np.ndarray) -> None:
    """Write frames that no record keeps. Raises UserError when that fails."""
    heed()
    try:
        writer.write(frames)
    except OSError as error:
        raise _unwritten(writer, error, "start again") from error


def _unwritten(writer: FragmentedMp4Writer, error: OSError, again: str) -> UserError:
    kept = f"the {writer.frames} frames before it play" if writer.frames else "nothing was written"
    return UserError(f"{writer.path}: {error.strerror}; {kept}; make room and {again}")


def loading(model: str, opening: Opening, signing: Signing) -> Mapping[str, Any]:
    """What a record needs to know of a command, so that `takes` can go on with its take from any folder."""
    source = signing.source
    loras = [replace(lora, source=_anywhere(lora.source)) for lora in opening.loras]
    return {
        "model": model if model in presets() else str(Path(model).absolute()),
        "opening": replace(opening, loras=tuple(loras)).to_dict(),
        "provenance": signing.on,
        "private": signing.private,
        "source": None if source is None else [str(source.path.absolute()), source.relationship.value],
    }


def _anywhere(source: str) -> str:
    """A path that does not depend on the folder one is in; a repository's name stays."""
    return str(Path(source).absolute()) if Path(source).exists() else source
