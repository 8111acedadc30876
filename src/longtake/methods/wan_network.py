"""StreamingT2V on a Wan-shaped transformer, with the memories that lie beside it (`models/streaming`).

Short-term memory reads clean latents, so that no clip has to wait for the codec; anchors are pictures, encoded by the
codec as first frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.memory import Memory
from longtake.memory.apm import Apm
from longtake.memory.cam import Cam
from longtake.memory.chosen import anchors_of
from longtake.memory.nothing import Nothing
from longtake.memory.together import Together
from longtake.methods.streamingt2v import Lengths, Memories, StreamingT2V
from longtake.models.codec import Codec
from longtake.models.rollouts import Streaming
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.cam import ShortTerm
from longtake.models.streaming.networks import MemoryNetworks
from longtake.models.wan import TextContext, WanTransformer
from longtake.sampling import Sampler


@dataclass(frozen=True, slots=True)
class WanNetwork:
    """A `Network`: float32 on the CPU outside, its own device and dtype inside."""

    backbone: WanTransformer
    memories: MemoryNetworks

    def context(self, text: TextContext, tokens: Tensor | None) -> TextContext:
        """See `Network.context`."""
        if tokens is None:
            return text
        assert self.memories.apm is not None  # tokens are its own
        assert text.rows is not None  # the pipeline keeps them where there is a long-term memory
        return self.memories.apm.context(self.backbone, text.rows, tokens)

    def predict(
        self, latents: Tensor, timestep: Tensor, text: TextContext, features: Tensor | None
    ) -> Tensor:
        """See `Network.predict`."""
        backbone = self.backbone
        latents, timestep = latents.to(backbone.device, backbone.dtype), timestep.to(backbone.device)
        if features is None or self.memories.cam is None:
            velocity: Tensor = backbone(latents, timestep, text)
        else:
            past = features.expand(len(latents), -1, -1, -1, -1)
            velocity = self.memories.cam.predict(backbone, latents, timestep, text, past)
        return velocity.to("cpu", torch.float32)


@dataclass(frozen=True, slots=True)
class WanEmbed:
    """An `Embed`: the codec, and the memory's own picture encoder."""

    apm: ApmNetwork
    codec: Codec
    size: tuple[int, int]
    """Height and width of the take's pictures."""

    @property
    def dim(self) -> int:
        """See `Embed.dim`."""
        return self.apm.config.embedding_dim

    def pictures(self, frames: Tensor) -> Tensor:
        """See `Embed.pictures`."""
        return self._embed(frames[:, None])

    def tokens(self, embeddings: Tensor) -> Tensor:
        """See `Embed.tokens`."""
        weight = self.apm.expand_in.weight
        return self.apm.tokens(embeddings.to(weight.device, weight.dtype).mean(0, keepdim=True))

    def null(self) -> Tensor:
        """See `Embed.null`: of a mid-grey picture, all zero in −1…1, as published."""
        return self.tokens(self._embed(torch.zeros(1, 3, 1, *self.size)))

    def _embed(self, frames: Tensor) -> Tensor:
        """Of pictures as a codec takes them, each a stream by itself."""
        device = next(self.codec.parameters()).device
        latents = self.codec.encode(frames.to(device), self.codec.start())[:, :, 0]
        weight = self.apm.expand_in.weight
        return self.apm.embed(latents.to(weight.device, weight.dtype))


def streaming_wan(
    backbone: WanTransformer,
    memories: MemoryNetworks,
    sampler: Sampler,
    rollout: Streaming,
    codec: Codec,
    *,
    clip: int,
    guidance_scale: float,
) -> StreamingT2V:
    """The method on this network. clip: latent frames of a clip.

    Raises UserError where a memory that is switched on is not there, or was made for other lengths.
    """
    _check(memories, rollout, clip)

    def encode(latents: Tensor) -> Tensor:
        assert memories.cam is not None  # see `_check`
        return memories.cam.encode(latents.to(backbone.device, backbone.dtype))

    def start(latent_shape: tuple[int, int, int]) -> Memories:
        parts: dict[str, Memory] = {}
        if rollout.short_term:
            parts["short"] = Cam(encode, frames=rollout.shared, shape=latent_shape, source="latents")
        long_term = None
        if rollout.long_term and memories.apm is not None:
            height, width = (side * codec.spatial_stride for side in latent_shape[1:])
            long_term = Apm(WanEmbed(memories.apm, codec, (height, width)), anchors_of(rollout))
            parts["long"] = long_term
        return Memories(Together(**parts) if parts else Nothing(), long_term)

    return StreamingT2V(
        network=WanNetwork(backbone, memories),
        sampler=sampler,
        lengths=Lengths(rollout.first or clip, clip, rollout.shared),
        start_memory=start,
        guidance_scale=guidance_scale,
        anchor_scale=rollout.anchor_scale,
        needs_past=rollout.short_term,
    )


def _check(memories: MemoryNetworks, rollout: Streaming, clip: int) -> None:
    _check_there(
        memories.cam, rollout.short_term, "short-term memory (cam/", "train cam", "short_term, --no-cam"
    )
    _check_there(
        memories.apm, rollout.long_term, "long-term memory (apm/", "train apm", "long_term, --no-apm"
    )
    if memories.cam is None or not rollout.short_term:
        return
    config = memories.cam.config
    if (config.clip, config.frames) != (clip, rollout.shared):
        raise UserError(
            f"the short-term memory was trained for clips of {config.clip} latent frames that share "
            f"{config.frames}, not {clip} and {rollout.shared}; correct the preset"
        )


def _check_there(
    network: ShortTerm | ApmNetwork | None, wanted: bool, what: str, command: str, switch: str
) -> None:
    if wanted and network is None:
        raise UserError(
            f"this model has no {what} in its folder); train one with `longtake {command}`, or switch it off ({switch})"
        )
