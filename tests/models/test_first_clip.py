"""First clips from other models, on tiny random pipelines of diffusers' own classes, saved and opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
)

from longtake.errors import UserError
from longtake.models.first_clip import open_first_clip, split_source
from longtake.models.first_clip.animatediff import AnimateDiff
from longtake.models.first_clip.modelscope import ModelScope
from longtake.models.first_clip.svd import StableVideo
from longtake.models.tokenizer import END, PAD, UNKNOWN, word_tokenizer
from tests.tiny import TINY_WORDS, tiny_pipeline

PROMPT = "a red sphere rolls"
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
VAE: dict[str, Any] = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


def words(width: int) -> dict[str, Any]:
    ours = word_tokenizer(TINY_WORDS, 8)
    marks = {"pad_token": PAD, "eos_token": END, "unk_token": UNKNOWN}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=ours.backend, model_max_length=8, **marks)
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8,
        vocab_size=len(tokenizer),
        bos_token_id=0,
        eos_token_id=1,
    )
    return {"text_encoder": CLIPTextModel(config).eval(), "tokenizer": tokenizer}


def picture_vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**VAE, up_block_types=["UpDecoderBlock2D"] * 2)


def modelscope() -> Any:
    from diffusers import DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel

    unet = UNet3DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
        sample_size=8,
    )
    return TextToVideoSDPipeline(vae=picture_vae(), unet=unet, scheduler=DDIMScheduler(), **words(8))


def animatediff() -> Any:
    from diffusers import AnimateDiffPipeline, DDIMScheduler, MotionAdapter, UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
        sample_size=8,
    )
    adapter = MotionAdapter(
        block_out_channels=(8, 8),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
    )
    return AnimateDiffPipeline(
        vae=picture_vae(), unet=unet, motion_adapter=adapter, scheduler=DDIMScheduler(), **words(8)
    )


def svd() -> Any:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )

    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=[32, 32],
        down_block_types=["DownEncoderBlock2D"] * 2,
        latent_channels=4,
        layers_per_block=1,
    )
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16,
        num_attention_heads=2,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
        transformer_layers_per_block=1,
        sample_size=8,
    )
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=224,
            patch_size=112,
            projection_dim=16,
        )
    )
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction", use_karras_sigmas=True, interpolation_type="linear"
    )
    return StableVideoDiffusionPipeline(
        vae=vae,
        unet=unet,
        image_encoder=encoder.eval(),
        scheduler=scheduler,
        feature_extractor=CLIPImageProcessor(),
    )


def saved(pipe: Any, folder: Path) -> Path:
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(0)


def test_modelscope(tmp_path: Path) -> None:
    source = open_first_clip("modelscope", saved(modelscope(), tmp_path))
    assert isinstance(source, ModelScope)
    assert (source.frames, source.steps, source.guidance_scale, source.size) == (16, 50, 9.0, 256)
    assert type(source.pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    small = ModelScope(pipe=source.pipe, frames=4, size=16, steps=2)
    check(small, (4, 16, 16, 3))


def test_animatediff(tmp_path: Path) -> None:
    source = open_first_clip("animatediff", saved(animatediff(), tmp_path))
    assert isinstance(source, AnimateDiff)
    config = source.pipe.scheduler.config
    assert (config.beta_schedule, config.timestep_spacing, config.clip_sample) == (
        "linear",
        "linspace",
        False,
    )
    check(AnimateDiff(pipe=source.pipe, frames=4, size=16, steps=2), (4, 16, 16, 3))


def test_svd_cuts_the_bars_off_and_keeps_the_first_frames(tmp_path: Path) -> None:
    source = open_first_clip("svd", saved(svd(), tmp_path), PICTURE)
    assert isinstance(source, StableVideo)
    small = StableVideo(pipe=source.pipe, image=PICTURE, frames=4, kept=3, size=(16, 32), steps=2)
    check(small, (3, 16, 16, 3))


def check(source: Any, shape: tuple[int, ...]) -> None:
    one, two, other = (source.make(PROMPT, seed=seed) for seed in (1, 1, 2))
    assert one.shape == shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_take_goes_on_from_what_it_makes(tmp_path: Path) -> None:
    source = ModelScope(pipe=modelscope(), frames=9, size=16, steps=1)
    take = tiny_pipeline().stream(PROMPT, seed=1, num_frames=17, clip=source.make(PROMPT, seed=1))
    assert take.given_frames == 5
    assert sum(len(chunk.frames) for chunk in take) == 17


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    assert split_source("clips/a.mp4") is None
    assert split_source("svd:models/svd") == ("svd", Path("models/svd"))
    for kind, image, message in (
        ("sora", None, "known: modelscope, animatediff, svd"),
        ("svd", None, "needs a picture"),
        ("modelscope", PICTURE, "takes no picture"),
        ("modelscope", None, "model_index.json is missing"),
    ):
        with pytest.raises(UserError, match=message):
            open_first_clip(kind, tmp_path, image)
