"""Tiny random models of the real classes. Weights are drawn so that every path matters: fan-in scaled, none zero."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import yaml
from diffusers import AutoencoderKLWan
from torch import nn

from longtake.models.codec import Codec
from longtake.models.hub import Checkpoint, Preset
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
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


def redraw(module: nn.Module, seed: int = 0) -> None:
    """Draw every parameter anew: matrices scaled by fan-in, norm weights near one, the rest small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2 and "table" not in name and "gamma" not in name:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                base = 1.0 if name.endswith("gamma") or ("norm" in name and name.endswith("weight")) else 0.0
                parameter.copy_(base + 0.2 * noise)


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


def tiny_pipeline(codec: Codec | None = None, **policy: object) -> Pipeline:
    """A pipeline of tiny random models; `policy` changes fields of the preset's policy."""
    codec = codec or tiny_patch_codec()
    torch.manual_seed(0)
    text = TextEncoder.small(TINY_WORDS, d_model=24, layers=1, heads=2, d_ff=32, max_length=12).eval()
    config = replace(TINY_WAN, in_channels=codec.latent_channels, out_channels=codec.latent_channels)
    checkpoint = Checkpoint(preset=tiny_preset(**policy), folder=Path())
    return Pipeline(checkpoint, tiny_transformer(config), codec, text.requires_grad_(False))


def tiny_folder(folder: Path, **policy: object) -> Path:
    """The same model as `tiny_pipeline()`, saved as a folder that `longtake.load` opens."""
    pipeline = tiny_pipeline(**policy)
    assert isinstance(pipeline.codec, PatchCodec)
    pipeline.backbone.save_pretrained(folder / "transformer")
    pipeline.codec.save_pretrained(folder / "codec")
    pipeline.text_encoder.save(folder)
    (folder / "preset.yaml").write_text(yaml.safe_dump(pipeline.preset.model_dump(mode="json")))
    return folder
