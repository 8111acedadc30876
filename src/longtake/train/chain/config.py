"""What a chain may say: its data, its stages' recipes by name, and what each gate expects."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, model_validator

from longtake.errors import UserError
from longtake.models.policy import Policy
from longtake.train.config import LatentsConfig
from longtake.train.gates.config import GateConfig
from longtake.train.recipe_file import Strict, load_config

__all__ = ["STAGES", "ChainConfig", "StageName", "chain_config", "chain_names"]

StageName = Literal[
    "pretrain", "causal", "guidance", "ode-pairs", "ode", "consistency", "dmd", "self-forcing", "long-tuning"
]
STAGES: tuple[StageName, ...] = (
    "pretrain",
    "causal",
    "guidance",
    "ode-pairs",
    "ode",
    "consistency",
    "dmd",
    "self-forcing",
    "long-tuning",
)
"""Every stage, in order."""
FIRST: dict[str, tuple[StageName, ...]] = {
    "ode-pairs": ("causal",),
    "ode": ("ode-pairs",),
}
"""What a stage cannot do without, beside what comes before it."""


class ChainConfig(Strict):
    """A chain."""

    kind: Literal["chain"] = "chain"
    data: LatentsConfig = LatentsConfig()
    """The toybox set that is made when the command names no other."""
    pretrain: str | None = None
    """Recipe of `longtake train mini` (a name or a file); None: the chain begins with `base`."""
    base: str | None = None
    """Model whose weights the chain begins with and is taught by, when nothing is pretrained."""
    distil: str
    """Distillation with the recipes of the other stages: a name or a file."""
    stages: tuple[StageName, ...]
    """What is done, in this order."""
    teacher: Policy
    """How the pretrained model makes whole clips: its steps and its guidance."""
    gates: dict[StageName, GateConfig] = {}
    """What is expected after a stage; one that is not named here has a gate that only reports."""
    enforce: bool = True
    """Whether the chain stops at a gate that is not passed."""
    workers: NonNegativeInt = 1
    """Processes that render the toybox set."""

    @model_validator(mode="after")
    def _check_order(self) -> ChainConfig:
        order = [STAGES.index(stage) for stage in self.stages]
        if not order or order != sorted(set(order)):
            raise ValueError(f"stages {list(self.stages)}: give each once, in the order {', '.join(STAGES)}")
        missing = [
            first for stage in self.stages for first in FIRST.get(stage, ()) if first not in self.stages
        ]
        if missing:
            raise ValueError(f"stages: {missing[0]} is missing, which a later stage needs")
        unused = sorted(set(self.gates) - set(self.stages))
        if unused:
            raise ValueError(f"gates: {', '.join(unused)} is not among the stages")
        if "ode-pairs" in self.gates and self.gates["ode-pairs"].asked:
            raise ValueError("gates.ode-pairs.asked: the stage makes no model to measure; ask it of ode")
        return self

    @model_validator(mode="after")
    def _check_start(self) -> ChainConfig:
        if ("pretrain" in self.stages) != (self.pretrain is not None):
            raise ValueError("pretrain: name its recipe where the stage is done, and only there")
        if (self.pretrain is None) == (self.base is None):
            raise ValueError("base: a chain begins with pretraining or with a model, name one of them")
        return self


def chain_names() -> tuple[str, ...]:
    """Names of the chains in the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def chain_config(name_or_path: str) -> ChainConfig:
    """A chain by name, or a YAML file by path. Raises UserError that names the file, field and reason."""
    shipped = _folder() / f"{name_or_path}.yaml"
    path = shipped if shipped.is_file() and "/" not in name_or_path else Path(name_or_path)
    if not path.is_file():
        raise UserError(f"chain {name_or_path} is neither a file nor one of: {', '.join(chain_names())}")
    return load_config(str(path), ChainConfig)


def _folder() -> Path:
    return Path(str(files("longtake.train"))) / "recipes" / "chain"
