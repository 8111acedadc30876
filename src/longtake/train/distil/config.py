"""What a distillation may say: the student's policy, and each stage with its published or own numbers.

A file in `recipes/distil/` describes a whole chain; a stage that it leaves out is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
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
from longtake.train.config import CropConfig, Levels, OptimiserConfig, Stage, TextConfig
from longtake.train.recipe_file import Strict, describe, load_config

__all__ = [
    "AdversarialSpec",
    "CausalSpec",
    "ConsistencySpec",
    "DistilConfig",
    "DmdSpec",
    "LongTuningSpec",
    "LoraSpec",
    "Models",
    "OdePairsSpec",
    "OdeSpec",
    "ScoreSpec",
    "SelfForcingSpec",
    "Training",
    "distil_config",
    "distil_names",
]


class LoraSpec(Strict):
    """A low-rank change of every linear layer in the transformer's blocks (arXiv 2106.09685)."""

    rank: PositiveInt
    alpha: PositiveFloat
    """The change counts alpha/rank."""


class Training(Strict):
    """What every stage that trains has."""

    steps: PositiveInt
    """Updates; of an adversarial stage those of the critic."""
    frames: PositiveInt
    """Latent frames of a clip."""
    batch_size: PositiveInt = 1
    """Clips of one process."""
    global_batch: PositiveInt | None = None
    """Clips of an update over all processes, as published; None: as many as the processes have."""
    levels: Levels = {1: 1.0}
    """Toybox levels and their weights."""
    decay_steps: NonNegativeInt = 0
    """Last steps, over which the learning rates fall to the share `lr_end`."""
    lr_end: NonNegativeFloat = 0.0
    optimiser: OptimiserConfig
    lora: LoraSpec | None = None
    """Train a low-rank change instead of all weights."""

    def stage(self, name: str) -> Stage:
        """As the training loop takes it."""
        return Stage(
            name=name,
            steps=self.steps,
            batch_size=self.batch_size,
            frames=self.frames,
            levels=self.levels,
            causal=1.0,
            decay_steps=self.decay_steps,
            lr_end=self.lr_end,
        )


class CausalSpec(Training):
    """Causal adaptation: flow matching under the block-causal mask."""

    noise: Literal["teacher", "blocks"] = "teacher"
    """teacher: clean copies of the past as context (teacher forcing); blocks: each block its own noise level
    (diffusion forcing)."""
    num_inference_steps: PositiveInt = 48
    """Euler steps that the resulting model is run with."""
    guidance_scale: PositiveFloat = 3.0
    """Guidance that the resulting model is run with."""


class OdePairsSpec(Strict):
    """Trajectories of a teacher's ODE, from noise to a clip."""

    teacher: Literal["bidirectional", "causal"] = "bidirectional"
    """Whole clips by the bidirectional teacher (CausVid), or block after block by a causal one (Causal-Forcing)."""
    pairs: PositiveInt
    """Trajectories to regress."""
    validation_pairs: NonNegativeInt = 0
    """Trajectories set aside."""
    shard_pairs: PositiveInt = 16
    """Trajectories of a file."""
    frames: PositiveInt
    """Latent frames of a clip."""
    num_inference_steps: PositiveInt
    """Euler steps; the student's timesteps must lie on their grid."""
    shift: PositiveFloat
    """Shift of the teacher's schedule."""
    guidance_scale: PositiveFloat
    """In the standard form `u + scale·(c − u)`."""
    levels: Levels = {1: 1.0}
    """Toybox levels that the captions come from, with weights."""


class OdeSpec(Training):
    """Regression on ODE pairs."""

    context: Literal["noisy", "clean"] = "noisy"
    """What a block sees of the past: the noisy states that were drawn for it (CausVid), or the trajectory's end, as is
    well-posed for pairs of a causal teacher (Causal-Forcing)."""


class ConsistencySpec(Training):
    """Causal consistency distillation, without stored pairs."""

    grid: PositiveInt = 48
    """Intervals between noise and clean."""
    guidance_scale: PositiveFloat = 3.0
    """Guidance of the teacher's step, in the standard form."""


class ScoreSpec(Strict):
    """How real and fake score are asked."""

    guidance: NonNegativeFloat
    """w in `c + w·(c − u)`, as the papers count it: a guidance scale of w + 1 in the standard form."""
    shift: PositiveFloat
    """Shift of the timestep at which the scores are compared."""
    lowest: float = Field(default=20.0, ge=0, le=1000)
    """Least timestep."""
    highest: float = Field(default=980.0, ge=0, le=1000)
    """Greatest timestep."""
    symmetric: bool = False
    """Whether teacher and critic are block-causal as the student is; the ablation, not the method."""
    table_shift: PositiveFloat | None = None
    """Shift of the table from which the scores take σ to turn velocity into clean latents, where it is another one
    (Self-Forcing's code: 8 beside 5); σ differs by half an entry at most, mostly below 1e-3."""


class AdversarialSpec(Training):
    """A stage with a critic."""

    ratio: PositiveInt = 5
    """Updates of the critic to one of the student."""
    scores: ScoreSpec
    critic: OptimiserConfig
    """What trains the critic."""
    critic_lora: LoraSpec | None = None
    """Train the critic as a low-rank change of the teacher, whose weights it then shares."""


class DmdSpec(AdversarialSpec):
    """Distribution matching on noised data (CausVid)."""

    backward_simulation: bool = False
    """Whether the inputs are states of the student's own sampling instead of noised data."""


class SelfForcingSpec(AdversarialSpec):
    """Distribution matching on the student's own rollouts."""

    noisy_context: bool = True
    """Whether a finished block gets noise of σ(0) before it is remembered; published training does, inference not."""
    grad_frames: PositiveInt | None = None
    """Last frames that are trained; None: all."""


class LongTuningSpec(SelfForcingSpec):
    """Streaming long tuning: a live rollout goes on from step to step."""

    length: PositiveInt
    """Latent frames of a sequence, after which a new one begins."""
    advance: PositiveInt
    """New latent frames a step, after a first one of `frames`."""
    switch: bool = True
    """Whether each sequence changes its prompt once."""
    image_latent: bool = False
    """Whether the first frame of a window in mid-sequence is encoded anew by itself, for teachers that know only clips
    from their beginning (Wan)."""


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
        for name in ("causal", "ode", "consistency", "dmd"):
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
