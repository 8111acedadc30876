"""How a model that makes clips of one length makes long video, as data. Lengths are latent frames."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from longtake.models.data import Data


class Overlap(Data):
    """Causal rollouts that each begin from the end of the last one, its first frame encoded anew (CausVid)."""

    kind: Literal["overlap"]
    frames: PositiveInt
    """Latent frames that two rollouts share; a multiple of the block."""


class LastFrame(Data):
    """Clips that each begin from the last pixel frame of the one before: naive image-to-video continuation."""

    kind: Literal["last-frame"]


class Tail(Data):
    """Clips that each begin with the last latent frames of the one before, as they are (Emu Video's extension)."""

    kind: Literal["tail"]
    frames: PositiveInt
    """Latent frames that are carried on."""


class Fifo(Data):
    """A queue whose frames are at rising noise levels; every pass finishes one (FIFO-Diffusion)."""

    kind: Literal["fifo"]
    clips: PositiveInt = 1
    """Clips' lengths in the queue; steps of the sampler = frames in the queue."""


class Windows(Data):
    """The whole length at once, in windows of a clip's length that overlap."""

    kind: Literal["windows"]
    stride: PositiveInt
    """Frames between the starts of two windows."""
    fuse: Literal["prediction", "attention"]
    """Where overlaps are averaged: the network's predictions (Gen-L-Video) or self-attention (FreeNoise)."""
    shuffled_noise: bool = False
    """Whether later frames start from shuffled copies of the first clip's noise (FreeNoise)."""
    limit: PositiveInt = 301
    """Most latent frames; memory grows with the length."""


class AnchorSpec(Data):
    """Pixel frames of the take that it holds on to; of several, their mean."""

    frames: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    since: NonNegativeInt = 0
    """Pixel frame from which on they count."""


class Streaming(Data):
    """Clips that each show again the end of the one before and go on, with two memories (StreamingT2V)."""

    kind: Literal["streamingt2v"]
    shared: PositiveInt
    """Latent frames of a clip that show again what came before."""
    first: PositiveInt | None = None
    """Latent frames of the first clip; None: as many as the others have."""
    short_term: bool = True
    """Whether clips go on from the last frames before them (CAM)."""
    long_term: bool = True
    """Whether the take holds on to anchors (APM)."""
    anchors: Annotated[tuple[AnchorSpec, ...], Field(min_length=1)] = (AnchorSpec(),)
    """The last one whose time has come counts."""
    anchor_with_prompt: bool = False
    """Whether the first frame under a new prompt becomes the anchor."""
    anchor_scale: float | None = Field(default=None, ge=0)
    """Weight of the anchor in guidance; None: that of the text, which saves a branch."""


RolloutSpec = Annotated[Overlap | LastFrame | Tail | Fifo | Windows | Streaming, Field(discriminator="kind")]
