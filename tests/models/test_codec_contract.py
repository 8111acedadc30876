"""What every codec promises: streaming changes nothing, state can be carried over, wrong input is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.codec import Codec, CodecState, frames_for_latents, latents_for_frames
from longtake.models.patch_codec import PatchCodec, PatchCodecConfig
from longtake.models.tiled_codec import TiledCodec, Tiling
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.models.wan_codec import WanCodec

BATCH, LATENT_FRAMES, ROWS, COLUMNS = 2, 6, 2, 3


def redraw(module: nn.Module, seed: int) -> None:
    """Draw every tensor anew with its fan-in, so that nothing zero-initialised hides a fault."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(module.state_dict().items()):
        noise = torch.randn(tensor.shape, generator=generator)
        fan_in = max(1, tensor[0].numel()) if tensor.ndim > 1 else 16
        is_gain = name.endswith(("gamma", "scale"))
        tensor.copy_(1.0 + 0.1 * noise if is_gain else noise / fan_in**0.5)


def patch_codec() -> PatchCodec:
    codec = PatchCodec(
        PatchCodecConfig(latent_channels=6, width=8, num_blocks=2, detail_channels=3, detail_width=4)
    )
    redraw(codec, 1)
    return codec.eval()


def wan_codec() -> WanCodec:
    channels = 4
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=channels,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.3, -0.2, 0.1, -0.4],
        latents_std=[1.5, 0.7, 2.0, 0.9],
    )
    redraw(vae, 2)
    return WanCodec(vae)


def tiny_codec() -> TinyCodec:
    codec = TinyCodec(TinyCodecConfig(latent_channels=5, encoder_width=6, decoder_widths=(8, 6, 4, 4)))
    redraw(codec, 6)
    return codec.eval().requires_grad_(False)


def tiled(build: Callable[[], Codec]) -> Callable[[], Codec]:
    """Two tiles across, overlapping by a cell."""

    def build_tiled() -> Codec:
        codec = build()
        stride = codec.spatial_stride
        return TiledCodec(codec, Tiling(width=2 * stride, height=2 * stride, overlap=stride))

    return build_tiled


CODECS = {"patch": patch_codec, "wan": wan_codec, "tiny": tiny_codec}
CODECS |= {f"tiled {name}": tiled(build) for name, build in CODECS.items()}


@pytest.fixture(scope="module", params=CODECS.values(), ids=CODECS.keys())
def codec(request: pytest.FixtureRequest) -> Codec:
    build: Callable[[], Codec] = request.param
    return build()


def some_latents(codec: Codec, frames: int = LATENT_FRAMES) -> Tensor:
    shape = (BATCH, codec.latent_channels, frames, ROWS, COLUMNS)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def some_frames(codec: Codec, latent_frames: int = LATENT_FRAMES) -> Tensor:
    count = frames_for_latents(latent_frames, codec.temporal_stride)
    shape = (BATCH, count, ROWS * codec.spatial_stride, COLUMNS * codec.spatial_stride, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(4), dtype=torch.uint8)


def decode_in(codec: Codec, latents: Tensor, groups: list[int], state: CodecState) -> Tensor:
    return torch.cat([codec.decode_float(part, state) for part in latents.split(groups, dim=2)], dim=2)


def encode_in(codec: Codec, frames: Tensor, groups: list[int], state: CodecState) -> Tensor:
    stride = codec.temporal_stride
    pixel_groups = [stride * group for group in groups]
    pixel_groups[0] += 1 - stride
    return torch.cat([codec.encode(part, state) for part in frames.split(pixel_groups, dim=1)], dim=2)


def difference(a: Tensor, b: Tensor) -> str:
    return f"largest difference {(a.double() - b.double()).abs().max():.3e}"


GROUPINGS = [[1] * 6, [3, 3], [1, 5], [2, 1, 3]]


@pytest.mark.parametrize("groups", GROUPINGS, ids=str)
def test_grouping_of_decode_changes_no_bit(codec: Codec, groups: list[int]) -> None:
    latents = some_latents(codec)
    whole = codec.decode_float(latents, codec.start())
    parts = decode_in(codec, latents, groups, codec.start())
    assert torch.equal(parts, whole), difference(parts, whole)


@pytest.mark.parametrize("groups", GROUPINGS, ids=str)
def test_grouping_of_encode_changes_no_bit(codec: Codec, groups: list[int]) -> None:
    frames = some_frames(codec)
    whole = codec.encode(frames, codec.start())
    parts = encode_in(codec, frames, groups, codec.start())
    assert torch.equal(parts, whole), difference(parts, whole)


def test_decoded_bytes_are_the_rounded_floats(codec: Codec) -> None:
    latents = some_latents(codec, 3)
    levels = codec.decode(latents, codec.start())
    floats = codec.decode_float(latents, codec.start())
    assert levels.dtype == torch.uint8
    assert torch.equal(levels, ((floats + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1))


def test_first_latent_frame_is_one_pixel_frame_and_later_ones_a_group(codec: Codec) -> None:
    state = codec.start()
    counts = [codec.decode(latent, state).shape[1] for latent in some_latents(codec, 3).split(1, dim=2)]
    assert counts == [1, codec.temporal_stride, codec.temporal_stride]
    size = (ROWS * codec.spatial_stride, COLUMNS * codec.spatial_stride)
    assert codec.decode(some_latents(codec, 1), codec.start()).shape == (BATCH, 1, *size, 3)


def test_encoding_and_decoding_restore_the_shape(codec: Codec) -> None:
    frames, state = some_frames(codec), codec.start()
    latents = codec.encode(frames, state)
    assert latents.shape == (BATCH, codec.latent_channels, LATENT_FRAMES, ROWS, COLUMNS)
    assert codec.decode(latents, state).shape == frames.shape


def test_float_frames_encode_like_the_same_bytes(codec: Codec) -> None:
    frames = some_frames(codec, 2)
    floats = frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
    assert torch.equal(codec.encode(frames, codec.start()), codec.encode(floats, codec.start()))


@pytest.mark.parametrize("cut", range(LATENT_FRAMES))
def test_restored_snapshot_goes_on_as_if_unbroken(codec: Codec, cut: int, tmp_path: Path) -> None:
    latents, frames = some_latents(codec), some_frames(codec)
    cut_frames = frames_for_latents(cut, codec.temporal_stride) if cut else 0
    unbroken, state = codec.start(), codec.start()
    if cut:
        for each in (unbroken, state):
            codec.decode_float(latents[:, :, :cut], each)
            codec.encode(frames[:, :cut_frames], each)
    save_file(state.snapshot(), tmp_path / "state.safetensors")
    restored = codec.start()
    restored.restore(load_file(tmp_path / "state.safetensors"))
    pixels = codec.decode_float(latents[:, :, cut:], unbroken)
    again = codec.decode_float(latents[:, :, cut:], restored)
    assert torch.equal(again, pixels), difference(again, pixels)
    codes = codec.encode(frames[:, cut_frames:], unbroken)
    codes_again = codec.encode(frames[:, cut_frames:], restored)
    assert torch.equal(codes_again, codes), difference(codes_again, codes)


def test_snapshot_is_not_changed_by_going_on(codec: Codec) -> None:
    latents, state = some_latents(codec), codec.start()
    codec.decode(latents[:, :, :3], state)
    snapshot = state.snapshot()
    before = {name: tensor.clone() for name, tensor in snapshot.items()}
    codec.decode(latents[:, :, 3:], state)
    assert all(torch.equal(snapshot[name], before[name]) for name in before)


def test_two_streams_through_one_codec_do_not_meet(codec: Codec) -> None:
    latents = some_latents(codec)
    other = latents.flip(2)
    alone = codec.decode(latents, codec.start())
    state, other_state = codec.start(), codec.start()
    parts = []
    for latent, other_latent in zip(latents.split(2, dim=2), other.split(2, dim=2), strict=True):
        parts.append(codec.decode(latent, state))
        codec.decode(other_latent, other_state)
    assert torch.equal(torch.cat(parts, dim=1), alone)


def test_past_latents_matter_and_future_ones_do_not(codec: Codec) -> None:
    latents = some_latents(codec)
    frames = codec.decode_float(latents, codec.start())
    changed = latents.clone()
    changed[:, :, 2] += 1.0
    after = codec.decode_float(changed, codec.start())
    start = frames_for_latents(2, codec.temporal_stride)
    end = frames_for_latents(3, codec.temporal_stride)
    assert torch.equal(after[:, :, :start], frames[:, :, :start])
    assert not torch.allclose(after[:, :, end:], frames[:, :, end:])


def test_sizes_off_the_grid_are_refused(codec: Codec) -> None:
    stride = codec.spatial_stride
    frames = torch.zeros(1, 1, 2 * stride, 3 * stride - 3, 3, dtype=torch.uint8)
    with pytest.raises(
        UserError, match=rf"size {3 * stride - 3}x{2 * stride} .* use {3 * stride}x{2 * stride}"
    ):
        codec.encode(frames, codec.start())


@pytest.mark.parametrize(("given", "advice"), [(0, "use 1 or 5"), (3, "use 1 or 5"), (8, "use 5 or 9")])
def test_frames_that_do_not_fill_a_group_are_refused_at_the_start(
    codec: Codec, given: int, advice: str
) -> None:
    state = codec.start()
    with pytest.raises(UserError, match=advice):
        codec.encode(torch.zeros(1, given, 16, 16, 3, dtype=torch.uint8), state)
    assert state.encoder.position == 0


@pytest.mark.parametrize(("given", "advice"), [(1, "use 4 or 8"), (6, "use 4 or 8"), (9, "use 8 or 12")])
def test_frames_that_do_not_fill_a_group_are_refused_later(codec: Codec, given: int, advice: str) -> None:
    state = codec.start()
    codec.encode(torch.zeros(1, 1, 16, 16, 3, dtype=torch.uint8), state)
    with pytest.raises(UserError, match=advice):
        codec.encode(torch.zeros(1, given, 16, 16, 3, dtype=torch.uint8), state)
    assert state.encoder.position == 1


def test_wrong_channels_are_refused(codec: Codec) -> None:
    with pytest.raises(UserError, match=f"takes .batch, {codec.latent_channels}, latent frames"):
        codec.decode(torch.zeros(1, codec.latent_channels + 1, 1, 2, 2), codec.start())
    with pytest.raises(UserError, match="a codec takes uint8"):
        codec.encode(torch.zeros(1, 1, 16, 16, 4, dtype=torch.uint8), codec.start())


def test_a_stream_keeps_its_size(codec: Codec) -> None:
    state = codec.start()
    codec.decode(some_latents(codec, 2), state)
    with pytest.raises(UserError, match="start a new stream"):
        codec.decode(torch.zeros(1, codec.latent_channels, 1, ROWS, COLUMNS), state)


def test_a_released_stream_holds_nothing_and_is_over(codec: Codec) -> None:
    state = codec.start()
    codec.decode(some_latents(codec, 2), state)
    codec.encode(some_frames(codec, 2), state)
    state.release()
    assert state.decoder.slots == state.encoder.slots == []
    for go_on in (
        lambda: codec.decode(some_latents(codec, 1), state),
        lambda: codec.encode(some_frames(codec, 2)[:, 1:], state),
        state.snapshot,
    ):
        with pytest.raises(UserError, match="is over"):
            go_on()


def test_an_error_in_mid_step_ends_the_stream(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    state = codec.start()
    codec.decode(some_latents(codec, 2), state)
    last = [part for part in codec.modules() if isinstance(part, nn.Conv2d | nn.Conv3d)][-1]
    monkeypatch.setattr(last, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        codec.decode(some_latents(codec, 1), state)
    monkeypatch.undo()
    with pytest.raises(UserError, match="restore a snapshot"):
        codec.decode(some_latents(codec, 1), state)


def test_snapshot_of_something_else_is_refused(codec: Codec) -> None:
    state = codec.start()
    with pytest.raises(UserError, match="no codec state"):
        state.restore({})
    codec.decode(some_latents(codec, 2), state)
    snapshot = state.snapshot()
    del snapshot[next(name for name in snapshot if ".slot." in name)]
    with pytest.raises(UserError, match="damaged"):
        codec.start().restore(snapshot)


def test_frame_counts() -> None:
    assert [frames_for_latents(n, 4) for n in (1, 2, 3)] == [1, 5, 9]
    assert [latents_for_frames(n, 4) for n in (1, 5, 9)] == [1, 2, 3]
    with pytest.raises(UserError, match="use 5 or 9"):
        latents_for_frames(6, 4)
    with pytest.raises(UserError, match="at least 1"):
        frames_for_latents(0, 4)
