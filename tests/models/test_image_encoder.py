"""The image encoder against transformers' own processing and network, in both layouts in which it is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel

from longtake.errors import UserError
from longtake.models import image_encoder
from longtake.models.convert import convert
from longtake.models.image_encoder import CLIP_VIT_H, ImageEncoder, parameters_of
from tests.tiny import TINY_CLIP, tiny_clip

PICTURES = [
    np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    for seed, shape in enumerate([(50, 90, 3), (61, 33, 3)])
]


def original(encoder: CLIPVisionModel) -> dict[str, Tensor]:
    """Wan's own names, written from the layout of OpenCLIP's ViT, beside parts that are not read."""
    state = {name.removeprefix("vision_model."): value for name, value in encoder.state_dict().items()}
    named = {
        "visual.cls_embedding": state["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": state["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": state["embeddings.patch_embedding.weight"],
        "visual.head": torch.zeros(TINY_CLIP["hidden_size"], 4),
        "textual.token_embedding.weight": torch.zeros(3, 4),
        "log_scale": torch.zeros(1),
    }
    for ours, theirs in (("pre_norm", "pre_layrnorm"), ("post_norm", "post_layernorm")):
        named |= {f"visual.{ours}.{kind}": state[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    for n in range(TINY_CLIP["num_hidden_layers"]):
        start = f"encoder.layers.{n}"
        for kind in ("weight", "bias"):
            three = [state[f"{start}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            named[f"visual.transformer.{n}.attn.to_qkv.{kind}"] = torch.cat(three)
            for ours, theirs in (
                ("norm1", "layer_norm1"),
                ("norm2", "layer_norm2"),
                ("attn.proj", "self_attn.out_proj"),
                ("mlp.0", "mlp.fc1"),
                ("mlp.2", "mlp.fc2"),
            ):
                named[f"visual.transformer.{n}.{ours}.{kind}"] = state[f"{start}.{theirs}.{kind}"]
    return named


@torch.no_grad()
def expected(encoder: CLIPVisionModel) -> Tensor:
    """Tokens as diffusers' image-to-video pipeline makes them."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = TINY_CLIP["image_size"]
    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    pixels = processor(images=PICTURES, return_tensors="pt")
    return encoder(**pixels, output_hidden_states=True).hidden_states[-2]


def test_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = tiny_clip()
    theirs.save_pretrained(tmp_path)
    right = expected(theirs)
    assert right.std() > 0.1
    tokens = ImageEncoder.from_files(tmp_path).encode(PICTURES)
    count = 1 + (TINY_CLIP["image_size"] // TINY_CLIP["patch_size"]) ** 2
    assert tokens.shape == (1, 2 * count, TINY_CLIP["hidden_size"])
    difference = (tokens[0].unflatten(0, (2, count)) - right).abs().max().item()
    assert difference <= 1e-5, f"largest difference {difference:.2e}"


def test_wans_own_file_is_the_same_network(tmp_path: Path) -> None:
    theirs = tiny_clip()
    theirs.save_pretrained(tmp_path / "folder")
    torch.save({name: value.half() for name, value in original(theirs).items()}, tmp_path / "clip.pth")
    rounded = {
        name: value.half().float() for name, value in load_file(tmp_path / "folder/model.safetensors").items()
    }
    rounded |= {
        "visual_projection.weight": torch.ones(4, 24),
        "vision_model.embeddings.position_ids": torch.ones(1, 5),
    }
    save_file(rounded, tmp_path / "folder/model.safetensors", metadata={"format": "pt"})
    one = ImageEncoder.from_files(tmp_path / "folder")
    two = ImageEncoder.from_files(tmp_path / "clip.pth", config=TINY_CLIP, allow_pt=True)
    assert torch.equal(one.encode(PICTURES), two.encode(PICTURES))
    with pytest.raises(UserError, match="only safetensors are opened here"):
        ImageEncoder.from_files(tmp_path / "clip.pth", config=TINY_CLIP)


def test_wans_own_file_is_converted_into_a_folder_that_transformers_opens(tmp_path: Path) -> None:
    theirs = tiny_clip()
    theirs.save_pretrained(tmp_path / "source")
    (tmp_path / "source" / "model.safetensors").unlink()
    torch.save(original(theirs), tmp_path / "source" / "clip.pth")
    done = convert(tmp_path / "source" / "clip.pth", tmp_path / "out")
    assert (done.kind, done.layout, done.parameters) == ("image encoder", "original", theirs.num_parameters())
    wanted = expected(theirs)
    assert torch.equal(expected(CLIPVisionModel.from_pretrained(tmp_path / "out").eval()), wanted)
    assert torch.equal(ImageEncoder.from_files(tmp_path / "out").encode(PICTURES)[0], wanted.flatten(0, 1))


def test_the_comparison_notices_colours_of_another_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tiny_clip()
    theirs.save_pretrained(tmp_path)
    monkeypatch.setattr(image_encoder, "STD", (0.5, 0.5, 0.5))
    tokens = ImageEncoder.from_files(tmp_path).encode(PICTURES)
    assert (tokens[0] - expected(theirs).flatten(0, 1)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("visual.pre_norm.bias"), r"missing \(pre_layrnorm\.bias\)"),
        (lambda state: state.update({"visual.odd": torch.ones(1)}), r"unexpected \(odd\)"),
        (lambda state: state.update({"visual.cls_embedding": torch.ones(1, 1, 3)}), "of another shape"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    state = original(tiny_clip())
    change(state)
    torch.save(state, tmp_path / "clip.pth")
    with pytest.raises(UserError, match=message):
        ImageEncoder.from_files(tmp_path / "clip.pth", config=TINY_CLIP, allow_pt=True)


def test_sizes_of_the_published_encoder() -> None:
    """With the head of 1280 x 1024, which is not read, it would be 632,076,800."""
    assert parameters_of(None) == 630_766_080
    assert CLIPVisionConfig(**CLIP_VIT_H).hidden_act == "gelu"
