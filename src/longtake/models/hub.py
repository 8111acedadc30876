"""Models by name: presets as data, and where their weights are.

A preset is a YAML file in `presets/` (or `preset.yaml` in a folder of the user's own). It holds what belongs to a
checkpoint and to nobody else: step list, shift, window, sink, block, guidance, native size. A new model is a new file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import PositiveInt, ValidationError

from longtake.errors import UserError
from longtake.models.policy import Data, Policy

PRESET_FILE = "preset.yaml"
WEIGHT_FOLDERS = ("transformer", "codec", "text_encoder", "tokenizer")


class Native(Data):
    """The picture that a model was trained on."""

    width: PositiveInt
    height: PositiveInt
    fps: PositiveInt


class Preset(Data):
    """A model: what it is, where its weights are, how it streams."""

    name: str
    summary: str
    licence: str
    folder: str
    """Folder of the weights: inside the package's `weights/`, or beside `preset.yaml`."""
    native: Native
    policy: Policy


class Checkpoint(Data):
    """A preset together with the folder that its weights are in."""

    preset: Preset
    folder: Path

    @property
    def missing(self) -> tuple[str, ...]:
        """Parts of the folder that are not there."""
        return tuple(name for name in WEIGHT_FOLDERS if not (self.folder / name).is_dir())


def presets() -> dict[str, Preset]:
    """All models known by name."""
    sources = sorted(Path(str(files("longtake.models") / "presets")).glob("*.yaml"))
    return {preset.name: preset for preset in map(read_preset, sources)}


def read_preset(path: Path) -> Preset:
    """Read one preset file; UserError names the file, the field and what is wrong with it."""
    try:
        return Preset.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as reason:
        raise UserError(f"preset {path} cannot be read: {reason.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as reason:
        raise UserError(f"preset {path} is not valid YAML: {' '.join(str(reason).split())}") from None
    except ValidationError as reason:
        first = reason.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "preset"
        raise UserError(f"preset {path}: {field}: {first['msg']}") from None


def find(model: str | Path) -> Checkpoint:
    """The checkpoint for a preset's name or a folder with a `preset.yaml`.

    Raises UserError for an unknown name (lists the known ones) and for a folder that is incomplete.
    """
    known = presets()
    if str(model) in known:
        preset = known[str(model)]
        return _complete(
            Checkpoint(preset=preset, folder=Path(str(files("longtake") / "weights")) / preset.folder)
        )
    path = Path(model)
    if not path.is_dir():
        raise UserError(
            f"unknown model {str(model)!r}; known: {', '.join(known)}, or a folder with {PRESET_FILE}"
        )
    preset = read_preset(path / PRESET_FILE)
    return _complete(Checkpoint(preset=preset, folder=path / preset.folder))


def _complete(checkpoint: Checkpoint) -> Checkpoint:
    if checkpoint.missing:
        raise UserError(
            f"model {checkpoint.preset.name!r} lacks {', '.join(checkpoint.missing)} in {checkpoint.folder}; "
            "install longtake again, or restore the folder"
        )
    return checkpoint
