"""A tiny StreamingT2V of random weights: every network of the published one, whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel

from longtake.models.clip_text import ClipTextEncoder
from longtake.models.folder import save_folder
from longtake.models.hub import Checkpoint, Preset
from longtake.models.kl_codec import KlCodec
from longtake.models.tokenizer import word_tokenizer
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.streaming import StreamingUNet
from longtake.pipeline import Pipeline
from tests.models.unet.sizes import TINY_UNET, refill, tiny_unet
from tests.tiny import TINY_WORDS

VAE: dict[str, Any] = {
    "block_out_channels": [8, 8, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "scaling_factor": 0.5,
}
SMALL_UNET = replace(TINY_UNET, block_out_channels=(8, 8), video_length=4, condition_length=2)
"""Two levels, four frames: for tests that make many clips."""


def tiny_kl_codec(config: dict[str, Any] = VAE) -> KlCodec:
    vae = AutoencoderKL.from_config(config)
    refill(vae)
    return KlCodec(vae)


def tiny_clip_text(config: UNetConfig = TINY_UNET) -> ClipTextEncoder:
    tokenizer = word_tokenizer(TINY_WORDS, config.text_tokens)
    encoder = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=config.cross_attention_dim,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=1,
            max_position_embeddings=config.text_tokens,
            vocab_size=len(tokenizer),
            hidden_act="gelu",
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    refill(encoder)
    return ClipTextEncoder(encoder, tokenizer)


def streaming_preset(config: UNetConfig = TINY_UNET, **rollout: object) -> Preset:
    side = 8 * config.patch_size[1]
    return Preset.model_validate(
        {
            "name": "tiny-streaming",
            "summary": "random weights for tests",
            "licence": "CC-BY-NC-4.0",
            "non_commercial": True,
            "architecture": "unet",
            "folder": ".",
            "native": {"width": side, "height": side, "fps": 8},
            "policy": {
                "block": config.video_length,
                "window": {"kind": "clip", "frames": config.video_length},
                "rollout": {"kind": "streamingt2v", "shared": config.condition_length, **rollout},
                "guidance_scale": 2.5,
                "sampler": {"kind": "ddim", "num_inference_steps": 1, "eta": 1.0},
                "source": None,
            },
        }
    )


def streaming_pipeline(config: UNetConfig = SMALL_UNET, **rollout: object) -> Pipeline:
    """`rollout` changes fields of the policy's rollout."""
    checkpoint = Checkpoint(preset=streaming_preset(config, **rollout), folder=Path())
    return Pipeline(checkpoint, tiny_unet(config), tiny_kl_codec(), tiny_clip_text(config))


def streaming_folder(folder: Path, pipeline: Pipeline | None = None) -> Path:
    """The same model saved as a folder that `longtake.load` opens."""
    pipe = pipeline or streaming_pipeline()
    unet, codec, text = pipe.backbone, pipe.codec, pipe.text_encoder
    assert isinstance(unet, StreamingUNet)
    assert isinstance(codec, KlCodec)
    assert isinstance(text, ClipTextEncoder)
    assert unet.image_encoder is not None
    state = unet.state_dict()
    own = {name: tensor for name, tensor in state.items() if not name.startswith("image_encoder.")}
    save_folder(folder / "unet", unet.config.to_dict(), own)
    codec.vae.save_pretrained(folder / "vae")
    unet.image_encoder.encoder.save_pretrained(folder / "image_encoder")
    text.encoder.save_pretrained(folder / "text_encoder")
    text.tokenizer.save(folder / "tokenizer")
    (folder / "preset.yaml").write_text(yaml.safe_dump(pipe.preset.model_dump(mode="json")))
    return folder


PUBLISHED_UNET = replace(
    TINY_UNET,
    block_out_channels=(32, 32),
    attention_head_dim=32,
    norm_num_groups=32,
    video_length=16,
    condition_length=8,
)
"""Sizes that can be read off a file's shapes: what shapes do not tell is as published."""
