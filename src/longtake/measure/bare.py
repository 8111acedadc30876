"""Takes of networks that have not learned anything: for figures of the engine alone."""

from __future__ import annotations

import torch

from longtake.director import Director
from longtake.engine import Engine, TakeState
from longtake.errors import UserError
from longtake.measure.random_weights import redraw
from longtake.methods.build import build
from longtake.models.codec import Codec
from longtake.models.hub import Preset, presets
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.policy import Policy
from longtake.models.wan import TextContext, WanConfig, WanTransformer
from longtake.settings import Settings
from longtake.take import Take
from longtake.timeline import Timeline
from longtake.variant import Variant

__all__ = ["full_size", "named", "random_codec", "random_engine", "random_take", "random_text"]

PROMPT = "a red sphere"


def full_size(name: str) -> tuple[Preset, WanConfig]:
    """A model on the Hub and its transformer's sizes. Raises UserError for one without, naming those that have some."""
    having = {each.name: each.network for each in presets().values() if each.network is not None}
    if name not in having:
        raise UserError(f"--preset {name}: no model with a full-size network; use one of {', '.join(having)}")
    return presets()[name], WanConfig(**having[name].model_dump(exclude_none=True))


def random_codec(channels: int) -> PatchCodec:
    """A small codec that was never trained."""
    codec = PatchCodec(
        PatchCodecConfig(latent_channels=channels, width=16, num_blocks=1, detail_channels=4, detail_width=8)
    )
    redraw(codec)
    for buffer in codec.buffers():
        buffer.fill_(0.3)
    return codec.eval().requires_grad_(False)


def random_text(model: WanTransformer, rows: int = 64) -> TextContext:
    """What a prompt might be."""
    drawn = torch.randn(1, rows, model.config.text_dim, generator=torch.Generator().manual_seed(1))
    return model.text_context(drawn.to(model.device, model.dtype))


def random_engine(policy: Policy, model: WanTransformer, codec: Codec, size: tuple[int, int]) -> Engine:
    """A take's engine of these networks; `size` is `(rows, columns)` of the latent grid."""
    scale = policy.guidance_scale
    preset = presets()["mini"].model_copy(update={"policy": policy, "name": "random weights"})
    text = random_text(model)
    return Engine(
        name="random weights",
        variant=Variant(codec=type(codec).__name__),
        settings={},
        method=build(policy, model, Settings().sampler(preset), guidance_scale=scale, codec=codec),
        codec=codec,
        read_text=lambda mix: text,
        null_prompt=None if scale == 1 else "",
        latent_shape=(model.config.in_channels, *size),
        fps=16,
    )


def random_take(
    engine: Engine, num_frames: int | None = None, *, decode_beside: bool = False
) -> tuple[Take, TakeState]:
    """A take of one prompt, without an end unless given, and its state to look into."""
    state = TakeState.start(engine, Director(Timeline.from_prompt(PROMPT).cues))
    return Take(engine, state, seed=0, num_frames=num_frames, decode_beside=decode_beside), state


def named(config: WanConfig) -> str:
    """A network's sizes in a few words."""
    heads = f"{config.num_attention_heads}×{config.attention_head_dim}"
    return f"{config.num_layers} layers of {heads}, ffn {config.ffn_dim}"
