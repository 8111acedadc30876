"""A published model's real size on a GPU, random weights, from the prompt to encoded video.

Each codec has two runs of one take. The first is as users get it (a chunk is decoded beside the next one's denoising):
frames a second after the warm-up, the time to the first frame of a further take, the peak of the device's memory. The
second waits for the device after every call of the transformer, for the shares of the wall time. The text encoder, of
its real size too, is timed by itself and counts towards the first frame. Ceiling: a square matrix product in bfloat16;
the transformer's fraction of it is what it computes, as PyTorch counts, over its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from longtake.measure.bare import full_size, named, random_engine
from longtake.measure.gpu_run import first_frame, flops, run
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import random_transformer, redraw
from longtake.measure.results import Figure, Result
from longtake.media import VideoFormat
from longtake.models.codec import Codec
from longtake.models.hub import Preset
from longtake.models.network import TextNetwork
from longtake.models.text import MAX_LENGTH
from longtake.models.tiny_codec import TinyCodec, TinyCodecConfig
from longtake.models.umt5 import UMT5Encoder
from longtake.models.wan import WanConfig, WanTransformer
from longtake.models.wan_codec import WAN_LATENTS_MEAN, WAN_LATENTS_STD, WanCodec

__all__ = ["Subject", "codec_figures", "gpu"]

Progress = Callable[[int, int, str], None]
CHUNKS, WARM_UP, WATCHED = 40, 8, 8
ASKED = {"full": 20.0, "tiny": 35.0}
"""Frames a second asked of each codec."""
MOST_FIRST = 0.5
SIDE = 8192
"""Rows and columns of the ceiling's matrices."""
ROUNDS = 20
"""Products that the ceiling is a mean of."""
NO_GPU = "not measured: there is no GPU here"
DEVICE = "cuda"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured, and what it is measured against."""

    preset: Preset
    model: WanTransformer
    ceiling: float
    """Operations a second of a matrix product."""
    text: float
    """Seconds of reading a prompt."""
    wait: Callable[[], object]
    """Waits for the device."""


def gpu(progress: Progress, preset: str = "self-forcing", chunks: int = CHUNKS) -> Result:
    """Both codecs; without a GPU every figure says that it was not measured."""
    begin, (about, config) = time.perf_counter(), full_size(preset)
    figures = _measured(about, config, chunks, progress) if torch.cuda.is_available() else _unmeasured()
    return Result(
        name="gpu",
        title=f"{preset} at {about.native.width}x{about.native.height} on a GPU, random weights, end to end",
        definition=" ".join((__doc__ or "").split()),
        config={
            "network": named(config),
            "chunks": chunks,
            "warm-up": WARM_UP,
            "sampler": about.policy.sampler.model_dump(mode="json"),
            "encoder": "H.264 on the CPU",
        },
        figures=tuple(figures),
        provenance=provenance("bfloat16"),
        seconds=time.perf_counter() - begin,
    )


def _unmeasured() -> Iterator[Figure]:
    for name in ASKED:
        yield Figure(name=f"{name} codec: frames a second", value=None, note=NO_GPU)
        yield Figure(name=f"{name} codec: first frame", value=None, note=NO_GPU)


def _measured(about: Preset, config: WanConfig, chunks: int, progress: Progress) -> Iterator[Figure]:
    ceiling, text = _ceiling(), _text_seconds()
    yield Figure(name="matrix product, bfloat16", value=ceiling / 1e12, unit="TFLOP/s")
    yield Figure(name=f"text encoder, {MAX_LENGTH} tokens", value=text, unit="s")
    model = random_transformer(config, torch.bfloat16).to(DEVICE)
    subject = Subject(preset=about, model=model, ceiling=ceiling, text=text, wait=torch.cuda.synchronize)
    for number, (name, asked) in enumerate(ASKED.items()):
        torch.cuda.reset_peak_memory_stats()
        yield from codec_figures(name, _codec(name), subject, chunks, asked)
        peak = torch.cuda.max_memory_allocated() / 2**30
        yield Figure(
            name=f"{name} codec: peak memory", value=peak, unit="GiB", note="without the text encoder"
        )
        progress(number + 1, len(ASKED), f"{name} codec")


def codec_figures(name: str, codec: Codec, subject: Subject, chunks: int, asked: float) -> Iterator[Figure]:
    """Everything but memory, with one codec."""
    native, what = subject.preset.native, f"{name} codec: "
    form = VideoFormat(width=native.width, height=native.height, fps=native.fps)
    size = (native.height // codec.spatial_stride, native.width // codec.spatial_stride)
    engine = random_engine(subject.preset.policy, subject.model, codec, size)
    free = run(engine, subject.model, form, chunks=chunks, warm_up=WARM_UP, beside=True)
    first = first_frame(engine, form) + subject.text
    waited = run(engine, subject.model, form, chunks=WATCHED, warm_up=WARM_UP, wait=subject.wait)
    computed = flops(engine, subject.model, chunks=WATCHED, warm_up=WARM_UP)
    yield Figure(
        name=f"{what}frames a second",
        value=free.frames / free.seconds,
        unit="frames/s",
        count=chunks,
        asked=f">= {asked:g}",
    )
    yield Figure(name=f"{what}first frame", value=first, unit="s", asked=f"<= {MOST_FIRST:g}")
    for part in ("transformer", "codec", "encode"):
        yield Figure(name=f"{what}time in {part}", value=getattr(waited, part) / waited.seconds, unit="share")
    fraction = computed / waited.transformer / subject.ceiling
    yield Figure(name=f"{what}transformer's fraction of the ceiling", value=fraction, unit="share")


def _ceiling() -> float:
    one = torch.randn(SIDE, SIDE, device=DEVICE, dtype=torch.bfloat16)
    two = torch.randn_like(one)
    for _ in range(3):
        one @ two
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        one @ two
    torch.cuda.synchronize()
    return 2 * SIDE**3 * ROUNDS / (time.perf_counter() - begin)


@torch.inference_mode()
def _text_seconds() -> float:
    """One prompt through a text encoder of the published size."""
    with torch.device("meta"):
        encoder: nn.Module = UMT5Encoder(TextNetwork()).bfloat16()
    encoder = encoder.to_empty(device=DEVICE).eval()
    for parameter in encoder.parameters():
        parameter.normal_(std=0.02)
    tokens = torch.ones(1, MAX_LENGTH, dtype=torch.long, device=DEVICE)
    encoder(tokens, tokens)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    encoder(tokens, tokens)
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def _codec(name: str) -> Codec:
    """Wan's VAE, or TAEHV, of their real sizes with random weights."""
    if name == "tiny":
        codec: Codec = TinyCodec(TinyCodecConfig())
    else:
        from diffusers import AutoencoderKLWan

        codec = WanCodec(AutoencoderKLWan(latents_mean=[*WAN_LATENTS_MEAN], latents_std=[*WAN_LATENTS_STD]))
    redraw(codec)
    return codec.eval().requires_grad_(False).to(DEVICE, torch.bfloat16)
