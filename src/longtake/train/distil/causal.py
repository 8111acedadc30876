"""Causal adaptation: a bidirectional model learns to go on from the past, by flow matching under a causal mask.

Two ways, both of which pretraining has as modes of noise (`train/noise.py`), so this *is* pretraining's recipe with one
mode and with a text encoder that stays as it is:

- teacher forcing: `‖v(x_t^i | x^{<i}) − (noise − x^i)‖²`, each noisy block i after clean copies of the past;
- diffusion forcing (arXiv 2407.01392): each block at a noise level of its own, the past as noisy as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from longtake.train.config import MiniConfig, NoiseConfig, TransformerConfig, WordsConfig
from longtake.train.device import Compute
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.specs import CausalSpec
from longtake.train.distil.stage import Roles
from longtake.train.mini import Mini
from longtake.train.preview import sample_sheet
from longtake.train.store import VALIDATION, LatentSet

__all__ = ["Causal"]


class Causal(Mini):
    """The recipe. See `recipe.Recipe`."""

    def __init__(
        self, spec: CausalSpec, config: DistilConfig, data: Path, roles: Roles, compute: Compute
    ) -> None:
        self.config, self.folder, self.compute, self.roles = as_mini(spec, config), data, compute, roles
        self.stages = self.config.stages
        self.data = LatentSet(data, seed=config.seed)
        self.networks = roles.student
        _, _, height, width = self.data.latent_shape
        self.grid = self.networks.transformer.config.grid(height, width)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, h, w)` of a latent frame."""
        channels, _, height, width = self.data.latent_shape
        return channels, height, width

    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """As pretraining's; nothing where the set has no clips set aside."""
        return super().validate(weights, frames) if (self.folder / f"{VALIDATION}.json").exists() else {}

    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """A sheet of clips of the config's prompts, by the averaged weights."""
        if self.config.prompts and self.roles.codec is not None:
            sample_sheet(self, weights, self.roles.codec, self.config.prompts, frames, path)


def as_mini(spec: CausalSpec, config: DistilConfig) -> MiniConfig:
    """The same, as pretraining's recipe; its sizes of networks are not used."""
    modes: dict[str, float] = {spec.noise: 1.0}
    return MiniConfig(
        seed=config.seed,
        block=config.student.block,
        transformer=TransformerConfig(),
        words=WordsConfig(),
        noise=NoiseConfig(causal=modes, shift=config.sampler.shift, light_share=0.0),
        crops=config.crops,
        text=config.text,
        optimiser=spec.optimiser,
        stages=(spec.stage("causal"),),
        prompts=config.prompts,
    )
