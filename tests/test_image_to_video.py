"""Wan's image-to-video models: the picture beside the latents and in cross-attention, against diffusers' pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from longtake import Pipeline, Settings, Snapshot, UserError
from longtake.cli.fit import fit, lines
from longtake.forecast import forecast
from longtake.models import hub
from longtake.models.hub import Preset, find
from longtake.models.plan import GIB, PROFILES
from longtake.models.text import TextEncoder
from longtake.models.wan_codec import WanCodec
from longtake.sampling.given import NOTHING
from longtake.sampling.schedule import FlowSchedule
from longtake.slots.pictures import Pictures
from tests.models.test_image_encoder import original as original_clip
from tests.models.test_opening import files, original, published
from tests.models.test_wan_parity import TEXT_TOKENS, ExactSinusoid
from tests.tiny import TINY_CLIP, TINY_WORDS, tiny_folder, tiny_image_pipeline, tiny_transformer

PROMPT = "a red sphere rolls"
FIRST, LAST = (np.random.default_rng(seed).integers(0, 255, (16, 32, 3), np.uint8) for seed in (1, 2))
STEPS, SHIFT, GUIDANCE, FRAMES = 3, 3.0, 1.5, 9
TOLERANCE = 1e-5


class Scheduler(FlowMatchEulerDiscreteScheduler):
    """diffusers' Euler steps on the levels that Wan's own sampler takes."""

    def set_timesteps(self, num_inference_steps: int, device: object = None) -> None:
        super().set_timesteps(sigmas=FlowSchedule(SHIFT).uniform(num_inference_steps)[:-1], device=device)


@pytest.fixture(params=[False, True], ids=["first", "first and last"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Pipeline, WanImageToVideoPipeline]:
    """Ours, and diffusers' of the same weights; with a last picture where it takes one."""
    pipe = tiny_image_pipeline(last=request.param)
    torch.manual_seed(0)
    pipe.text_encoder = TextEncoder.small(
        TINY_WORDS, d_model=24, layers=1, heads=2, d_ff=32, max_length=TEXT_TOKENS
    ).eval()
    pipe.backbone.save_pretrained(tmp_path)
    transformer = WanTransformer3DModel.from_pretrained(tmp_path).eval()
    transformer.condition_embedder.timesteps_proj = ExactSinusoid(pipe.backbone.config.freq_dim)
    size = TINY_CLIP["image_size"]
    assert isinstance(pipe.codec, WanCodec)
    assert pipe.image_encoder is not None
    theirs = WanImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=pipe.codec.vae,
        scheduler=Scheduler(shift=1.0),
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        ),
        image_encoder=pipe.image_encoder.encoder,
        transformer=transformer,
    )
    theirs.set_progress_bar_config(disable=True)
    return pipe, theirs


def given(pipe: Pipeline) -> dict[str, Image.Image]:
    """The pictures that a model takes, by diffusers' names."""
    both = {"image": Image.fromarray(FIRST), "last_image": Image.fromarray(LAST)}
    return both if pipe.preset.policy.last_frame else {"image": both["image"]}


def noise() -> Tensor:
    return torch.randn(1, 4, 3, 2, 4, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def by_diffusers(pipe: Pipeline, theirs: WanImageToVideoPipeline) -> Tensor:
    """Latents of a clip."""
    text, null = pipe.text_encoder.encode([PROMPT, ""])[:, None]
    return theirs(
        prompt_embeds=text,
        negative_prompt_embeds=null,
        height=16,
        width=32,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        latents=noise(),
        output_type="latent",
        **given(pipe),
    ).frames


def ours(pipe: Pipeline) -> Tensor:
    frames = pipe(
        PROMPT,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        latents=noise(),
        output_type="latent",
        **given(pipe),  # type: ignore[arg-type]
    ).frames
    assert isinstance(frames, Tensor)
    return frames


def slot_of(pipe: Pipeline) -> Pictures:
    last = LAST if pipe.preset.policy.last_frame else None
    assert pipe.image_encoder is not None
    return Pictures.encode(FIRST, last, pipe.codec, pipe.image_encoder)


@torch.no_grad()
def test_the_channels_beside_the_latents_are_diffusers(
    pair: tuple[Pipeline, WanImageToVideoPipeline],
) -> None:
    pipe, theirs = pair
    images = [torch.from_numpy(p).permute(2, 0, 1)[None] / 127.5 - 1 for p in (FIRST, LAST)]
    _, right = theirs.prepare_latents(
        images[0], 1, 4, 16, 32, FRAMES, torch.float32, torch.device("cpu"), None, noise(),
        images[1] if pipe.preset.policy.last_frame else None,
    )  # fmt: skip
    beside = slot_of(pipe).give(range(3), NOTHING).beside
    assert beside is not None
    assert beside.shape == right.shape
    difference = (beside - right).abs().max().item()
    assert difference <= TOLERANCE, f"largest difference {difference:.2e}"


def test_a_whole_clip_is_the_one_that_diffusers_makes(pair: tuple[Pipeline, WanImageToVideoPipeline]) -> None:
    right, made = by_diffusers(*pair), ours(pair[0])
    assert right.std() > 0.1
    difference = (made - right).abs().max().item() / float(right.abs().max())
    assert difference <= TOLERANCE, f"largest difference {difference:.2e}"


def test_a_long_picture_becomes_many_latents_without_a_difference() -> None:
    """Frame by frame in small memory, and the whole clip at once."""
    pipe = tiny_image_pipeline(last=True)
    grey = torch.zeros(1, 3, 17, 16, 32)
    for place, picture in ((0, FIRST), (-1, LAST)):
        grey[0, :, place] = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
    whole = pipe.codec.encode(grey, pipe.codec.start())
    torch.testing.assert_close(slot_of(pipe).channels(5)[:, 4:], whole, atol=1e-6, rtol=0)


def no_mask(self: Pictures, frames: int) -> Tensor:
    latents = self._latents(frames)
    return torch.cat([latents.new_zeros(1, 4, *latents.shape[2:]), latents], 1)


def black(self: Pictures, frames: int) -> Tensor:
    from longtake.models.codec import to_float

    clip = torch.full((1, 3, 1 + 4 * (frames - 1), 16, 32), -1.0)
    clip[:, :, :1] = to_float(self.first[None, None])
    return self.codec.encode(clip, self.codec.start())


@pytest.mark.parametrize(("name", "planted"), [("channels", no_mask), ("_latents", black)])
def test_the_comparison_notices(
    name: str, planted: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tiny_image_pipeline()
    right = ours(pipe)
    monkeypatch.setattr(Pictures, name, planted)
    assert (ours(pipe) - right).abs().max() > 1e-3


@pytest.mark.parametrize("last", [False, True])
def test_a_saved_model_opens_and_goes_on_after_a_snapshot(last: bool, tmp_path: Path) -> None:
    pipe = tiny_image_pipeline(last=last)
    opened = Pipeline.from_pretrained(tiny_folder(tmp_path / "model", pipe))
    pictures = {"image": FIRST} | ({"last_image": LAST} if last else {})
    take = opened.stream(PROMPT, seed=3, num_frames=FRAMES, **pictures)  # type: ignore[arg-type]
    take.snapshot().save(tmp_path / "take.safetensors")
    frames = next(take).frames
    again = opened.restore(Snapshot.load(tmp_path / "take.safetensors"))
    assert np.array_equal(next(again).frames, frames)
    plain = pipe.stream(PROMPT, seed=3, num_frames=FRAMES, **pictures)  # type: ignore[arg-type]
    assert np.array_equal(next(plain).frames, frames)
    other = pipe.stream(PROMPT, seed=3, num_frames=FRAMES, **pictures | {"image": LAST})  # type: ignore[arg-type]
    assert not np.array_equal(next(other).frames, frames)


def test_the_original_files_open_as_they_are_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformer and image encoder under the names of Wan's own code."""
    pipe = tiny_image_pipeline()
    assert isinstance(pipe.codec, WanCodec)
    assert pipe.image_encoder is not None
    values = published(transformer=files("model.pt"), image_encoder=files("clip/clip.pth")).model_dump(
        mode="json"
    )
    preset = Preset.model_validate(values | {"policy": pipe.preset.policy.model_dump(mode="json")})
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "presets", lambda: {"tiny": preset})
    root = tmp_path / "models" / "owner" / "thing"
    (root / "clip").mkdir(parents=True)
    wide = tiny_transformer(
        replace(
            pipe.backbone.config,
            num_attention_heads=1,
            attention_head_dim=128,
            ffn_dim=64,
            added_kv_proj_dim=128,
        )
    )
    torch.save({"generator": original(wide)}, root / "model.pt")
    pipe.codec.vae.save_pretrained(root / "vae")
    pipe.text_encoder.save(root)
    torch.save(original_clip(pipe.image_encoder.encoder), root / "clip" / "clip.pth")
    (root / "clip" / "config.json").write_text(json.dumps(TINY_CLIP))
    opened = Pipeline.from_pretrained("tiny")
    pipe.backbone = wide
    one, two = (next(each.stream(PROMPT, seed=3, num_frames=FRAMES, image=FIRST)) for each in (opened, pipe))
    assert np.array_equal(one.frames, two.frames)


def test_the_plan_counts_the_image_encoder(tmp_path: Path) -> None:
    pipe = tiny_image_pipeline()
    assert pipe.image_encoder is not None
    checkpoint = find(tiny_folder(tmp_path / "model", pipe))
    plan = forecast(checkpoint, width=32, height=16, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert plan.image == sum(parameter.nbytes for parameter in pipe.image_encoder.parameters())
    assert plan.peak - replace(plan, image=0).peak == plan.image
    beside_a_gpu = replace(plan, text_elsewhere=True)
    assert beside_a_gpu.peak - replace(beside_a_gpu, image=0).peak == plan.image
    report = fit(str(tmp_path / "model"), None)
    assert report["image_gib"] == round(plan.image / GIB, 3)
    assert not any("image encoder" in line for line in lines(report)), "too small to be shown"
    assert any("image encoder" in line for line in lines(report | {"image_gib": 2.3}))
    away = beside_a_gpu.under(PROFILES[1])
    assert not PROFILES[1].text_stays
    assert away.peak == replace(away, image=0).peak


def test_a_folder_without_the_image_encoder_is_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", tiny_image_pipeline())
    (folder / "image_encoder").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="lacks image_encoder"):
        Pipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("last", "pictures", "message"),
    [
        (False, {}, "makes video from a picture; give an image"),
        (False, {"image": FIRST, "last_image": LAST}, "takes no last image"),
        (True, {"image": FIRST, "last_image": LAST, "num_frames": 8}, "8 pixel frames given.*use 5 or 9"),
        (True, {"image": "none.png"}, r"none\.png"),
        (True, {"image": FIRST, "last_image": "none.png"}, r"none\.png"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(last: bool, pictures, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        tiny_image_pipeline(last=last).stream(PROMPT, **pictures)


@pytest.mark.filterwarnings("ignore:tiny was trained")
def test_pictures_are_cut_to_the_size_of_the_take() -> None:
    pipe = tiny_image_pipeline()
    take = pipe.stream(PROMPT, num_frames=5, image=FIRST, settings=Settings(width=48, height=32))
    assert next(take).frames.shape == (5, 32, 48, 3)
