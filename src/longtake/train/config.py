"""What a training recipe may say. Read from YAML by `recipe_file.load_config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from longtake.train.recipe_file import Strict, check_choices

__all__ = [
    "CropConfig",
    "LatentsConfig",
    "Length",
    "Levels",
    "MiniConfig",
    "NoiseConfig",
    "OptimiserConfig",
    "Precision",
    "Share",
    "Stage",
    "Strict",
    "TextConfig",
    "TransformerConfig",
    "WordsConfig",
]

Share = Annotated[float, Field(ge=0, le=1)]
"""A probability."""
Weights = dict[str, NonNegativeFloat]
"""Named choices with relative weights."""
Levels = dict[int, NonNegativeFloat]
"""Toybox levels with relative weights."""
Precision = Literal["auto", "float32", "bfloat16"]
"""Number format of forward passes, see `device.choose_compute`."""
NOISE_MODES = ("shared", "blocks", "prefix", "prefix_block", "teacher")
CROPS = ("start", "middle", "sink")


class LatentsConfig(Strict):
    """The stored latent set."""

    clips: PositiveInt = 20_000
    """Training clips."""
    levels: Levels = {1: 0.6, 2: 0.3, 3: 0.1}
    """Shares of the toybox levels."""
    latent_frames: PositiveInt = 14
    """Latent frames of a clip."""
    size: PositiveInt = 96
    """Height and width in pixels."""
    fps: PositiveInt = 8
    """Pixel frames a second."""
    block: PositiveInt = 3
    """Latent frames of a streaming block; a jump clip begins with one."""
    jump_share: Share = 0.35
    """Share of clips that are a shot's first block followed by a stretch from later on."""
    longest_gap: PositiveFloat = 120.0
    """Seconds a jump skips, and the latest start of a shot, at most."""
    event_share: Share = 0.3
    """Share of clips in which a colour or a motion changes."""
    calm_share: Share = 0.0
    """Share of clips in which only what words can tell is left to chance (`sample_scene`): far easier to learn."""
    wordings: PositiveInt = 8
    """Captions kept for each stretch."""
    images: NonNegativeInt = 0
    """Single frames stored beside the clips, for stages of one latent frame; each is of a scene of its own."""
    shard_clips: PositiveInt = 500
    """Clips of a shard; a shard of single frames has ten times as many."""
    validation_clips: int = 64
    """Clips set aside, half of them of held-out combinations."""
    seed: int = 1
    """First of the seeds; refreshed shards take new ones."""


class TransformerConfig(Strict):
    """Size of the transformer, with diffusers' names. Latent channels come from the data, text width from `words`."""

    num_attention_heads: PositiveInt = 4
    attention_head_dim: PositiveInt = 64
    ffn_dim: PositiveInt = 1024
    num_layers: PositiveInt = 8
    freq_dim: PositiveInt = 256
    patch_size: tuple[int, int, int] = (1, 2, 2)


class WordsConfig(Strict):
    """Size of the text encoder that is trained beside the transformer."""

    d_model: PositiveInt = 128
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    d_ff: PositiveInt = 256
    max_length: PositiveInt = 64
    lessons: NonNegativeInt = 0
    """Steps in which it first learns what captions say, see `lessons.py`; at the beginning of a new run."""


class NoiseConfig(Strict):
    """Which noise levels a training sample gets. Modes: see `noise.py`."""

    causal: Weights = {"shared": 0.25, "blocks": 0.25, "prefix": 0.2, "prefix_block": 0.3}
    """Weights of the modes in block-causal batches."""
    bidirectional: Weights = {"shared": 0.7, "blocks": 0.1, "prefix": 0.2}
    """Weights of the modes in bidirectional batches."""
    sigma: Literal["uniform", "logit_normal"] = "uniform"
    """Distribution of σ before the shift."""
    shift: PositiveFloat = 3.0
    """σ' = shift·σ / (1 + (shift−1)·σ)."""
    light_share: Share = 0.5
    """Share of samples whose context is lightly noised instead of clean."""
    light_sigma: Share = 0.15
    """Highest σ of a lightly noised context."""

    @model_validator(mode="after")
    def _known_modes(self) -> NoiseConfig:
        check_choices("noise.causal", self.causal, NOISE_MODES)
        check_choices("noise.bidirectional", self.bidirectional, NOISE_MODES[:-1])
        return self


class CropConfig(Strict):
    """Which frames of a stored clip a sample gets."""

    weights: Weights = {"start": 0.5, "middle": 0.2, "sink": 0.3}
    """start: from the image latent on; middle: without it; sink: the shot's first block, then later frames."""

    @model_validator(mode="after")
    def _known_crops(self) -> CropConfig:
        check_choices("crops.weights", self.weights, CROPS)
        return self


class TextConfig(Strict):
    """How captions are given."""

    dropout: Share = 0.12
    """Share of samples with the empty caption."""
    dropout_everywhere: Share = 0.5
    """Share of those in which context frames lose their caption too."""
    lead: Share = 0.5
    """Share of samples in which a new caption begins with the block in which its event happens, not at the event."""


class OptimiserConfig(Strict):
    """Optimisers, gradient clipping and averaging."""

    hidden: Literal["muon", "adamw"] = "muon"
    """What trains the matrices of the transformer's blocks; AdamW trains the rest."""
    muon_lr: PositiveFloat = 0.01
    muon_weight_decay: NonNegativeFloat = 0.0
    momentum: Share = 0.95
    newton_schulz_steps: PositiveInt = 5
    adamw_lr: PositiveFloat = 1e-3
    adamw_weight_decay: NonNegativeFloat = 0.0
    betas: tuple[Share, Share] = (0.9, 0.98)
    clip: PositiveFloat = 1.0
    """Greatest norm of the gradient."""
    warmup_steps: PositiveInt = 100
    """Steps of a linear rise, at the start and after a restart from weights."""
    ema_gamma: PositiveFloat = 16.97
    """Exponent of the power-function average (Karras et al., arXiv 2312.02696); 16.97 averages the last 5 %."""
    ema_decay: Share | None = None
    """Fixed decay of the average, in place of the power function (Self-Forcing: 0.99)."""
    ema_first: PositiveInt = 1
    """Update at which an average of fixed decay begins; before, it is the weights themselves."""


class Length(Strict):
    """A length of clips that some steps of a stage train on instead of the stage's own."""

    share: Share
    """Share of such steps."""
    frames: PositiveInt
    """Latent frames of a clip."""
    batch_size: PositiveInt


class Stage(Strict):
    """One stretch of training on clips of one length, or of several by turns."""

    name: str
    steps: PositiveInt
    """Optimiser steps of the stage."""
    batch_size: PositiveInt
    frames: PositiveInt
    """Latent frames of a clip; 1 trains images."""
    levels: Levels = {1: 1.0}
    """Toybox levels and their weights."""
    causal: Share = 0.7
    """Share of block-causal batches; the others are bidirectional."""
    lr: NonNegativeFloat = 1.0
    """Factor on the learning rates."""
    decay_steps: int = 0
    """Last steps of the stage, over which the factor falls linearly to `lr_end`."""
    lr_end: NonNegativeFloat = 0.0
    noise: NoiseConfig | None = None
    """Noise of this stage, when it differs from the recipe's."""
    others: tuple[Length, ...] = ()
    """Other lengths among the steps. Lengths that take turns are not forgotten; those of stages in a row are."""

    @model_validator(mode="after")
    def _shares_left(self) -> Stage:
        if sum(length.share for length in self.others) >= 1:
            raise ValueError(
                f"stage {self.name}: the shares of `others` must leave some steps to {self.frames} frames"
            )
        return self

    @property
    def longest(self) -> int:
        """Latent frames of the longest clips that it trains on."""
        return max([self.frames, *(length.frames for length in self.others)])

    def drawn(self, number: float) -> Stage:
        """The stage with the length that a number in [0, 1) draws."""
        for length in self.others:
            if number < length.share:
                return self.model_copy(update={"frames": length.frames, "batch_size": length.batch_size})
            number -= length.share
        return self


class MiniConfig(Strict):
    """Pretraining of mini: transformer and text encoder together, under both masks."""

    kind: Literal["mini"] = "mini"
    seed: int = 0
    block: PositiveInt = 3
    """Latent frames of a block."""
    transformer: TransformerConfig = TransformerConfig()
    words: WordsConfig = WordsConfig()
    noise: NoiseConfig = NoiseConfig()
    crops: CropConfig = CropConfig()
    text: TextConfig = TextConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    shown: NonNegativeFloat = 0.0
    """Weight of the loss that asks what each token shows, see `shown.py`; the set must be of toybox."""
    stages: tuple[Stage, ...]
    precision: Precision = "auto"
    """auto: bfloat16 on CUDA and on CPUs that multiply it (AMX, AVX512-BF16), float32 elsewhere."""
    compile: bool = False
    """Whether the transformer's blocks go through torch.compile: minutes at the start of a stage, faster steps."""
    checkpoint_minutes: PositiveFloat = 10.0
    sample_minutes: PositiveFloat = 30.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 500
    prompts: tuple[str, ...] = ()
    """Prompts of the sample sheets."""

    @model_validator(mode="after")
    def _unique_stages(self) -> MiniConfig:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"stages {names}: give at least one, each under its own name")
        return self
