"""What a distillation may say: the student's policy, and the stages of its chain.

A file in `recipes/distil/` describes a whole chain; a stage that it leaves out is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from longtake.errors import UserError
from longtake.models.hub import Native, presets
from longtake.models.policy import Policy
from longtake.models.steps import FewStepSpec
from longtake.train.config import CropConfig, TextConfig
from longtake.train.distil.specs import (
    CausalSpec,
    ConsistencySpec,
    DmdSpec,
    GuidanceSpec,
    LongTuningSpec,
    OdePairsSpec,
    OdeSpec,
    SelfForcingSpec,
)
from longtake.train.recipe_file import Strict, describe, load_config

__all__ = [
    "DistilConfig",
    "Models",
    "distil_config",
    "distil_names",
]


class Models(Strict):
    """Models by name or folder, where the command does not say."""

    teacher: str | None = None
    critic: str | None = None
    """What the critic starts from; None: the teacher."""
    student: str | None = None
    """What the first stage starts from."""


class DistilConfig(Strict):
    """A chain of distillation."""

    kind: Literal["distil"] = "distil"
    seed: NonNegativeInt = 0
    native: Native
    """The picture that the student makes."""
    policy: Policy | str
    """How the student streams, with its step list; or the preset that says so."""
    models: Models = Models()
    crops: CropConfig = CropConfig(weights={"start": 1.0})
    text: TextConfig = TextConfig()
    """How captions are given to the causal adaptation; other stages never drop them."""
    causal: CausalSpec | None = None
    guidance: GuidanceSpec | None = None
    ode_pairs: OdePairsSpec | None = None
    ode: OdeSpec | None = None
    consistency: ConsistencySpec | None = None
    dmd: DmdSpec | None = None
    self_forcing: SelfForcingSpec | None = None
    long_tuning: LongTuningSpec | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    weights: Literal["float16", "bfloat16", "float32"] = "float16"
    """In what the students are stored."""
    checkpoint_minutes: PositiveFloat = 10.0
    sample_minutes: PositiveFloat = 30.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 250
    prompts: tuple[str, ...] = ()
    """Prompts of the sample sheets."""

    @property
    def student(self) -> Policy:
        """How the student streams."""
        return presets()[self.policy].policy if isinstance(self.policy, str) else self.policy

    @property
    def sampler(self) -> FewStepSpec:
        """The student's step list."""
        sampler = self.student.sampler
        assert isinstance(sampler, FewStepSpec)
        return sampler

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        if isinstance(self.policy, str) and self.policy not in presets():
            raise ValueError(f"policy {self.policy!r} is no preset; known are {', '.join(presets())}")
        if self.student.kind != "causal" or not isinstance(self.student.sampler, FewStepSpec):
            raise ValueError("policy: a student needs a causal window and a few-step sampler")
        return self

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        window = self.student.window.frames
        for name in ("causal", "guidance", "ode", "consistency", "dmd"):
            spec = getattr(self, name)
            if spec is not None and spec.frames > window:
                raise ValueError(
                    f"{name}.frames {spec.frames} is longer than the window of {window}; use {window} or less"
                )
        return self

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        block = self.student.block
        for name in ("self_forcing", "long_tuning"):
            spec = getattr(self, name)
            if spec is not None and spec.frames % block:
                raise ValueError(f"{name}.frames {spec.frames} is not in whole blocks of {block}")
        long = self.long_tuning
        if long is None:
            return self
        if long.batch_size != 1:
            raise ValueError("long_tuning.batch_size: a process has one live rollout; use 1")
        if long.advance % block or not 0 < long.advance <= long.frames <= long.length:
            raise ValueError(
                f"long_tuning: advance {long.advance} must be whole blocks of {block}, at most frames {long.frames}, "
                f"and these at most length {long.length}"
            )
        return self


def distil_names() -> tuple[str, ...]:
    """Names of the distillations in the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def distil_config(name_or_path: str, changes: Sequence[str] = ()) -> DistilConfig:
    """A distillation by name, or a YAML file by path. Raises UserError that names the file, field and reason.

    changes: `field=value` with a dotted field and a value in YAML, as `dmd.scores.symmetric=true`.
    """
    shipped = _folder() / f"{name_or_path}.yaml"
    path = shipped if shipped.is_file() and "/" not in name_or_path else Path(name_or_path)
    if not path.is_file():
        raise UserError(
            f"distillation {name_or_path} is neither a file nor one of: {', '.join(distil_names())}"
        )
    config = load_config(str(path), DistilConfig)
    if not changes:
        return config
    values = config.model_dump(mode="json", exclude_unset=True)
    for change in changes:
        _apply(values, change)
    try:
        return DistilConfig.model_validate(values)
    except ValidationError as reason:
        raise UserError(f"{name_or_path} with {', '.join(changes)}: {describe(reason)}") from None


def _apply(values: dict[str, Any], change: str) -> None:
    field, equals, text = change.partition("=")
    *path, last = field.split(".")
    for name in path:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {change}: {name} has no fields; name one of the config's")
    if not equals or not last:
        raise UserError(f"--set {change} cannot be read; write field=value, as dmd.steps=500")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {change}: {text} is not YAML; write field=value, as dmd.steps=500") from None


def _folder() -> Path:
    return Path(str(files("longtake.train"))) / "recipes" / "distil"
