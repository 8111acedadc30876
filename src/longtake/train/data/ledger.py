"""What a set of footage remembers of its making, so that it can be stopped anywhere and grown later.

`footage.json` holds the config and the order of the videos; a video that appears later goes to the end. How far the
set has come stands in the sidecar of each shard (`next`), so a shard and the place after it appear together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import UserError
from longtake.train.counters import numbers
from longtake.train.data.config import DataConfig
from longtake.train.shard_file import write_text
from longtake.train.store import VALIDATION, shard_names

__all__ = ["LEDGER", "Ledger", "Skipped", "is_footage"]

LEDGER = "footage.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A video that gave no clip, or not all of them."""

    key: str
    """Which."""
    reason: str
    """Why, in words."""


def is_footage(folder: Path) -> bool:
    """Whether a folder holds a set of footage."""
    return (folder / LEDGER).is_file()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """The order of a set's videos, and which are set aside."""

    folder: Path
    """Folder of the set."""
    config: DataConfig
    """What it is made like."""
    validation: tuple[str, ...]
    """Keys of the videos that are set aside."""
    train: tuple[str, ...]
    """Keys of the others, in the order in which they are cut."""

    @classmethod
    def open(cls, folder: Path, config: DataConfig, keys: Sequence[str]) -> Ledger:
        """The ledger of a set, begun or gone on with. Raises UserError when the folder holds another set."""
        folder.mkdir(parents=True, exist_ok=True)
        if not is_footage(folder):
            if shard_names(folder):
                raise UserError(f"{folder} holds a set of another kind; give another folder")
            aside = _drawn(keys, config)
            rest = tuple(key for key in keys if key not in aside)
            ledger = cls(folder=folder, config=config, validation=aside, train=rest)
        else:
            ledger = _grown(read(folder), config, keys)
        ledger.save()
        return ledger

    def save(self) -> None:
        """Write `footage.json`."""
        values = {
            "config": self.config.model_dump(mode="json"),
            "validation": self.validation,
            "train": self.train,
        }
        try:
            write_text(self.folder / LEDGER, json.dumps(values, indent=1) + "\n")
        except OSError as reason:
            raise UserError(f"{self.folder / LEDGER} cannot be written ({reason.strerror})") from None

    def place(self) -> tuple[int, int]:
        """Video of `train` and clip of it that come next."""
        sidecars = self.sidecars()
        video, clip = sidecars[-1]["next"] if sidecars else (0, 0)
        return video, clip

    def sidecars(self) -> list[dict[str, Any]]:
        """Of all finished training shards, oldest first."""
        return [_read_json(self.folder / f"{name}.json") for name in shard_names(self.folder)]

    def skipped(self) -> list[Skipped]:
        """Everything that finished shards left out."""
        path = self.folder / f"{VALIDATION}.json"
        first = [_read_json(path)] if path.exists() else []
        return [Skipped(**entry) for sidecar in first + self.sidecars() for entry in sidecar["skipped"]]


def read(folder: Path) -> Ledger:
    """The ledger of a set of footage."""
    values = _read_json(folder / LEDGER)
    return Ledger(
        folder=folder,
        config=DataConfig.model_validate(values["config"]),
        validation=tuple(values["validation"]),
        train=tuple(values["train"]),
    )


def _grown(kept: Ledger, config: DataConfig, keys: Sequence[str]) -> Ledger:
    """A ledger that is there, with new videos at the end."""
    now, before = config.model_dump(), kept.config.model_dump()
    changed = [f"{name} {before[name]!r}" for name in now if now[name] != before[name]]
    if changed:
        raise UserError(
            f"{kept.folder} holds a set made with {', '.join(changed)}; keep that, or give another folder"
        )
    known = {*kept.validation, *kept.train}
    new = tuple(key for key in keys if key not in known)
    return Ledger(folder=kept.folder, config=config, validation=kept.validation, train=kept.train + new)


def _drawn(keys: Iterable[str], config: DataConfig) -> tuple[str, ...]:
    """The videos to set aside: a share of all, at least one and never all."""
    order = sorted(keys)
    if config.validation_clips == 0:
        return ()
    count = min(max(1, round(config.validation_share * len(order))), len(order) - 1)
    chosen = numbers(config.seed, "footage").permutation(len(order))[:count]
    return tuple(order[i] for i in sorted(chosen))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as reason:
        raise UserError(f"{path} cannot be read ({reason}); delete the set and make it again") from None
    return values
