"""Tiny random models of the real classes. Weights are drawn so that every path matters: fan-in scaled, none zero."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import yaml
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel

from longtake.measure.random_weights import redraw
from longtake.models.codec import Codec
from longtake.models.hub import Checkpoint, Preset
from longtake.models.image_encoder import ImageEncoder
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.networks import MemoryNetworks, apm_config, cam_config, short_term
from longtake.models.text import TextEncoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.models.wan_codec import WanCodec
from longtake.pipeline import Pipeline

TINY_WAN = WanConfig(
    num_attention_heads=4,
    attention_head_dim=24,
    ffn_dim=160,
    num_layers=2,
    freq_dim=32,
    text_dim=24,
)


def tiny_transformer(config: WanConfig = TINY_WAN, seed: int = 0) -> WanTransformer:
    model = WanTransformer(config)
    redraw(model, seed)
    return model.eval().requires_grad_(False)


TINY_POLICY = {
    "block": 2,
    "window": {"kind": "rolling", "frames": 6, "sink": 1},
    "position": {"kind": "relative"},
    "guidance_scale": 1.5,
    "sampler": {"kind": "ode", "num_inference_steps": 2, "shift": 3.0},
}
TINY_WORDS = ("a", "red", "blue", "sphere", "cube", "rolls")


def tiny_preset(**policy: object) -> Preset:
    """A preset for `tiny_folder`: 32x16 pixels at 8 frames a second."""
    return Preset.model_validate(
        {
            "name": "tiny",
            "summary": "random weights for tests",
            "licence": "Apache-2.0",
            "folder": ".",
            "native": {"width": 32, "height": 16, "fps": 8},
            "policy": TINY_POLICY | policy,
        }
    )


def tiny_patch_codec(seed: int = 1) -> PatchCodec:
    codec = PatchCodec(
        PatchCodecConfig(latent_channels=4, width=8, num_blocks=1, detail_channels=4, detail_width=8)
    )
    redraw(codec, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for buffer in codec.buffers():
            buffer.copy_(0.3 + 0.05 * torch.randn(buffer.shape, generator=generator))
    return codec.eval().requires_grad_(False)


def tiny_wan_codec(seed: int = 2) -> WanCodec:
    """A random `AutoencoderKLWan` of diffusers behind our streaming contract."""
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.3, -0.2, 0.1, -0.4],
        latents_std=[1.5, 0.7, 2.0, 0.9],
    )
    redraw(vae, seed)
    return WanCodec(vae.eval().requires_grad_(False))


TINY_CLIP = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}


def tiny_clip(seed: int = 4) -> CLIPVisionModel:
    """A random image encoder of transformers: five tokens a picture."""
    encoder = CLIPVisionModel(CLIPVisionConfig(**TINY_CLIP))
    redraw(encoder, seed)
    return encoder.eval().requires_grad_(False)


def tiny_pipeline(codec: Codec | None = None, **policy: object) -> Pipeline:
    """A pipeline of tiny random models; `policy` changes fields of the preset's policy."""
    codec = codec or tiny_patch_codec()
    torch.manual_seed(0)
    text = TextEncoder.small(TINY_WORDS, d_model=24, layers=1, heads=2, d_ff=32, max_length=12).eval()
    config = replace(TINY_WAN, in_channels=codec.latent_channels, out_channels=codec.latent_channels)
    checkpoint = Checkpoint(preset=tiny_preset(**policy), folder=Path())
    return Pipeline(checkpoint, tiny_transformer(config), codec, text.requires_grad_(False))


def tiny_memories(pipeline: Pipeline, *, cam: bool = True, apm: bool = True) -> MemoryNetworks:
    """Both memories of a tiny pipeline's transformer, drawn so that they matter."""
    config = pipeline.backbone.config
    length = pipeline.text_encoder.max_length
    short = short_term(cam_config(config, last_layers=1, encoder_layers=1)) if cam else None
    long = ApmNetwork(apm_config(config, text_tokens=length, width=4, hidden=8)) if apm else None
    for seed, network in enumerate((short, long)):
        if network is not None:
            redraw(network, seed)
            network.eval().requires_grad_(False)
    return MemoryNetworks(cam=short, apm=long)


STREAMING: dict[str, object] = {
    "block": 4,
    "window": {"kind": "clip", "frames": 4},
    "position": {"kind": "absolute"},
    "rollout": {"kind": "streamingt2v", "shared": 2, "first": 5},
}
"""The policy of StreamingT2V on a transformer."""


def tiny_streaming_transformer(codec: Codec | None = None, **policy: object) -> Pipeline:
    """A tiny pipeline with both memories, which streams as StreamingT2V does."""
    pipe = tiny_pipeline(codec, **STREAMING | policy)
    pipe.memories = tiny_memories(pipe)
    return pipe


TINY_CLIPS = {
    "block": 3,
    "window": {"kind": "clip", "frames": 3},
    "position": {"kind": "absolute"},
    "first_frame": "beside",
    "source": None,
}


def tiny_image_pipeline(*, last: bool = False, **policy: object) -> Pipeline:
    """A pipeline that makes clips of a picture (`last`: of two), as Wan's image-to-video models do."""
    pipe = tiny_pipeline(tiny_wan_codec(), **TINY_CLIPS | {"last_frame": last} | policy)
    channels, width = pipe.codec.latent_channels, TINY_CLIP["hidden_size"]
    assert isinstance(width, int)
    config = replace(
        pipe.backbone.config,
        in_channels=2 * channels + pipe.codec.temporal_stride,
        image_dim=width,
        added_kv_proj_dim=TINY_WAN.dim,
        pos_embed_seq_len=10 if last else None,
    )
    pipe.backbone, pipe.image_encoder = tiny_transformer(config), ImageEncoder(tiny_clip())
    return pipe


def tiny_folder(folder: Path, pipeline: Pipeline | None = None, **policy: object) -> Path:
    """The same model as `pipeline`, or `tiny_pipeline()`, saved as a folder that `longtake.load` opens."""
    pipeline = pipeline or tiny_pipeline(**policy)
    pipeline.backbone.save_pretrained(folder / "transformer")
    if isinstance(pipeline.codec, WanCodec):
        pipeline.codec.vae.save_pretrained(folder / "vae")
    else:
        assert isinstance(pipeline.codec, PatchCodec)
        pipeline.codec.save_pretrained(folder / "codec")
    if pipeline.image_encoder is not None:
        pipeline.image_encoder.encoder.save_pretrained(folder / "image_encoder")
    pipeline.memories.save(folder, dtype=None)
    pipeline.text_encoder.save(folder)
    (folder / "preset.yaml").write_text(yaml.safe_dump(pipeline.preset.model_dump(mode="json")))
    return folder
