"""The Wan transformer against diffusers' own, and its attention rules against each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel

from longtake.errors import UserError
from longtake.models.attention import WholeClip, block_causal_mask
from longtake.models.wan import WanConfig, WanTransformer
from tests.tiny import TINY_WAN, tiny_transformer


def clip(batch: int = 2, frames: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, TINY_WAN.in_channels, frames, 6, 10, generator=generator)


def text(batch: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, 7, TINY_WAN.text_dim, generator=torch.Generator().manual_seed(seed))


def test_folder_opens_in_diffusers_with_the_same_output(tmp_path: Path) -> None:
    model = tiny_transformer()
    model.save_pretrained(tmp_path)
    theirs = WanTransformer3DModel.from_pretrained(tmp_path).eval()
    timestep = torch.tensor([937.5, 40.0])
    with torch.no_grad():
        expected = theirs(clip(), timestep, text(), return_dict=False)[0]
        got = model(clip(), timestep[:, None].expand(-1, 5), text())
    difference = (got - expected).abs().max().item()
    assert expected.std() > 0.1
    assert difference <= 1e-4, f"largest difference {difference:.2e}"


def test_saved_folder_loads_back_to_the_same_output(tmp_path: Path) -> None:
    model = tiny_transformer()
    model.save_pretrained(tmp_path)
    again = WanTransformer.from_pretrained(tmp_path)
    timestep = torch.full((2, 5), 500.0)
    assert torch.equal(model(clip(), timestep, text()), again(clip(), timestep, text()))


def test_block_causal_frames_do_not_see_the_future() -> None:
    model = tiny_transformer()
    rule = WholeClip(grid=TINY_WAN.grid(6, 10), positions=tuple(range(5)), mask=block_causal_mask(5, 2))
    changed = clip()
    changed[:, :, 4] += 1.0
    timestep = torch.full((2, 5), 500.0)
    before = model(clip(), timestep, text(), attention=rule)
    after = model(changed, timestep, text(), attention=rule)
    torch.testing.assert_close(before[:, :, :4], after[:, :, :4])
    assert (before[:, :, 4] - after[:, :, 4]).abs().max() > 1e-2


def test_only_relative_positions_matter() -> None:
    model = tiny_transformer()
    grid, timestep = TINY_WAN.grid(6, 10), torch.full((2, 5), 300.0)
    near = model(clip(), timestep, text(), attention=WholeClip(grid=grid, positions=tuple(range(5))))
    far = model(clip(), timestep, text(), attention=WholeClip(grid=grid, positions=tuple(range(700, 705))))
    torch.testing.assert_close(near, far, atol=2e-4, rtol=0)


def test_each_frame_reads_the_caption_of_its_segment() -> None:
    model = tiny_transformer()
    timestep = torch.full((2, 5), 500.0)
    captions = torch.stack([text(seed=1), text(seed=2)], 1)
    one = model(clip(), timestep, captions, segment_BT=torch.zeros(2, 5, dtype=torch.long))
    torch.testing.assert_close(one, model(clip(), timestep, text(seed=1)), atol=1e-5, rtol=0)
    rule = WholeClip(grid=TINY_WAN.grid(6, 10), positions=tuple(range(5)), mask=block_causal_mask(5, 1))
    late = torch.tensor([[0, 0, 0, 1, 1]] * 2)
    mixed = model(clip(), timestep, captions, segment_BT=late, attention=rule)
    first = model(clip(), timestep, text(seed=1), attention=rule)
    torch.testing.assert_close(mixed[:, :, :3], first[:, :, :3], atol=1e-5, rtol=0)
    assert (mixed[:, :, 3:] - first[:, :, 3:]).abs().max() > 1e-2


def test_gradients_reach_the_text_and_every_weight() -> None:
    model = tiny_transformer().requires_grad_(True)
    words = text().requires_grad_(True)
    model(clip(), torch.full((2, 5), 500.0), words).square().mean().backward()
    assert words.grad is not None
    assert words.grad.abs().max() > 0
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # A key bias shifts all scores of a query alike only before the norm, so every weight must move.
    assert not silent, silent


@pytest.mark.parametrize(("size", "message"), [((5, 10), "10x5"), ((6, 9), "9x6")])
def test_sizes_off_the_grid_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TINY_WAN.grid(*size)


def test_full_size_model_has_the_published_count_of_parameters() -> None:
    with torch.device("meta"):
        model = WanTransformer(WanConfig())
    assert sum(p.numel() for p in model.parameters()) == 1_418_996_800
    assert len(model.state_dict()) == 825


def test_a_folder_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    tiny_transformer().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"ffn_dim": 160', '"ffn_dim": 96'))
    with pytest.raises(UserError, match="ffn_dim is 96 there, 160 in the weights"):
        WanTransformer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 2}, "patch_size 2; three whole numbers"),
        ({"patch_size": [1, 2]}, "three whole numbers"),
        ({"patch_size": [2, 2, 2]}, "streaming needs a temporal patch of 1"),
        ({"patch_size": [1, 0, 2]}, r"patch_size\[1\] 0 is not a size"),
        ({"num_layers": "thirty"}, "num_layers 'thirty' is not a size"),
        ({"num_layers": True}, "num_layers True is not a size"),
        ({"ffn_dim": -1}, "ffn_dim -1 is not a size"),
        ({"eps": 0}, "eps 0 is not a small positive number"),
        ({"attention_head_dim": 7}, "must be even and at least 12"),
        ({"qk_norm": "rms_norm"}, "only qk_norm 'rms_norm_across_heads'"),
        ({"image_dim": 1280}, "image_dim 1280 with added_kv_proj_dim None"),
        ({"image_dim": 1280, "added_kv_proj_dim": 64}, "or the second is the model's width, 1536"),
    ],
)
def test_a_config_that_is_none_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WanConfig.from_dict(WanConfig().to_dict() | change)


def test_image_to_video_configs_are_read() -> None:
    config = WanConfig.from_dict(
        WanConfig().to_dict()
        | {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 1536, "out_channels": None}
    )
    assert (config.in_channels, config.out_channels, config.image_dim) == (36, 16, 1280)


def test_the_config_of_the_original_repositories_is_read() -> None:
    about = {"_class_name": "WanModel", "model_type": "i2v", "text_len": 512, "eps": 1e-6}
    sizes = {"dim": 5120, "ffn_dim": 13824, "freq_dim": 256, "in_dim": 36, "num_heads": 40, "num_layers": 40}
    config = WanConfig.from_dict(about | sizes | {"out_dim": 16})
    assert (config.dim, config.attention_head_dim, config.num_layers, config.in_channels) == (
        5120,
        128,
        40,
        36,
    )
    with pytest.raises(UserError, match="dim 5120 and num_heads 48; the first must be a multiple"):
        WanConfig.from_dict(about | sizes | {"num_heads": 48})
