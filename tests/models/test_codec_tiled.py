"""Tiling: nothing changes while one tile covers the picture; with more, seams are blended and bounded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import Codec, frames_for_latents
from longtake.models.footprint import decode_bytes
from longtake.models.patch_codec import PatchCodec
from longtake.models.tiled_codec import TiledCodec, Tiling, _Cuts
from longtake.models.tiny_codec import TinyCodec
from longtake.models.wan_codec import WanCodec
from tests.models.test_codec_contract import patch_codec, tiny_codec, wan_codec

BUILDS = {"patch": patch_codec, "wan": wan_codec, "tiny": tiny_codec}
ROWS, COLUMNS = 5, 7


@pytest.fixture(scope="module", params=BUILDS.values(), ids=BUILDS.keys())
def codec(request: pytest.FixtureRequest) -> Codec:
    build: Callable[[], Codec] = request.param
    return build()


def some_latents(codec: Codec, frames: int, rows: int = ROWS, columns: int = COLUMNS) -> Tensor:
    shape = (1, codec.latent_channels, frames, rows, columns)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def some_frames(codec: Codec, latent_frames: int) -> Tensor:
    count = frames_for_latents(latent_frames, codec.temporal_stride)
    shape = (1, count, ROWS * codec.spatial_stride, COLUMNS * codec.spatial_stride, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(4), dtype=torch.uint8)


ROUNDING = 2e-6
"""Kernels are chosen by size and layout, and on some CPUs they sum in another order."""


def test_one_tile_changes_nothing(codec: Codec) -> None:
    tiled = TiledCodec(codec, Tiling(width=64, height=64, overlap=8))
    latents, frames = some_latents(codec, 3), some_frames(codec, 2)
    for ours, plain in (
        (tiled.decode_float(latents, tiled.start()), codec.decode_float(latents, codec.start())),
        (tiled.encode(frames, tiled.start()), codec.encode(frames, codec.start())),
    ):
        difference = float((ours - plain).abs().max() / plain.abs().max())
        assert difference <= ROUNDING, f"relative difference {difference:.1e}"


def test_seams_are_bounded_and_far_from_them_nothing_changes(codec: Codec) -> None:
    """A wide picture in two tiles; the Wan VAE's attention sees the whole tile, so there all of it may differ."""
    overlap = 4
    latents = some_latents(codec, 3, rows=3, columns=16)
    stride = codec.spatial_stride
    tiled = TiledCodec(codec, Tiling(width=10 * stride, height=10 * stride, overlap=overlap * stride))
    error = tiled.decode_float(latents, tiled.start()) - codec.decode_float(latents, codec.start())
    root_mean_square = error.square().mean().sqrt()
    limit = 0.15 if isinstance(codec, WanCodec) else 0.03
    assert root_mean_square < limit, f"seams differ by {root_mean_square:.4f} (pixels are in -1…1)"
    if isinstance(codec, PatchCodec):
        assert error[..., : 3 * stride].abs().max() <= ROUNDING
    assert error.abs().max() > 0, "the codec looks beyond a tile, so this test must see a seam"


def test_blending_hides_a_seam_that_butting_shows() -> None:
    """Along the middle of the overlap, neighbouring columns differ no more than elsewhere."""
    codec = tiny_codec()
    latents = some_latents(codec, 2, rows=2, columns=12)
    whole = codec.decode_float(latents, codec.start())

    def worst(overlap: int) -> float:
        tiled = TiledCodec(codec, Tiling(width=(6 + overlap // 2) * 8, height=64, overlap=overlap * 8))
        error = tiled.decode_float(latents, tiled.start()) - whole
        return float((error[..., 1:] - error[..., :-1]).abs().mean(dim=(0, 1, 2, 3)).max())

    assert worst(4) < 0.7 * worst(0), (worst(4), worst(0))


def test_tiles_count_to_one_everywhere() -> None:
    for length, size, overlap in [(7, 7, 2), (7, 9, 3), (16, 6, 2), (13, 5, 0), (9, 4, 3)]:
        cuts = _Cuts.of(length, size, overlap)
        total = torch.zeros(length * 4, dtype=torch.float64)
        for index, start in enumerate(cuts.starts):
            total[start * 4 : (start + cuts.size) * 4] += cuts.weights(index, 4)
        assert torch.allclose(total, torch.ones_like(total)), (length, size, overlap)
        gaps = [second - first for first, second in pairwise(cuts.starts)]
        assert all(cuts.size - gap >= overlap for gap in gaps)
        assert cuts.starts[0] == 0
        assert cuts.starts[-1] + cuts.size == length


def test_every_tile_is_in_the_snapshot(codec: Codec) -> None:
    tiled = TiledCodec(codec, Tiling(width=32, height=32, overlap=8))
    plain = codec.start()
    codec.decode(some_latents(codec, 2), plain)
    state = tiled.start()
    tiled.decode(some_latents(codec, 2), state)
    assert len(state.decoder.slots) == 2 * 2 * len(plain.decoder.slots)
    other = TiledCodec(codec, Tiling(width=24, height=24, overlap=8))
    restored = other.start()
    restored.restore(state.snapshot())
    if len(state.decoder.slots) % 6:
        with pytest.raises(UserError, match="tile as it was tiled"):
            other.decode(some_latents(codec, 1), restored)


def test_tiles_that_rest_elsewhere_change_no_bit(codec: Codec) -> None:
    latents = some_latents(codec, 3)
    tiling = {"width": 32, "height": 32, "overlap": 8}
    at_home, away = (TiledCodec(codec, Tiling(**tiling, rest_on_cpu=rest)) for rest in (False, True))
    assert torch.equal(away.decode(latents, away.start()), at_home.decode(latents, at_home.start()))


@pytest.mark.parametrize("kind", ["wan", "tiny"])
def test_two_tiles_need_little_more_than_half_the_memory_in_a_step(kind: str) -> None:
    """The published sizes, without contents."""
    with torch.device("meta"):
        codec = WanCodec(AutoencoderKLWan()) if kind == "wan" else TinyCodec()
    tiled = TiledCodec(codec, Tiling(width=448, height=480, overlap=64))
    whole, tiles = (decode_bytes(each, 480, 832, device="cuda") for each in (codec, tiled))
    assert tiles.peak - tiles.stream < 0.7 * (whole.peak - whole.stream), (whole, tiles)
    assert tiles.stream == whole.stream * (2 * 448) // 832


def test_tiles_that_rest_elsewhere_leave_the_device_to_one_tile() -> None:
    with torch.device("meta"):
        codec = WanCodec(AutoencoderKLWan())
    sizes = {"width": 448, "height": 480, "overlap": 64}
    here, away = (
        decode_bytes(TiledCodec(codec, Tiling(**sizes, rest_on_cpu=rest)), 480, 832, device="cuda")
        for rest in (False, True)
    )
    assert away.stream == 0
    assert away.weights + here.stream / 2 < away.peak < here.peak - 0.4 * here.stream


def test_tiles_are_no_larger_than_they_must_be() -> None:
    assert _Cuts.of(60, 32, 8) == _Cuts(starts=(0, 17, 34), size=26, length=60)
    assert _Cuts.of(104, 32, 8) == _Cuts(starts=(0, 24, 48, 72), size=32, length=104)


def test_tiles_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="overlap must be smaller"):
        Tiling(width=64, height=32, overlap=32)
    with pytest.raises(UserError, match="tile width 100 is not a multiple of 8; use 96 or 104"):
        TiledCodec(tiny_codec(), Tiling(width=100))
