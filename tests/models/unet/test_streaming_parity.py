"""StreamingT2V's network against the slow oracle, against diffusers' stock UNet, and against stored numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from longtake.errors import UserError
from longtake.models.unet.attention import mix
from longtake.models.unet.streaming import StreamingUNet
from tests.drawn import drawn
from tests.models.unet.oracle import Oracle, mixed
from tests.models.unet.sizes import TINY_UNET, refill, tiny_unet

GOLDEN = Path(__file__).parents[2] / "golden" / "unet.safetensors"
SIDE = 4
T, P = TINY_UNET.video_length, TINY_UNET.condition_length
PIXELS = SIDE * TINY_UNET.frame_stride

LATENTS = drawn("latents", (1, 4, T, SIDE, SIDE))
TEXT = drawn("text", (1, TINY_UNET.text_tokens, TINY_UNET.cross_attention_dim)) * 3
IMAGE = drawn("image", (1, TINY_UNET.image_tokens, TINY_UNET.cross_attention_dim)) * 3
FRAMES = (127.5 + 60 * drawn("frames", (1, P, PIXELS, PIXELS, 3)) * 16).clamp(0, 255).to(torch.uint8)
FLOATS = FRAMES[0].permute(0, 3, 1, 2).double() / 127.5 - 1
TIME = 437.0


@pytest.fixture(scope="module")
def model() -> StreamingUNet:
    return tiny_unet()


@pytest.fixture(scope="module")
def oracle(model: StreamingUNet) -> Oracle:
    return Oracle(model.state_dict(), TINY_UNET)


def close(ours: Tensor, theirs: Tensor, atol: float = 5e-5) -> None:
    """float32 through a whole UNet: 1e-5 on CPUs with AVX-512, twice that on those without."""
    assert ours.shape == theirs.shape
    difference = float((ours.double() - theirs.double()).abs().max())
    assert difference <= atol * max(1.0, float(theirs.abs().max())), (
        f"largest difference {difference:.2e} of values up to {theirs.abs().max():.2g}"
    )
    assert theirs.std() > 1e-3  # a comparison of nothing with nothing says nothing


def predict(model: StreamingUNet, *, image: bool, frames: bool, latents: Tensor = LATENTS) -> Tensor:
    text = model.context(TEXT, IMAGE if image else None)
    features = model.encode_frames(FRAMES) if frames else None
    return model(latents, torch.tensor([TIME]), text.layers, features)


def test_the_frame_encoder_is_that_of_the_equations(model: StreamingUNet, oracle: Oracle) -> None:
    close(model.encode_frames(FRAMES)[0].transpose(0, 1), oracle.frame_encoder(FLOATS))


def test_the_frame_encoder_with_norms_is_that_of_the_equations() -> None:
    model = tiny_unet(replace(TINY_UNET, condition_norm=True))
    theirs = Oracle(model.state_dict(), model.config).frame_encoder(FLOATS)
    close(model.encode_frames(FRAMES)[0].transpose(0, 1), theirs)


def test_an_embedding_becomes_the_tokens_of_the_equations(model: StreamingUNet, oracle: Oracle) -> None:
    embeddings = drawn("embedding", (2, TINY_UNET.image_embedding_dim))
    close(model.tokens(embeddings)[0], oracle.tokens(embeddings.double().mean(0)))


def test_image_tokens_are_mixed_as_the_equations_say(model: StreamingUNet, oracle: Oracle) -> None:
    layer = model.base_model.cross_attentions[-1]
    w = oracle.weights["base_model"]["up_blocks"]["2"]["attentions"]["1"]["transformer_blocks"]["0"]["attn2"]
    theirs = mixed(w, TEXT[0].double(), IMAGE[0].double())
    close(mix(layer, TEXT, IMAGE)[0], theirs)
    assert (theirs - TEXT[0]).abs().max() > 0.05


def test_a_merger_is_that_of_the_equations(model: StreamingUNet, oracle: Oracle) -> None:
    x, y = drawn("x", (T, 8, SIDE, SIDE)), drawn("y", (P, 8, SIDE, SIDE))
    w = oracle.weights["base_model"]["cross_attention_merger_down_blocks"]["1"]
    theirs = oracle.merger(w, x.double(), y.double())
    close(model.base_model.cross_attention_merger_down_blocks[1](x, y, T, P), theirs)
    assert (theirs - x).abs().max() > 0.05


def test_what_the_memory_hands_over_is_that_of_the_equations(model: StreamingUNet, oracle: Oracle) -> None:
    features = model.encode_frames(FRAMES)
    noisy = LATENTS[:, :, :P]
    ours = model.unet(noisy, torch.tensor([TIME]), model.unet.context(TEXT), features)
    skips, deepest = oracle.past(noisy[0].double().transpose(0, 1), TIME, TEXT[0].double(), FLOATS)
    assert len(ours.skips) == len(TINY_UNET.skip_channels) == len(skips)
    for one, two in zip(ours.skips, skips, strict=True):
        close(one, two)
    close(ours.deepest, deepest)


@pytest.mark.parametrize("frames", [False, True], ids=["alone", "after frames"])
@pytest.mark.parametrize("image", [False, True], ids=["text", "text and anchor"])
def test_the_prediction_is_that_of_the_equations(
    model: StreamingUNet, oracle: Oracle, image: bool, frames: bool
) -> None:
    theirs = oracle.predict(
        LATENTS[0],
        TIME,
        TEXT[0].double(),
        IMAGE[0].double() if image else None,
        FLOATS if frames else None,
    )
    close(predict(model, image=image, frames=frames)[0], theirs)


def test_each_memory_changes_the_prediction(model: StreamingUNet) -> None:
    plain = predict(model, image=False, frames=False)
    assert (predict(model, image=True, frames=False) - plain).abs().max() > 1e-2
    assert (predict(model, image=False, frames=True) - plain).abs().max() > 1e-2


def test_fresh_memories_are_no_part_of_the_prediction() -> None:
    """The result is that of diffusers' stock UNet on the text alone."""
    stock = UNet3DConditionModel(**TINY_UNET.stock)
    refill(stock)
    fresh = StreamingUNet(TINY_UNET).eval()
    lacking = fresh.base_model.load_state_dict(stock.state_dict(), strict=False)
    assert not lacking.unexpected_keys
    with torch.no_grad():
        close(predict(fresh, image=True, frames=True), stock(LATENTS, TIME, TEXT).sample)


@pytest.mark.parametrize("size", [(4, 4), (5, 6)])
def test_the_plain_network_is_diffusers_own_at_any_size(size: tuple[int, int]) -> None:
    stock = UNet3DConditionModel(**TINY_UNET.stock)
    refill(stock)
    fresh = StreamingUNet(TINY_UNET).eval()
    fresh.base_model.load_state_dict(stock.state_dict(), strict=False)
    latents = drawn("odd", (2, 4, T, *size)) * 8
    text = drawn("two", (2, TINY_UNET.text_tokens, TINY_UNET.cross_attention_dim))
    with torch.no_grad():
        ours = fresh(latents, torch.tensor([3.0, 900.0]), fresh.context(text).layers)
        close(ours, stock(latents, torch.tensor([3.0, 900.0]), text).sample)


def test_the_order_of_earlier_frames_plays_no_part_in_a_merger(model: StreamingUNet) -> None:
    merger = model.base_model.cross_attention_merger_down_blocks[0]
    x, y = drawn("x", (T, 8, SIDE, SIDE)), drawn("y", (P, 8, SIDE, SIDE))
    close(merger(x, y.flip(0), T, P), merger(x, y, T, P), 1e-6)


def test_other_frames_before_make_another_prediction(model: StreamingUNet) -> None:
    layers, time = model.context(TEXT, IMAGE).layers, torch.tensor([TIME])
    one, two, three = (
        model(LATENTS, time, layers, model.encode_frames(f)) for f in (FRAMES, 255 - FRAMES, FRAMES.flip(1))
    )
    assert (one - two).abs().max() > 1e-3
    assert (one - three).abs().max() > 1e-4  # order enters through the memory's own layers


def test_videos_of_a_batch_do_not_see_each_other(model: StreamingUNet) -> None:
    latents = torch.cat([LATENTS, LATENTS.flip(2)])
    text, image = torch.cat([TEXT, TEXT.flip(1)]), torch.cat([IMAGE, IMAGE.flip(1)])
    frames = torch.cat([FRAMES, FRAMES.flip(1)])
    together = model(
        latents, torch.tensor([TIME, 9.0]), model.context(text, image).layers, model.encode_frames(frames)
    )
    for index, t in enumerate((TIME, 9.0)):
        own = slice(index, index + 1)
        alone = model(
            latents[own],
            torch.tensor([t]),
            model.context(text[own], image[own]).layers,
            model.encode_frames(frames[own]),
        )
        close(together[own], alone, 5e-5)


def test_training_begins_with_a_copy_of_the_encoder_half(model: StreamingUNet) -> None:
    fresh = tiny_unet()
    fresh.begin_from_base()
    features = torch.zeros_like(fresh.encode_frames(FRAMES))
    noisy, time = LATENTS[:, :, :P], torch.tensor([TIME])
    copy = fresh.unet(noisy, time, fresh.unet.context(TEXT), features)
    close(copy.deepest, fresh.base_model.encode(noisy, time, fresh.base_model.context(TEXT)).deepest, 1e-6)


def test_numbers_are_those_that_were_stored(model: StreamingUNet) -> None:
    golden = load_file(GOLDEN)
    features = model.encode_frames(FRAMES)
    past = model.unet(LATENTS[:, :, :P], torch.tensor([TIME]), model.unet.context(TEXT), features)
    close(features, golden["features"])
    close(past.deepest, golden["past"])
    close(model.tokens(drawn("embedding", (2, TINY_UNET.image_embedding_dim))), golden["tokens"])
    close(predict(model, image=True, frames=True), golden["prediction"])


def test_a_text_encoder_of_other_sizes_is_refused(model: StreamingUNet) -> None:
    with pytest.raises(UserError, match="text encoder it was made with"):
        model.text_context(torch.zeros(1, 5, 12))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"attention_head_dim": 6}, "multiples of heads"), ({"condition_length": 6}, "cannot begin with")],
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(TINY_UNET, **wrong)
