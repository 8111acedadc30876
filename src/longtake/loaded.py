"""A loaded model: its networks, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from longtake.adapters import Adapters
from longtake.enhance.enhancement import Enhancement
from longtake.enhance.enhancer import Enhancer
from longtake.enhance.settings import EnhanceSettings
from longtake.errors import UserError
from longtake.fitting import profile_for
from longtake.models.clip_text import ClipTextEncoder
from longtake.models.codec import Codec, frames_for_latents
from longtake.models.codecs import CodecChoice, codec_part
from longtake.models.device import compute_device, compute_dtype
from longtake.models.download import Line, obtain
from longtake.models.hub import Checkpoint, look_up
from longtake.models.image_encoder import ImageEncoder
from longtake.models.lora_set import LoraSet
from longtake.models.opening import open_model
from longtake.models.policy import Policy
from longtake.models.streaming.networks import MemoryNetworks
from longtake.models.text import TextEncoder
from longtake.models.tiled_codec import TiledCodec
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import WanTransformer
from longtake.timeline import Timeline
from longtake.variant import Variant


class Loaded(Adapters):
    """What a pipeline is made of, and what can be asked of it before any take."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        backbone: WanTransformer | StreamingUNet,
        codec: Codec,
        text_encoder: TextEncoder | ClipTextEncoder,
        image_encoder: ImageEncoder | None = None,
        memories: MemoryNetworks | None = None,
    ) -> None:
        self.preset = checkpoint.preset
        self.backbone = backbone
        self.codec = codec
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.memories = memories or MemoryNetworks()
        self._loras = LoraSet(backbone)
        self.folder = checkpoint.folder

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        torch_dtype: torch.dtype | None = None,
        profile: str | None = None,
        codec: CodecChoice = "full",
        line: Line | None = None,
        allow_pt: bool = True,
    ) -> Self:
        """Load a preset by name or a folder. A model on the Hub is fetched when it is not on disk.

        torch_dtype: what this hardware computes fast, unless given. profile: one that `longtake doctor --model` lists;
        unless given the fastest that fits here at the native size, with a warning when that is not the plain one.
        codec: "tiny" for a small one on the same latents, which decodes many times faster and blurs a little.
        line: how the Hub is reached, and who is told. allow_pt: false refuses weights that are not safetensors.
        """
        part = codec_part(look_up(model), codec)
        checkpoint, device = obtain(model, line, also=[part]), compute_device()
        dtype = torch_dtype or compute_dtype().dtype
        chosen = profile_for(checkpoint, profile, dtype, device, codec)
        networks = open_model(
            checkpoint, dtype=dtype, device=device, profile=chosen, codec=codec, allow_pt=allow_pt
        )
        return cls(checkpoint, *networks)

    def with_policy(self, policy: Policy) -> Self:
        """The same networks, streamed in another way; for comparisons and experiments."""
        other = copy(self)
        other.preset = self.preset.model_copy(update={"policy": policy})
        return other

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.preset.name

    @property
    def variant(self) -> Variant:
        """What its networks are beside the name: codec and LoRAs."""
        codec = self.codec.codec if isinstance(self.codec, TiledCodec) else self.codec
        return Variant(codec=type(codec).__name__, loras=self._loras.applied)

    @property
    def fps(self) -> int:
        """Frames a second of everything that it makes."""
        return self.preset.native.fps

    @property
    def width(self) -> int:
        """Native width in pixels."""
        return self.preset.native.width

    @property
    def height(self) -> int:
        """Native height in pixels."""
        return self.preset.native.height

    @property
    def longest(self) -> int | None:
        """Most pixel frames of one take; None when there is no end."""
        policy = self.preset.policy
        if policy.rollout is not None or isinstance(self.backbone, StreamingUNet):
            return None
        latents = policy.longest(self.backbone.config.rope_max_seq_len)
        return None if latents is None else frames_for_latents(latents, self.codec.temporal_stride)

    @property
    def known_words(self) -> tuple[str, ...]:
        """The words that the model was trained on; empty when it takes free text."""
        return self.text_encoder.known_words

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the model does not know."""
        return self.text_encoder.unknown_words(prompt)

    @cached_property
    def enhancer(self) -> Enhancer:
        """What makes this model's video larger and cleaner; UserError when it has none."""
        if not isinstance(self.text_encoder, TextEncoder):
            raise UserError(f"{self.name!r} has no enhancer of its own; enhance its video with another model")
        return Enhancer.of_model(self.folder, self.name, self.codec, self.text_encoder)

    def enhance(
        self,
        video: Iterable[Any],
        prompt: str | Timeline,
        *,
        seed: int = 0,
        settings: EnhanceSettings | None = None,
    ) -> Enhancement:
        """A take, or other video at this model's frame rate, made larger and cleaner while it comes in.

        See `Enhancer.stream`. Raises UserError when the model has no enhancer.
        """
        return self.enhancer.stream(video, prompt, fps=self.fps, seed=seed, settings=settings)
