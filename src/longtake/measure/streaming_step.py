"""One denoising step of StreamingT2V at its real size, or a share of its width, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from longtake.measure.length import resident_mb
from longtake.measure.provenance import provenance
from longtake.measure.random_weights import redraw
from longtake.measure.results import Figure, Result
from longtake.models.process import peak_rss_mb
from longtake.models.unet.config import UNetConfig
from longtake.models.unet.plan import pass_bytes
from longtake.models.unet.streaming import StreamingUNet

__all__ = ["streaming_step"]

Progress = Callable[[int, int, str], None]
GIB = 2**30


def streaming_step(
    progress: Progress, share: int = 1, cells: int = 32, dtype: torch.dtype = torch.float32
) -> Result:
    """One step of one clip with both memories, guidance in two branches, random weights.

    share: the width is divided by it. cells: rows and columns of the latents.
    """
    begin, before = time.perf_counter(), resident_mb()
    config = narrowed(UNetConfig(), share)
    with torch.device("meta"):
        model = StreamingUNet(config).to(dtype)
    work = pass_bytes(model, cells, cells, 2)
    model = model.to_empty(device="cpu")
    redraw(model)
    model.eval().requires_grad_(False)
    progress(1, 2, "weights drawn")
    once, step = _timed(model, cells)
    progress(2, 2, "step made")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    name = str(dtype).removeprefix("torch.")
    return Result(
        name="streamingt2v-step",
        title=f"One denoising step of StreamingT2V, 1/{share} of its width, random weights, {name}",
        definition="One pass of the memory's network and of the denoising network over a clip, both branches of "
        "guidance; what is computed once a clip (text, anchor, frames before) is apart. Encoders and codec "
        "are left out. Memory: most resident memory of the process less what it held before.",
        config={**config.to_dict(), "latent grid": [cells, cells]},
        figures=(
            Figure(name="parameters", value=parameters / 1e6, unit="M"),
            Figure(name="once a clip", value=once, unit="s"),
            Figure(name="one step", value=step, unit="s"),
            Figure(name="peak memory", value=(peak_rss_mb() - before) / 1073.741824, unit="GiB"),
            Figure(
                name="peak memory as predicted", value=(work + parameters * dtype.itemsize) / GIB, unit="GiB"
            ),
        ),
        provenance=provenance(name),
        seconds=time.perf_counter() - begin,
    )


def narrowed(config: UNetConfig, share: int) -> UNetConfig:
    """The same network with its channels divided by `share`; as many heads, and as many channels a group."""
    return replace(
        config,
        block_out_channels=tuple(channels // share for channels in config.block_out_channels),
        attention_head_dim=config.attention_head_dim // share,
        norm_num_groups=config.norm_num_groups // share,
        condition_channels=tuple(channels // share for channels in config.condition_channels),
    )


@torch.inference_mode()
def _timed(model: StreamingUNet, cells: int) -> tuple[float, float]:
    """Seconds once a clip, and of a step."""
    config, dtype = model.config, model.dtype
    side = cells * config.frame_stride
    text = torch.randn(2, config.text_tokens, config.cross_attention_dim).to(dtype)
    image = torch.randn(2, config.image_tokens, config.cross_attention_dim).to(dtype)
    frames = torch.randint(0, 256, (1, config.condition_length, side, side, 3), dtype=torch.uint8)
    latents = torch.randn(2, config.in_channels, config.video_length, cells, cells).to(dtype)
    start = time.perf_counter()
    layers = model.context(text, image).layers
    features = model.encode_frames(frames).expand(2, -1, -1, -1, -1)
    ready = time.perf_counter()
    model(latents, torch.full((2,), 981.0), layers, features)
    return ready - start, time.perf_counter() - ready
