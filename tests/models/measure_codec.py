"""Run as a script: prints what coding some latent frames was predicted to hold, and what the process did hold."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan

from longtake.models.codec import Codec, CodecState
from longtake.models.footprint import decode_bytes, encode_bytes
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.models.wan_codec import WanCodec

SIZES = {"wan": (96, 128), "tiny": (192, 256)}


def build(kind: str) -> Codec:
    if kind == "tiny":
        return TinyCodec(TinyCodecConfig(encoder_width=16, decoder_widths=(32, 16, 16, 16)))
    sizes = {"base_dim": 8, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1}
    return WanCodec(AutoencoderKLWan(**sizes))


def run(codec: Codec, side: str, state: CodecState, height: int, width: int) -> None:
    for step in range(3):
        if side == "decode":
            codec.decode(torch.randn(1, codec.latent_channels, 1, height // 8, width // 8), state)
        else:
            codec.encode(
                torch.randint(0, 256, (1, 4 if step else 1, height, width, 3)).to(torch.uint8), state
            )


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def measure(kind: str, side: str) -> dict[str, int]:
    height, width = SIZES[kind]
    codec = build(kind).eval().requires_grad_(False)
    run(codec, side, codec.start(), 64, 64)  # what libraries keep for themselves is there from now on
    predict = decode_bytes if side == "decode" else encode_bytes
    needed = predict(codec, height, width)
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    run(codec, side, codec.start(), height, width)
    return {"predicted": needed.peak, "measured": needed.weights + status("VmHWM") - before}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({case: measure(*case.split()) for case in sys.argv[1:]}))
