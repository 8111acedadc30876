"""The codec's recipe: it learns, leaves the latent space alone, and goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from longtake.errors import UserError
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.patch_fit import fit_patch_codec
from longtake.train.codec import CodecConfig, CodecTraining, loss_of, rendered_clips, train
from longtake.train.codec_sheet import psnr

TINY = PatchCodecConfig(latent_channels=8, width=8, num_blocks=1, detail_channels=2, detail_width=4)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CodecConfig:
    folder = tmp_path_factory.mktemp("start")
    sizes = {"size": 32, "fit_clips": 4, "fit_frames": 5, "batch": 2, "frames": 5, "crop": 16}
    recipe = CodecConfig(start=str(folder), steps=4, checkpoint_every=2, check_clips=2, **sizes)
    fit_patch_codec([rendered_clips(recipe, "fit", 0, 4, 5)], TINY).save_pretrained(folder)
    return recipe


def start(config: CodecConfig) -> CodecTraining:
    return CodecTraining(PatchCodec.from_pretrained(str(config.start)), config)


def test_clips_are_drawn_by_their_number(config: CodecConfig) -> None:
    clips = rendered_clips(config, "train", 3, 2, 5)
    assert clips.shape == (2, 5, 32, 32, 3)
    assert torch.equal(clips, rendered_clips(config, "train", 3, 2, 5))
    assert not torch.equal(clips, rendered_clips(config, "check", 3, 2, 5))


def test_training_changes_the_decoder_and_not_the_latent_space(config: CodecConfig) -> None:
    training = start(config)
    before = {name: tensor.clone() for name, tensor in training.codec.state_dict().items()}
    for _ in range(3):
        training.advance()
    after = training.averaged().state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "decoder.detail.conv_out.weight" in changed
    assert all(name.startswith("decoder.") for name in changed)


def test_training_lowers_the_loss_on_one_batch(config: CodecConfig) -> None:
    training = start(config)
    target, latents = training.batch()
    with torch.no_grad():
        first = float(loss_of(training.codec.reconstruct(latents), target, config))
    for _ in range(30):
        training.step = 0
        training.advance()
    with torch.no_grad():
        assert float(loss_of(training.codec.reconstruct(latents), target, config)) < first


def test_resumed_run_ends_with_the_same_weights(config: CodecConfig, tmp_path: Path) -> None:
    train(config, tmp_path / "whole", resume=False)
    killed = tmp_path / "killed"
    first_half = CodecTraining(PatchCodec.from_pretrained(str(config.start)), config)
    killed.mkdir()
    first_half.codec.save_pretrained(killed / "codec")
    first_half.advance()
    first_half.advance()
    first_half.save(killed / "checkpoint.safetensors")
    train(config, killed, resume=True)
    ends = [PatchCodec.from_pretrained(tmp_path / run / "codec").state_dict() for run in ("whole", "killed")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_run_leaves_a_log_and_a_sheet(config: CodecConfig, tmp_path: Path) -> None:
    train(config, tmp_path / "run", resume=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    assert {"loss", "closed_later_psnr", "decoder_later_psnr"} <= lines[-1].keys()
    assert Image.open(tmp_path / "run" / "sheet.png").size == (3 * 32 * 4, 2 * 32 * 4)
    with pytest.raises(UserError, match="resume it"):
        train(config, tmp_path / "run", resume=False)


def test_checkpoint_of_another_codec_is_refused(config: CodecConfig, tmp_path: Path) -> None:
    training = start(config)
    training.advance()
    training.save(tmp_path / "checkpoint.safetensors")
    wider = fit_patch_codec([rendered_clips(config, "fit", 0, 4, 5)], PatchCodecConfig(width=16))
    with pytest.raises(UserError, match="another codec"):
        CodecTraining(wider, config).load(tmp_path / "checkpoint.safetensors")


def test_crop_off_the_grid_is_refused(config: CodecConfig) -> None:
    with pytest.raises(ValueError, match="crop 40 does not fit"):
        CodecConfig(size=32, crop=40)


def test_psnr_of_a_known_error() -> None:
    target = torch.zeros(1, 1, 2, 2, 3, dtype=torch.uint8)
    assert psnr(target + 51, target) == pytest.approx(20 * torch.log10(torch.tensor(5.0)).item(), abs=1e-4)
