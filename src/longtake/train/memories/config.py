"""What the recipes of short-term and long-term memory may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from longtake.models.streaming.config import Fusion
from longtake.train.config import OptimiserConfig, Precision, Share, Stage, Strict

Kind = Literal["cam", "apm"]


class CamSizes(Strict):
    """Short-term memory."""

    fusion: Fusion = "attend"
    """How it enters; `add` and `concat` are what the paper compares it with."""
    last_layers: PositiveInt = 4
    """How many of the transformer's last blocks read it."""
    encoder_layers: PositiveInt = 2
    """Blocks of its encoder."""
    frames: PositiveInt = 2
    """Latent frames before a clip that it remembers."""


class ApmSizes(Strict):
    """Long-term memory."""

    image_tokens: PositiveInt = 16
    """Tokens of an anchor."""
    width: PositiveInt = 64
    """Channels of the picture encoder's first layer."""
    pool: PositiveInt = 2
    """Rows and columns that its last layer is averaged to."""
    hidden: PositiveInt = 256
    """Inner width of the layers that make tokens."""
    alpha: float = 0.0
    """α at the beginning: what is mixed in is weighed by SiLU(α). At 0, as published, fresh mixings change nothing."""
    gain: PositiveFloat = 1.0
    """Weight of the mixings' norms at the beginning: about the spread of the text rows that they are added to.

    Beside rows that spread by 0.05, as mini's, mixings of unit spread only disturb, and α learns to stay at 0.
    """


class DropoutConfig(Strict):
    """Conditions that are left out in training, as published: shares of samples."""

    text: Share = 0.05
    """The prompt alone."""
    anchor: Share = 0.05
    """The anchor alone."""
    both: Share = 0.05
    """Both."""

    @model_validator(mode="after")
    def _fits(self) -> DropoutConfig:
        if self.text + self.anchor + self.both > 1:
            raise ValueError("the shares of dropped conditions add up to more than 1; lower them")
        return self


class OwnPastConfig(Strict):
    """Samples whose frames before are not the stored ones but the networks' own, as they are now.

    The stored ones are noised and denoised again from what came before them, so that they keep their places and have
    the faults that takes have; what is to be made of them stays the true clip. They are meant against faults that one
    clip takes over from the one before. With `kind: apm` their anchors are made again too, as single pictures.
    """

    share: Share = 0.0
    """Of the samples that have enough frames before."""
    sigmas: tuple[Share, Share] = (0.5, 0.9)
    """Between which the noise begins."""
    steps: PositiveInt = 2
    """Euler steps back to none."""
    anchors: Share = 1.0
    """Share of that noise for the anchors: of less noise they stay truer than the frames before, worth going by."""


FolderName = Annotated[str, Field(pattern=r"^[\w-]+$")]


class GuidedConfig(Strict):
    """Targets that guidance has led, for the memories of a network that was distilled to it.

    Such a network's own prediction is not the mean of what may come; against true velocities a memory would learn
    above all to undo that. So what guidance adds, by the network before distillation and a short-term memory of its
    own, is added to the target: `noise − clean + (scale − 1) · (v(x | prompt, past) − v(x | past))`.
    """

    network: FolderName = "transformer"
    """Folder of the network before distillation."""
    scale: Annotated[float, Field(gt=1)] = 3.0
    """Of guidance by the prompt."""
    until: Share = 0.0
    """Lowest σ that is guided, as in the distillation of the network."""


class MemoryRecipe(Strict):
    """Everything that decides the memories of a transformer. A stage's `frames` are those of a clip."""

    kind: Kind
    """cam: short-term memory, the transformer frozen. apm: long-term memory, and the short-term one with it."""
    seed: int = 0
    network: FolderName = "transformer"
    """Folder of the model in which the transformer lies that takes will be made with."""
    cam: CamSizes = CamSizes()
    """Of `kind: cam`; `apm` takes the short-term memory that it is given, and the length of its past with it."""
    apm: ApmSizes = ApmSizes()
    dropout: DropoutConfig = DropoutConfig()
    """Of the anchor only with `kind: apm`."""
    block: PositiveInt = 3
    """Latent frames of the first part of a stored clip that jumps."""
    jump_share: Share = 0.5
    """Share of samples whose anchor is from long before, with `kind: apm`."""
    light_share: Share = 0.5
    """Share of samples whose frames before are lightly noised: in use they are the model's own, not perfect."""
    light_sigma: Share = 0.1
    """Highest σ of these."""
    own: OwnPastConfig = OwnPastConfig()
    guided: GuidedConfig | None = None
    """For a network that was distilled to guidance."""
    shift: PositiveFloat = 3.0
    """Of the noise levels, σ' = shift·σ / (1 + (shift−1)·σ)."""
    new_weight: NonNegativeFloat = 1.0
    """Weight in the loss of a clip's new frames, those that it shows again having 1."""
    stages: tuple[Stage, ...]
    optimiser: OptimiserConfig = OptimiserConfig(hidden="adamw")
    precision: Precision = "auto"
    """As for mini."""
    checkpoint_minutes: PositiveFloat = 8.0
    sample_minutes: PositiveFloat = 15.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 200

    @model_validator(mode="after")
    def _one_length(self) -> MemoryRecipe:
        lengths = {stage.frames for stage in self.stages}
        if len(lengths) != 1:
            raise ValueError(f"stages with clips of {sorted(lengths)} frames: all need one length")
        if self.kind == "cam" and self.clip <= self.cam.frames:
            raise ValueError(
                f"clips of {self.clip} frames need to be longer than the {self.cam.frames} frames that are shown again"
            )
        return self

    @property
    def clip(self) -> int:
        """Latent frames of a clip."""
        return self.stages[0].frames
