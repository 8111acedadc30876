"""What the bytes of a take depend on beside its record: the build, the processor, the weights."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import av
import torch
from torch import Tensor, nn

from longtake import __version__
from longtake.models.backends import attention_backend, compile_backend
from longtake.models.text import TextEncoder
from longtake.models.tiled_codec import TiledCodec

if TYPE_CHECKING:
    from longtake.pipeline import Pipeline

SAMPLES = 256
"""Values of each tensor that go into the digest of the weights, evenly spread: enough to tell models apart, and quick
for any size."""


def fingerprint(pipe: Pipeline) -> dict[str, Any]:
    """Plain values; the same bytes are promised where all are equal."""
    device = pipe.backbone.device
    return {
        "longtake": __version__,
        "torch": torch.__version__,
        "av": av.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "dtype": str(pipe.backbone.dtype).removeprefix("torch."),
        "attention": attention_backend().name,
        "compile": compile_backend().name,
        "batch": 1,
        "loras": [f"{lora.digest[:12]}:{lora.scale:g}" for lora in pipe.variant.loras],
        "tiled": isinstance(pipe.codec, TiledCodec),
        "weights": _weights(pipe),
    }


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How two differ, in words; empty when they do not."""
    names = [name for name in now if then.get(name) != now[name]]
    return ", ".join(
        name if name == "weights" else f"{name} {then.get(name)} → {now[name]}" for name in names
    )


def _weights(pipe: Pipeline) -> str:
    """The same wherever they are meanwhile: blocks on a shelf, a text encoder that rests."""
    total = hashlib.sha256()
    shelf, text = getattr(pipe.backbone, "shelf", None), pipe.text_encoder
    codec = pipe.codec.codec if isinstance(pipe.codec, TiledCodec) else pipe.codec
    for module in (pipe.backbone, codec, *(() if isinstance(text, TextEncoder) else (text,))):
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(_sample(shelf.take([name])[name] if tensor.is_meta and shelf else tensor))
    if isinstance(text, TextEncoder):
        total.update(text.fingerprint.encode())
    return total.hexdigest()


def _sample(tensor: Tensor) -> bytes:
    whole = tensor if type(tensor) in (Tensor, nn.Parameter) else tensor.dequantize()
    values = whole.detach().flatten()
    picked = values[:: max(1, len(values) // SAMPLES)][:SAMPLES].cpu().contiguous()
    return picked.view(torch.uint8).numpy().tobytes()
