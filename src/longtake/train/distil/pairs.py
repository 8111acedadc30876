"""Stored ODE pairs, to draw from.

A folder holds shards, `pairs-<number>.safetensors` (`states [n, K + 1, C, F, h, w]` float16: the states *before* the K
steps of the student's list, then the clip) beside `.json` (captions), which marks a shard as finished; `pairs.json`
says for which timesteps they were made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtake.errors import UserError
from longtake.train.distil.flow import StepLevels

__all__ = ["FORMAT", "SETTINGS", "VALIDATION", "Pairs"]

FORMAT = 1
SETTINGS = "pairs.json"
VALIDATION = "validation"


class Pairs:
    """Stored pairs to draw from."""

    def __init__(self, folder: Path, levels: StepLevels, names: Sequence[str] | None = None) -> None:
        """Raises UserError when there are none, or they were made for another step list."""
        self.folder = folder
        found = tuple(sorted(path.stem for path in folder.glob("pairs-*.json")))
        self.names = tuple(names) if names is not None else found
        if not self.names:
            raise UserError(
                f"{folder} holds no ODE pairs; make them: longtake train stage ode-pairs --out {folder}"
            )
        made_for = tuple(json.loads((folder / SETTINGS).read_text())["timesteps"])
        if not np.allclose(made_for, levels.timesteps):
            raise UserError(
                f"the pairs in {folder} were made for the timesteps {list(made_for)}, the student has "
                f"{list(levels.timesteps)}; make others, or use the config they were made with"
            )
        self._captions = {name: self._read_captions(name) for name in self.names}
        self._places = [(name, i) for name in self.names for i in range(len(self._captions[name]))]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def has_validation(self) -> bool:
        """Whether pairs were set aside."""
        return (self.folder / f"{VALIDATION}.json").exists()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[str]]:
        """States `[count, K + 1, C, F, h, w]` float32 and captions of pairs drawn at random."""
        chosen = [self._places[int(i)] for i in rng.integers(len(self._places), size=count)]
        states = torch.stack([self._states(name)[place].float() for name, place in chosen])
        return states, [self._captions[name][place] for name, place in chosen]

    def validation(self, most: int) -> tuple[Tensor, list[str]]:
        """Up to `most` of the pairs set aside."""
        return self._states(VALIDATION)[:most].float(), self._read_captions(VALIDATION)[:most]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, h, w)` of a latent frame."""
        _, _, channels, _, height, width = self._states(self.names[0]).shape
        return channels, height, width

    def _states(self, name: str) -> Tensor:
        path = self.folder / f"{name}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                states: Tensor = file.get_tensor("states")
        except (OSError, SafetensorError) as reason:
            raise UserError(
                f"pairs {path} cannot be read ({reason}); delete them and make them again"
            ) from None
        return states

    def _read_captions(self, name: str) -> list[str]:
        captions: list[str] = json.loads((self.folder / f"{name}.json").read_text())["captions"]
        return captions
