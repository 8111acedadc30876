"""StreamingT2V on its own network, the 3-D UNet with both memories attached."""

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
from longtake.models.unet.streaming import StreamingUNet
from longtake.models.wan import TextContext
from longtake.sampling import Sampler


@dataclass(frozen=True, slots=True)
class UNetNetwork:
    """A `Network`: float32 on the CPU outside, its own device and dtype inside."""

    unet: StreamingUNet

    def context(self, text: TextContext, tokens: Tensor | None) -> TextContext:
        """See `Network.context`."""
        assert text.rows is not None  # it comes from `StreamingUNet.text_context`
        return self.unet.context(text.rows, tokens)

    def predict(
        self, latents: Tensor, timestep: Tensor, text: TextContext, features: Tensor | None
    ) -> Tensor:
        """See `Network.predict`. A clip has one timestep."""
        latents = latents.to(self.unet.device, self.unet.dtype)
        past = None if features is None else features.expand(len(latents), -1, -1, -1, -1)
        predicted: Tensor = self.unet(latents, timestep[:, 0].to(self.unet.device), text.layers, past)
        return predicted.to("cpu", torch.float32)


@dataclass(frozen=True, slots=True)
class UNetEmbed:
    """An `Embed`: the image encoder of the model, and what makes tokens of its embeddings."""

    unet: StreamingUNet

    @property
    def dim(self) -> int:
        """See `Embed.dim`."""
        return self.unet.config.image_embedding_dim

    def pictures(self, frames: Tensor) -> Tensor:
        """See `Embed.pictures`."""
        return self.unet.embed_image(frames)

    def tokens(self, embeddings: Tensor) -> Tensor:
        """See `Embed.tokens`."""
        return self.unet.tokens(embeddings)

    def null(self) -> Tensor:
        """See `Embed.null`."""
        return self.unet.null_tokens()


def streaming_unet(
    unet: StreamingUNet, sampler: Sampler, rollout: Streaming, codec: Codec, *, guidance_scale: float
) -> StreamingT2V:
    """The method on this network. Raises UserError for anchors without an image encoder, or lengths that differ."""
    config, anchors = unet.config, anchors_of(rollout)
    if rollout.long_term:
        unet.check_anchors()
    if rollout.shared != config.condition_length:
        raise UserError(
            f"the network was made for clips that share {config.condition_length} frames, not {rollout.shared}; "
            "correct the preset"
        )

    def memories(latent_shape: tuple[int, int, int]) -> Memories:
        parts: dict[str, Memory] = {}
        if rollout.short_term:
            height, width = (side * codec.spatial_stride for side in latent_shape[1:])
            parts["short"] = Cam(unet.encode_frames, frames=config.condition_length, shape=(height, width, 3))
        long_term = Apm(UNetEmbed(unet), anchors) if rollout.long_term else None
        if long_term is not None:
            parts["long"] = long_term
        return Memories(Together(**parts) if parts else Nothing(), long_term)

    return StreamingT2V(
        network=UNetNetwork(unet),
        sampler=sampler,
        lengths=Lengths(config.video_length, config.video_length, config.condition_length),
        start_memory=memories,
        guidance_scale=guidance_scale,
        anchor_scale=rollout.anchor_scale,
        needs_past=rollout.short_term,
    )
