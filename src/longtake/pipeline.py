"""A loaded model: make a whole clip with diffusers' words, or stream a take."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.adapters import Adapters
from longtake.chunk import Observer
from longtake.director import Director
from longtake.engine import Engine, TakeState
from longtake.enhance.enhancement import Enhancement
from longtake.enhance.enhancer import Enhancer
from longtake.enhance.settings import EnhanceSettings
from longtake.errors import UserError
from longtake.filling import Filling
from longtake.footage import ImageInput, VideoInput
from longtake.forecast import profile_for
from longtake.memory.chosen import check_anchors
from longtake.methods import Kind
from longtake.methods.build import build
from longtake.models.clip_text import ClipTextEncoder
from longtake.models.codec import Codec, frames_for_latents, latents_for_frames
from longtake.models.codecs import CodecChoice, codec_part
from longtake.models.device import compute_device, compute_dtype
from longtake.models.download import Line, obtain
from longtake.models.hub import Checkpoint, look_up
from longtake.models.image_encoder import ImageEncoder
from longtake.models.lora_set import LoraSet
from longtake.models.opening import open_model
from longtake.models.policy import Policy
from longtake.models.prompt import parse
from longtake.models.text import TextEncoder
from longtake.models.tiled_codec import TiledCodec
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import TextContext, WanTransformer
from longtake.output import OUTPUT_TYPES, OutputType, VideoOutput, as_type
from longtake.sampling import OnStep
from longtake.sampling.noise import CounterNoise, PreparedNoise
from longtake.settings import Settings, warn_of_length
from longtake.slots import Slot
from longtake.slots.pictures import Pictures
from longtake.slots.source import Source
from longtake.snapshot import Snapshot
from longtake.take import Take
from longtake.timeline import Timeline
from longtake.variant import Variant

DEFAULT_SECONDS = 4

StepCallback = Callable[["Pipeline", int, float, dict[str, Tensor]], dict[str, Tensor]]
"""diffusers' `callback_on_step_end(pipe, step, timestep, callback_kwargs) → dict`; the dict holds `latents`."""


class Pipeline(Adapters):
    """A model ready to generate. Any number of takes can be made with it, each with its own state."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        backbone: WanTransformer | StreamingUNet,
        codec: Codec,
        text_encoder: TextEncoder | ClipTextEncoder,
        image_encoder: ImageEncoder | None = None,
    ) -> None:
        self.preset = checkpoint.preset
        self.backbone = backbone
        self.codec = codec
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
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
    ) -> Pipeline:
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

    def with_policy(self, policy: Policy) -> Pipeline:
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

    def stream(
        self,
        prompt: str | Timeline,
        *,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        num_frames: int | None = None,
        settings: Settings | None = None,
        latents: Tensor | None = None,
        image: ImageInput | None = None,
        last_image: ImageInput | None = None,
        video: VideoInput | None = None,
        strength: float | None = None,
        observers: Sequence[Observer] = (),
        callback_on_step_end: StepCallback | None = None,
        decode_beside: bool | None = None,
    ) -> Take:
        """A take of `prompt` (or of a timeline), endless unless `num_frames` is given. Iterate it for chunks.

        seed: decides every random number; one is drawn when neither it nor `generator` (read for its
        `initial_seed()`) is given. latents: prepared initial noise `[1, C, T, h, w]`. image: the first frame;
        last_image: the last of a clip. video: what the take is made from, a file or an iterable of frames that may be
        live; the take ends with it, and `strength` says how much of it is replaced. All are scaled and cut to the
        take's size. decode_beside: see `Take`; by default where a GPU decodes. Raises UserError for values that cannot
        be used.
        """
        timeline = prompt if isinstance(prompt, Timeline) else Timeline.from_prompt(prompt)
        seed = _seed(seed, generator)
        settings = settings or Settings()
        parse(settings.negative_prompt)
        slots = self._filling(settings).fill(image, video, strength, last_image)
        check_anchors(settings.applied(self.preset).policy, num_frames)
        engine = self._engine(settings, slots)
        if engine.method.kind is Kind.JOINT and len(timeline.cues) > 1:
            raise UserError(f"{self.name!r} makes the whole video at once, under one prompt; give one cue")
        if video is None:
            warn_of_length(self.preset, num_frames, self.codec.temporal_stride)
        if last_image is not None and num_frames is not None:
            latents_for_frames(num_frames, self.codec.temporal_stride)  # or it would not be the last
        director = Director(timeline.cues, interpolate=self.preset.policy.interpolate)
        return Take(
            engine,
            TakeState.start(engine, director, slots),
            seed=seed,
            num_frames=num_frames,
            noise=None if latents is None else PreparedNoise(latents, CounterNoise(seed)),
            observers=observers,
            on_step=self._on_step(callback_on_step_end),
            decode_beside=self._decodes_beside(decode_beside),
        )

    def restore(
        self, snapshot: Snapshot, *, video: VideoInput | None = None, decode_beside: bool | None = None
    ) -> Take:
        """Go on with the take that `snapshot` was taken from, with the same bytes as if it had never stopped.

        video: a live source video, from where it stood. Raises UserError when the snapshot is of another model, or
        the source video is not there any more.
        """
        settings = Settings(**snapshot.meta["settings"])
        slots = self._filling(settings).refill(snapshot, video)
        engine = self._engine(settings, slots)
        return Take.restored(engine, snapshot, slots, decode_beside=self._decodes_beside(decode_beside))

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

    def __call__(
        self,
        prompt: str | Timeline,
        *,
        negative_prompt: str = "",
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        image: ImageInput | None = None,
        last_image: ImageInput | None = None,
        video: VideoInput | None = None,
        strength: float | None = None,
        output_type: OutputType = "np",
        callback_on_step_end: StepCallback | None = None,
    ) -> VideoOutput:
        """Make a whole clip, with the arguments of diffusers' video pipelines.

        It is as long as `video`, or four seconds by default. See `stream` for images, video and strength.
        """
        if output_type not in OUTPUT_TYPES:
            raise UserError(f"output_type {output_type!r} is unknown; use one of {', '.join(OUTPUT_TYPES)}")
        settings = Settings(
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            negative_prompt=negative_prompt,
        )
        if num_frames is None and video is None:
            num_frames = DEFAULT_SECONDS * self.fps
        take = self.stream(
            prompt,
            generator=generator,
            num_frames=num_frames,
            settings=settings,
            latents=latents,
            image=image,
            last_image=last_image,
            video=video,
            strength=strength,
            callback_on_step_end=callback_on_step_end,
        )
        chunks = list(take)
        if output_type == "latent":
            return VideoOutput(frames=torch.cat([chunk.latents for chunk in chunks], dim=2))
        return VideoOutput(frames=as_type(output_type, np.concatenate([chunk.frames for chunk in chunks])))

    def _engine(self, settings: Settings, slots: Sequence[Slot]) -> Engine:
        """What a take is made with. A take from a video is one rollout: its latent frames follow the source's."""
        preset, stride = settings.applied(self.preset), self.codec.spatial_stride
        from_video = any(slot.kind == Source.kind for slot in slots)
        policy = preset.policy.model_copy(update={"rollout": None}) if from_video else preset.policy
        height, width = self._size(settings)
        tokens = next((slot.tokens for slot in slots if isinstance(slot, Pictures)), None)
        scale, sampler = settings.scale(preset), settings.sampler(preset)
        method = build(policy, self.backbone, sampler, guidance_scale=scale, codec=self.codec)
        return Engine(
            name=preset.name,
            variant=self.variant,
            settings=asdict(settings),
            method=method,
            codec=self.codec,
            read_text=partial(self._read_text, image=tokens),
            null_prompt=None if scale == 1 else settings.negative_prompt,
            latent_shape=(self.backbone.config.out_channels, height // stride, width // stride),
            fps=self.fps,
        )

    def _filling(self, settings: Settings) -> Filling:
        height, width = self._size(settings)
        return Filling(
            preset=settings.applied(self.preset),
            codec=self.codec,
            image_encoder=self.image_encoder,
            sampler=settings.sampler(self.preset),
            height=height,
            width=width,
        )

    def _size(self, settings: Settings) -> tuple[int, int]:
        return settings.size(self.preset, self.codec.spatial_stride * self.backbone.config.patch_size[1])

    def _decodes_beside(self, wanted: bool | None) -> bool:
        return next(self.codec.parameters()).device.type == "cuda" if wanted is None else wanted

    def _read_text(self, mix: Sequence[tuple[str, float]], *, image: Tensor | None) -> TextContext:
        embedding = self.text_encoder.encode_mix(mix)
        device, dtype = self.backbone.device, self.backbone.dtype
        tokens = None if image is None else image.to(device, dtype)
        return self.backbone.text_context(embedding.to(device, dtype), tokens)

    def _on_step(self, callback: StepCallback | None) -> OnStep | None:
        if callback is None:
            return None
        return lambda step, timestep, latents: callback(self, step, timestep, {"latents": latents})["latents"]


def _seed(seed: int | None, generator: torch.Generator | None) -> int:
    if seed is not None:
        return seed
    return secrets.randbits(31) if generator is None else generator.initial_seed() % 2**63
