"""Predicted memory of codecs against what a process really holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from longtake.errors import UserError
from longtake.models.footprint import decode_bytes, encode_bytes
from longtake.models.wan_codec import WanCodec
from tests.models.test_codec_contract import some_latents, tiny_codec, wan_codec

MEASURE = Path(__file__).with_name("measure_codec.py")
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux' /proc")


CASES = ("wan decode", "wan encode", "tiny decode")


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, int]]:
    """Figures of a process of its own whose allocator gives freed memory back at once."""
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(MEASURE), *CASES]
    done = subprocess.run(
        command, env=os.environ | at_once, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, int]] = json.loads(done.stdout)
    return figures


@needs_proc
@pytest.mark.parametrize("case", CASES)
def test_predicted_peak_is_the_measured_one(measured: dict[str, dict[str, int]], case: str) -> None:
    figures = measured[case]
    ratio = figures["predicted"] / figures["measured"]
    assert 0.9 < ratio < 1.1, f"predicted / measured = {ratio:.3f}: {figures}"


def test_a_codec_without_contents_gives_the_same_figures() -> None:
    with torch.device("meta"):
        empty = WanCodec(AutoencoderKLWan())
    figures = decode_bytes(empty, 480, 832, dtype=torch.bfloat16, device="cuda")
    # Two past frames at every causal convolution that keeps some: layers times channels, by level of the picture.
    cells = 60 * 104
    features = cells * (16 + 11 * 384 + 4 * (192 + 6 * 384) + 16 * 6 * 192 + 64 * 7 * 96)
    assert figures.stream == 2 * features * 2
    assert figures.weights == 2 * 126_892_531 + 2 * 32
    assert figures.peak > figures.weights + figures.stream


def test_half_precision_and_smaller_pictures_need_less() -> None:
    codec = wan_codec()
    before = [tensor.data_ptr() for tensor in codec.parameters()]
    whole = decode_bytes(codec, 64, 96, device="cuda")
    half = decode_bytes(codec, 64, 96, dtype=torch.bfloat16, device="cuda")
    small = encode_bytes(codec, 32, 96)
    assert half.stream == whole.stream // 2
    assert half.weights == whole.weights // 2
    assert small.stream < encode_bytes(codec, 64, 96).stream
    assert [tensor.data_ptr() for tensor in codec.parameters()] == before
    assert codec.dtype == torch.float32


def test_the_stream_is_what_its_slots_hold() -> None:
    codec = tiny_codec()
    state = codec.start()
    codec.decode(some_latents(codec, 3), state)
    held = sum(slot.nbytes for slot in state.decoder.slots if isinstance(slot, torch.Tensor))
    assert decode_bytes(codec, 16, 24, batch=2).stream == held


def test_sizes_off_the_grid_are_refused() -> None:
    with pytest.raises(UserError, match="size 830x480 is not a multiple of 8"):
        decode_bytes(tiny_codec(), 480, 830)
