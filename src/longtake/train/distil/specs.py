"""What each stage of a distillation may say: its published or own numbers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from longtake.models.steps import OdeSpec as Sampling
from longtake.train.config import Levels, OptimiserConfig, Stage
from longtake.train.recipe_file import Strict


class LoraSpec(Strict):
    """A low-rank change of every linear layer in the transformer's blocks (arXiv 2106.09685)."""

    rank: PositiveInt
    alpha: PositiveFloat
    """The change counts alpha/rank."""


class Interpolation(Strict):
    """Weights between two models, each number by itself (WiSE-FT, arXiv 2109.01903; model soups, arXiv 2203.05482)."""

    share: float = Field(gt=0, le=1)
    """Of the way from the other model to what was trained."""
    other: str | None = None
    """A stage, this one or one before it: what its student began as. Or a model: a preset, a folder, a run's folder.
    None: what this stage's student began as."""


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
    interpolate: Interpolation | None = None
    """Where between beginning and end the result's weights lie; None: at the end."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.lora and self.interpolate and self.interpolate.other:
            raise ValueError(
                "interpolate.other needs all weights, lora trains a change beside what it began as"
            )
        return self

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


class GuidanceSpec(Training):
    """Guidance distillation: one pass in place of two."""

    grid: PositiveInt = 48
    """Noise levels that the blocks are drawn from."""
    guidance_scale: PositiveFloat = 3.0
    """Guidance of the teacher, in the standard form."""
    until: float = Field(default=0.0, ge=0, lt=1)
    """σ below which the teacher is not guided."""
    sampler: Sampling
    """The steps that the resulting model is run with."""


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
    until: float = Field(default=0.0, ge=0, lt=1)
    """σ below which the teacher is not guided."""


class ScoreSpec(Strict):
    """How real and fake score are asked."""

    guidance: NonNegativeFloat
    """w in `c + w·(c − u)`, as the papers count it: a guidance scale of w + 1 in the standard form."""
    until: float = Field(default=0.0, ge=0, lt=1)
    """σ below which the real score is not guided."""
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
