"""A loaded model: make a whole clip with diffusers' words, or stream a take."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from torch import Tensor

from longtake.chunk import Observer
from longtake.director import Director
from longtake.engine import Engine, TakeState
from longtake.errors import UserError
from longtake.filling import Filling
from longtake.footage import ImageInput, Picture, VideoInput
from longtake.loaded import Loaded
from longtake.memory.chosen import check_anchors
from longtake.methods import Kind
from longtake.methods.build import build
from longtake.models.codec import latents_for_frames
from longtake.models.prompt import parse
from longtake.models.wan import TextContext
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

DEFAULT_SECONDS = 4

StepCallback = Callable[["Pipeline", int, float, dict[str, Tensor]], dict[str, Tensor]]
"""diffusers' `callback_on_step_end(pipe, step, timestep, callback_kwargs) → dict`; the dict holds `latents`."""


class Pipeline(Loaded):
    """A model ready to generate. Any number of takes can be made with it, each with its own state."""

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
        clip: VideoInput | None = None,
        observers: Sequence[Observer] = (),
        callback_on_step_end: StepCallback | None = None,
        decode_beside: bool | None = None,
    ) -> Take:
        """A take of `prompt` (or of a timeline), endless unless `num_frames` is given. Iterate it for chunks.

        seed: decides every random number; one is drawn when neither it nor `generator` (read for its
        `initial_seed()`) is given. latents: prepared initial noise `[1, C, T, h, w]`. image: the first frame;
        last_image: the last of a clip. video: what the take is made from, a file or an iterable of frames that may be
        live; the take ends with it, and `strength` says how much of it is replaced. clip: a file or frames that the
        take goes on from; its last frames, `Take.given_frames` of them, are the take's first and count in `num_frames`.
        All are scaled and cut to the take's size. decode_beside: see `Take`; by default where a GPU decodes. Raises
        UserError for values that cannot be used.
        """
        timeline = prompt if isinstance(prompt, Timeline) else Timeline.from_prompt(prompt)
        seed = _seed(seed, generator)
        settings = settings or Settings()
        parse(settings.negative_prompt)
        preset = settings.applied(self.preset)
        slots = self._filling(settings).fill(image, video, strength, last_image, clip)
        check_anchors(preset.policy, num_frames)
        engine = self._engine(settings, slots)
        if engine.method.kind is Kind.JOINT and len(timeline.cues) > 1:
            raise UserError(f"{self.name!r} makes the whole video at once, under one prompt; give one cue")
        if video is None:
            warn_of_length(preset, num_frames, self.codec.temporal_stride)
        if last_image is not None and num_frames is not None:
            latents_for_frames(num_frames, self.codec.temporal_stride)  # or it would not be the last
        director = Director(timeline.cues, interpolate=preset.policy.interpolate)
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

    def end_of(self, clip: VideoInput, settings: Settings | None = None) -> Picture:
        """The last pictures of a clip that `stream` would go on from, scaled and cut: `uint8 [T, H, W, 3]`.

        Raises UserError for one that is too short, and for a model that takes none.
        """
        return self._filling(settings or Settings()).end_of(clip)

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
        method = build(
            policy,
            self.backbone,
            sampler,
            guidance_scale=scale,
            codec=self.codec,
            memories=self.memories,
        )
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
        preset = settings.applied(self.preset)
        return Filling(
            preset=preset,
            codec=self.codec,
            image_encoder=self.image_encoder,
            sampler=settings.sampler(preset),
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
        context = self.backbone.text_context(embedding.to(device, dtype), tokens)
        return context if self.memories.apm is None else context._replace(rows=embedding.to(device, dtype))

    def _on_step(self, callback: StepCallback | None) -> OnStep | None:
        if callback is None:
            return None
        return lambda step, timestep, latents: callback(self, step, timestep, {"latents": latents})["latents"]


def _seed(seed: int | None, generator: torch.Generator | None) -> int:
    if seed is not None:
        return seed
    return secrets.randbits(31) if generator is None else generator.initial_seed() % 2**63
