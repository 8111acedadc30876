"""Published archives: read, checked, opened, generated from; and what is not one is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import longtake
from longtake import Settings, UserError
from longtake.models.clip_image import MEAN, STD, ClipImageEncoder
from longtake.models.convert import convert
from longtake.models.hub import Checkpoint
from longtake.models.places import Located
from longtake.models.unet import sizes
from longtake.models.unet.checkpoint import is_streaming, read_streaming
from longtake.models.unet.opening import image_encoder_of, open_streaming
from longtake.pipeline import Pipeline
from tests.drawn import drawn
from tests.models.unet.archives import (
    LAYERS,
    folder_with,
    image_tower,
    lightning,
    save_lightning,
    save_vidxtend,
    vidxtend,
)
from tests.models.unet.openclip_vision import embed
from tests.models.unet.sizes import tiny_unet
from tests.tiny_streaming import PUBLISHED_UNET, streaming_folder, streaming_pipeline, streaming_preset

PROMPT = "a red sphere rolls"
SAVE: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "lightning": ("streaming_t2v.ckpt", save_lightning),
    "vidxtend": ("vidxtend.safetensors", save_vidxtend),
}


@pytest.fixture(scope="module", params=SAVE)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, save = SAVE[request.param]
    return save(tmp_path_factory.mktemp(request.param) / name)


def checkpoint(folder: Path, archive: Path) -> Checkpoint:
    """As a preset on the Hub is found: every part but the tokenizer in one file."""
    folder = folder_with(folder, archive)
    place = Located(path=archive, files=(archive,))
    parts = dict.fromkeys(("transformer", "codec", "text_encoder"), place)
    return Checkpoint(
        preset=streaming_preset(PUBLISHED_UNET),
        parts={**parts, "tokenizer": Located(path=folder / "tokenizer")},  # type: ignore[dict-item]
    )


def test_every_tensor_finds_its_network(archive: Path) -> None:
    weights = read_streaming(archive, allow_pt=True)
    assert weights.layout == ("lightning" if archive.suffix == ".ckpt" else "vidxtend")
    model = tiny_unet(PUBLISHED_UNET)
    expected = {name: t for name, t in model.state_dict().items() if not name.startswith("image_encoder.")}
    assert weights.network.keys() == expected.keys()
    assert all(torch.equal(weights.network[name], tensor) for name, tensor in expected.items())
    assert bool(weights.image_encoder) == (archive.suffix == ".ckpt")


def test_sizes_are_read_off_the_shapes(archive: Path) -> None:
    weights = read_streaming(archive, allow_pt=True)
    assert sizes.unet_config(weights.network, archive) == PUBLISHED_UNET


def test_an_archive_generates_what_its_networks_do(archive: Path, tmp_path: Path) -> None:
    found = checkpoint(tmp_path / "model", archive)
    networks = open_streaming(found, dtype=torch.float32, device=torch.device("cpu"))
    settings = Settings(long_term=archive.suffix == ".ckpt")
    takes = [Pipeline(found, *networks).stream(PROMPT, seed=2, num_frames=24, settings=settings)]
    made = [np.concatenate([chunk.frames for chunk in take]) for take in takes]
    assert made[0].shape == (24, 16, 16, 3)
    assert made[0].std() > 5
    alike = streaming_pipeline(PUBLISHED_UNET)
    assert torch.equal(
        networks.text_encoder.encode([PROMPT]).round(decimals=4),
        alike.text_encoder.encode([PROMPT]).round(decimals=4),
    )


def test_the_picture_tower_is_openclips(tmp_path: Path) -> None:
    """What OpenCLIP computes from its own names, and what is read of them into transformers' network, agree."""
    weights = read_streaming(save_lightning(tmp_path / "one.ckpt"), allow_pt=True)
    encoder = image_encoder_of(weights, torch.float32)
    assert encoder is not None
    pictures = drawn("pictures", (2, 3, encoder.side, encoder.side)).clamp(-1, 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    tower = {name.removeprefix("visual."): tensor for name, tensor in image_tower().items()}
    theirs = embed(tower, (pictures / 2 + 0.5 - mean) / std, heads=1, layers=LAYERS)
    torch.testing.assert_close(encoder(pictures), theirs, atol=1e-5, rtol=1e-4)


def test_pictures_are_resized_whole_with_their_corners_in_place() -> None:
    encoder = tiny_unet().image_encoder
    assert isinstance(encoder, ClipImageEncoder)
    fed: list[torch.Tensor] = []
    encoder.encoder.register_forward_pre_hook(lambda module, args: fed.append(args[0]))
    encoder(torch.linspace(-1, 1, 8).expand(1, 3, 8, 8))
    row = fed[0][0, 1, 3] * STD[1] + MEAN[1]
    inside = slice(encoder.side // 4, -(encoder.side // 4))
    torch.testing.assert_close(row[inside], torch.linspace(0, 1, encoder.side)[inside], atol=1e-2, rtol=0)
    assert row[0] == pytest.approx(0, abs=1e-5)
    assert row[-1] == pytest.approx(1, abs=1e-5)


def test_nothing_of_a_training_run_is_made_or_run(tmp_path: Path) -> None:
    path = save_lightning(tmp_path / "streaming_t2v.ckpt")
    assert "foreign_trainer" not in sys.modules
    weights = read_streaming(path, allow_pt=True)
    assert "foreign_trainer" not in sys.modules
    assert {"epoch", "optimizer_states", "hyper_parameters", "callbacks"} <= set(weights.ignored)
    assert {"image_encoder.model.logit_scale", "image_encoder.model.ln_final.weight"} <= set(weights.ignored)


class Harm:
    """Pickled, it asks for a function to be called."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": lightning(), "callbacks": Harm()}, tmp_path / "harm.ckpt")
    with pytest.raises(UserError, match="not opened"):
        read_streaming(tmp_path / "harm.ckpt", allow_pt=True)


def test_a_pt_file_is_refused_where_nobody_named_it(tmp_path: Path) -> None:
    path = save_lightning(tmp_path / "streaming_t2v.ckpt")
    with pytest.raises(UserError, match="only safetensors are opened here"):
        read_streaming(path, allow_pt=False)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("first_stage_model.a", "conditioner.b"), "StreamingSVD"),
        (("blocks.0.a",), "names begin with blocks"),
        (("unet.a", "resampler.b"), "names begin with resampler, unet"),
    ],
)
def test_another_model_is_refused(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=message):
        read_streaming(tmp_path / "other.safetensors", allow_pt=True)
    assert not is_streaming(names)


@pytest.mark.parametrize(
    "lost", ["controlnet.mid_block.resnets.0.conv1.weight", "resampler.context_embedding.0.weight"]
)
def test_a_file_that_lacks_a_tensor_is_refused(lost: str, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in vidxtend().items() if name != lost}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "part.safetensors")
    found = checkpoint(tmp_path / "model", tmp_path / "part.safetensors")
    with pytest.raises(UserError, match="missing"):
        open_streaming(found, dtype=torch.float32, device=torch.device("cpu"))


def test_an_archive_is_converted_to_folders_that_make_the_same_video(archive: Path, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", archive)
    done = convert(archive, tmp_path / "converted")
    assert done.kind == "StreamingT2V"
    assert len(done.files) == (4 if archive.suffix == ".ckpt" else 3)
    for part in (tmp_path / "converted").iterdir():
        part.rename(folder / part.name)
    settings = Settings(long_term=archive.suffix == ".ckpt")
    found = checkpoint(tmp_path / "other", archive)
    opened = Pipeline(found, *open_streaming(found, dtype=torch.float32, device=torch.device("cpu")))
    one, two = (
        next(pipe.stream(PROMPT, seed=2, settings=settings)).latents
        for pipe in (opened, longtake.load(folder))
    )
    assert torch.equal(one, two)


def test_a_folder_is_opened_by_name_and_makes_the_same_video(tmp_path: Path) -> None:
    pipe = streaming_pipeline()
    opened = longtake.load(streaming_folder(tmp_path / "model", pipe))
    one, two = (
        np.concatenate([chunk.frames for chunk in each.stream(PROMPT, seed=4, num_frames=7)])
        for each in (pipe, opened)
    )
    assert np.array_equal(one, two)
    assert opened.longest is None
