"""Models by name: presets as data, and where their weights are.

A preset is a YAML file in `presets/` (or `preset.yaml` in a folder of the user's own). It holds what belongs to a
checkpoint and to nobody else: its files and their licence, step list, shift, window, sink, block, guidance, native
size. A new model is a new file. Nothing here touches the network; `download.obtain` does.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import PositiveInt, ValidationError, model_validator

from longtake.errors import UserError
from longtake.models.home import models_folder
from longtake.models.network import Network
from longtake.models.parts import MEMORIES, OPTIONAL, Part, PartName, Shared
from longtake.models.places import Located, locate
from longtake.models.policy import Data, Policy

PRESET_FILE = "preset.yaml"
WEIGHT_FOLDERS: tuple[PartName, ...] = ("transformer", "codec", "text_encoder", "tokenizer")


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
    """Of the transformer's weights."""
    non_commercial: bool | None = False
    """Whether the licence forbids commercial use; None where its owners do not say."""
    folder: str | None = None
    """Folder of the weights: inside the package's `weights/`, or beside `preset.yaml`. None: they are on the Hub."""
    folders: dict[PartName, str | None] = {}
    """Folders of parts inside `folder` that are not called as the part is, so that two models can share the rest; null:
    the folder's part is another model's (memories, beside a transformer that they were not trained for)."""
    architecture: Literal["wan", "unet"] = "wan"
    """What kind of network the "transformer" is: Wan's, or a 3-D UNet with StreamingT2V's memories."""
    network: Network | None = None
    """Sizes of the transformer, for models on the Hub."""
    parts: dict[PartName, Part | Shared] = {}
    """What to take from the Hub."""
    native: Native
    policy: Policy

    @model_validator(mode="after")
    def _has_one_place(self) -> Preset:
        if (self.folder is None) == (not self.parts):
            raise ValueError("give either a folder with the weights, or parts on the Hub")
        if self.folders and self.folder is None:
            raise ValueError("folders: they are inside `folder`, which is missing")
        lacks_sizes = self.network is None and self.architecture == "wan"
        if self.parts and (lacks_sizes or not set(WEIGHT_FOLDERS) <= self.parts.keys()):
            raise ValueError(f"a model on the Hub needs its network's sizes and {', '.join(WEIGHT_FOLDERS)}")
        return self

    def part(self, name: PartName) -> Part:
        """A part on the Hub, wherever it is defined."""
        part = self.parts[name]
        return presets()[part.shared].part(name) if isinstance(part, Shared) else part

    @property
    def needed(self) -> tuple[PartName, ...]:
        """Parts that it cannot generate without."""
        if self.parts:
            return tuple(name for name in self.parts if name not in OPTIONAL)
        return (*WEIGHT_FOLDERS, "image_encoder") if self.policy.first_frame == "beside" else WEIGHT_FOLDERS

    @property
    def terms(self) -> str:
        """The licence of its weights and what it forbids, in plain words."""
        forbidden = {
            True: ", for non-commercial use only: not in a business, not to earn money",
            None: ", read it before any commercial use",
            False: "",
        }
        return self.licence + forbidden[self.non_commercial]

    @property
    def notice(self) -> str:
        """The terms in one line, with the page to read them on, for the moment of download."""
        page = f" ({self.part('transformer').page})" if self.parts else ""
        return f"weights of {self.name}: {self.terms}{page}"


class Checkpoint(Data):
    """A preset together with the places that its weights are in."""

    preset: Preset
    folder: Path | None = None
    """The folder that holds every part, where there is one."""
    parts: dict[PartName, Located] = {}
    """What is on disk."""

    @property
    def missing(self) -> tuple[PartName, ...]:
        """Needed parts that are not there."""
        return tuple(name for name in self.preset.needed if name not in self.parts)

    def part(self, name: PartName) -> Located:
        """Where a part is; UserError when it is not on disk."""
        if name not in self.parts:
            raise UserError(
                f"model {self.preset.name!r} lacks {name}; `longtake models` shows what is on disk"
            )
        return self.parts[name]


@cache
def presets() -> dict[str, Preset]:
    """All models known by name."""
    sources = Path(str(files("longtake.models") / "presets")).glob("*.yaml")
    return {preset.name: preset for preset in sorted(map(read_preset, sources), key=lambda p: p.name)}


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


def look_up(model: str | Path) -> Checkpoint:
    """The preset for a name or a folder with a `preset.yaml`, and as much of it as is on disk.

    Raises UserError for an unknown name (lists the known ones).
    """
    known = presets()
    if str(model) in known:
        preset = known[str(model)]
        if preset.folder is not None:
            return _in_folder(preset, Path(str(files("longtake") / "weights")) / preset.folder)
        found = {name: locate(preset.name, name, preset.part(name)) for name in preset.parts}
        own = models_folder() / preset.name
        found |= {name: Located.in_folder(own, name) for name in MEMORIES}
        return Checkpoint(preset=preset, parts={name: place for name, place in found.items() if place})
    path = Path(model)
    if not path.is_dir():
        raise UserError(
            f"unknown model {str(model)!r}; known: {', '.join(known)}, or a folder with {PRESET_FILE}"
        )
    preset = read_preset(path / PRESET_FILE)
    return _in_folder(preset, path / (preset.folder or "."))


def find(model: str | Path) -> Checkpoint:
    """The checkpoint for a preset's name or a folder with a `preset.yaml`, whole and on disk.

    Raises UserError for an unknown name and for a model of which something is missing, with what to do about it.
    """
    checkpoint = look_up(model)
    if not checkpoint.missing:
        return checkpoint
    preset, lacks = checkpoint.preset, ", ".join(checkpoint.missing)
    if checkpoint.folder is None:
        raise UserError(
            f"model {preset.name!r} is not on disk: it lacks {lacks}; `longtake download {preset.name}` fetches it"
        )
    raise UserError(
        f"model {preset.name!r} lacks {lacks} in {checkpoint.folder}; install longtake again, or restore the folder"
    )


def _in_folder(preset: Preset, folder: Path) -> Checkpoint:
    names: tuple[PartName, ...] = ("tiny_codec", "lora", "image_encoder", *MEMORIES, *WEIGHT_FOLDERS)
    own = [name for name in names if preset.folders.get(name, name) is not None]
    found = {name: Located.in_folder(folder, name, preset.folders.get(name)) for name in own}
    return Checkpoint(preset=preset, folder=folder, parts={k: place for k, place in found.items() if place})
