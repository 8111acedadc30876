"""StreamingT2V's network: the denoising UNet, its short-term memory (CAM) and its long-term memory (APM).

Source: Henschel et al., arXiv 2403.14773. Fresh, both memories change nothing: the result is the plain UNet's.

Shapes: B videos, T frames of a clip, P frames before it, C channels, h w latent cells, L text and I image tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.attention import KeyValue
from longtake.models.clip_image import ClipImageEncoder
from longtake.models.unet.attention import add_mixing, keys_and_values, mix
from longtake.models.unet.blocks import Encoded, UNet, to_video
from longtake.models.unet.condition import ConditionEncoder
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.merger import Merger
from longtake.models.unet.tokens import TokenExpander
from longtake.models.wan import TextContext


class MergingUNet(UNet):
    """The denoising network: the plain UNet, with a merger at every skip and mixing in every cross-attention."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        head, groups = config.attention_head_dim, config.norm_num_groups
        self.cross_attention_merger_down_blocks = nn.ModuleList(
            Merger(channels, head, groups) for channels in config.skip_channels
        )
        self.cross_attention_merger_mid_block = Merger(config.block_out_channels[-1], head, groups)
        for attention in self.cross_attentions:
            add_mixing(attention, config.text_tokens, config.image_tokens, config.cross_attention_dim)

    def mixed_context(self, text: Tensor, image: Tensor) -> tuple[KeyValue, ...]:
        """Each layer's keys and values of text `[B, L, C]` mixed with image tokens `[B, I, C]`."""
        return tuple(keys_and_values(layer, mix(layer, text, image)) for layer in self.cross_attentions)

    def merged(self, encoded: Encoded, past: Encoded, frames: int, past_frames: int) -> Encoded:
        """What the way up reads: every skip and the deepest features, merged with those of the past."""
        pairs = zip(self.cross_attention_merger_down_blocks, encoded.skips, past.skips, strict=True)
        skips = tuple(merger(own, earlier, frames, past_frames) for merger, own, earlier in pairs)
        deepest = self.cross_attention_merger_mid_block(encoded.deepest, past.deepest, frames, past_frames)
        return Encoded(skips, deepest, encoded.time)


class StreamingUNet(nn.Module):
    """All networks of StreamingT2V's streaming stage but the codec and the text encoder."""

    def __init__(self, config: UNetConfig, image_encoder: ClipImageEncoder | None = None) -> None:
        """image_encoder: what makes embeddings of anchors; without it there is no long-term memory."""
        super().__init__()
        self.config = config
        self.base_model = MergingUNet(config)
        self.unet = ConditionEncoder(config)
        self.resampler = TokenExpander(config)
        self.image_encoder = image_encoder

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.base_model.dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.base_model.parameters()).device

    def text_context(self, rows: Tensor, image: Tensor | None = None) -> TextContext:
        """A prompt's embedding `[B, L, C]`, before it is mixed with an anchor's. An `image` has no part in it."""
        if rows.shape[1:] != (self.config.text_tokens, self.config.cross_attention_dim):
            raise UserError(
                f"the text encoder gives {list(rows.shape[1:])} numbers a prompt; this network reads "
                f"{[self.config.text_tokens, self.config.cross_attention_dim]}: use the text encoder it was made with"
            )
        return TextContext(layers=(), rows=rows)

    def context(self, rows: Tensor, tokens: Tensor | None = None) -> TextContext:
        """Keys and values of all layers, for a whole video: the denoising network's, then the memory's.

        rows: `[B, L, C]`. tokens: `[B, I, C]` of the anchor, mixed into the denoising network's only.
        """
        base = self.base_model
        own = base.context(rows) if tokens is None else base.mixed_context(rows, tokens)
        return TextContext(layers=(*own, *self.unet.context(rows)))

    def encode_frames(self, frames: Tensor) -> Tensor:
        """The frames before a clip, `uint8 [B, P, H, W, 3]`, as the memory reads them: `[B, C, P, h, w]`."""
        pixels = frames.to(self.device).flatten(0, 1).permute(0, 3, 1, 2).to(self.dtype) / 127.5 - 1
        features = self.unet.controlnet_cond_embedding(pixels)
        return to_video(features, frames.shape[1])

    def check_anchors(self) -> None:
        """Raises UserError when there is nothing to make embeddings of anchors with."""
        if self.image_encoder is None:
            raise UserError(
                "this model has no image encoder, which anchors need; put one in its folder as image_encoder, "
                "or switch the long-term memory off"
            )

    def embed_image(self, frames: Tensor) -> Tensor:
        """Embeddings `[N, E]` of pictures `uint8 [N, H, W, 3]`."""
        assert self.image_encoder is not None  # see `check_anchors`
        pictures = frames.to(self.device).permute(0, 3, 1, 2).to(self.dtype) / 127.5 - 1
        embedding: Tensor = self.image_encoder(pictures)
        return embedding

    def null_tokens(self) -> Tensor:
        """Tokens `[1, I, C]` of no anchor: those of a mid-grey picture, all zero in −1…1."""
        assert self.image_encoder is not None  # see `check_anchors`
        side = self.image_encoder.side
        grey = torch.zeros(1, 3, side, side, device=self.device, dtype=self.dtype)
        return self.tokens(self.image_encoder(grey))

    def tokens(self, embeddings: Tensor) -> Tensor:
        """Tokens `[1, I, C]` of the mean of embeddings `[N, E]`."""
        tokens: Tensor = self.resampler(embeddings.to(self.device, self.dtype).mean(0, keepdim=True))
        return tokens

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Sequence[KeyValue],
        features: Tensor | None = None,
    ) -> Tensor:
        """What it predicts for noisy `latents [B, C, T, h, w]` at `timestep [B]`.

        text: the layers of `context`. features: of the frames before, `[B, C, P, h, w]`; the first P frames of the
        clip show them again. None: a clip that nothing comes before.
        """
        frames, split = latents.shape[2], len(self.base_model.cross_attentions)
        encoded = self.base_model.encode(latents, timestep, text[:split])
        if features is not None:
            count = features.shape[2]
            past = self.unet(latents[:, :, :count], timestep, text[split:], features)
            encoded = self.base_model.merged(encoded, past, frames, count)
        return self.base_model.decode(encoded, frames, text[:split])

    def begin_from_base(self) -> None:
        """Make the memory's copy equal to the denoising network's encoder half, as training begins."""
        own = self.unet.state_dict()
        state = {name: tensor for name, tensor in self.base_model.state_dict().items() if name in own}
        self.unet.load_state_dict(own | state)
