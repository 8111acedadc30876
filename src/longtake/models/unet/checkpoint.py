"""StreamingT2V's published files: one archive with every network, whose names say which.

| part | `streaming_t2v.ckpt` | repackaged safetensors (VidXTend) |
|---|---|---|
| denoising network | `base_model.` | `unet.` |
| short-term memory | `unet.` | `controlnet.` |
| tokens of anchors | `resampler.` | `resampler.` |
| image encoder (OpenCLIP's names) | `image_encoder.model.` | – |
| text encoder, VAE | `text_encoder.`, `vae.` | the same |

So `unet.` means one thing in the one and another in the other; names are cut at their first dot and nowhere else.
Tensors stay mapped from the file until they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from longtake.errors import UserError
from longtake.models.clip_text import without_wrapper
from longtake.models.files import PT_SUFFIXES, read_safetensors
from longtake.models.kl_codec import modern_names
from longtake.models.unet.lightning import read_lightning
from longtake.models.unet.openclip import to_transformers

LIGHTNING = {
    "base_model": "base_model",
    "unet": "unet",
    "resampler": "resampler",
    "image_encoder": "image_encoder",
    "text_encoder": "text_encoder",
    "vae": "vae",
}
VIDXTEND = {
    "unet": "base_model",
    "controlnet": "unet",
    "resampler": "resampler",
    "text_encoder": "text_encoder",
    "vae": "vae",
}
NETWORK = ("base_model", "unet", "resampler")
"""What makes up a `StreamingUNet`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamingWeights:
    """Every network of one file, each by the names of the library that opens it."""

    source: Path
    layout: str
    """`lightning` or `vidxtend`."""
    network: Mapping[str, Tensor]
    """Of `StreamingUNet`, without its image encoder."""
    image_encoder: Mapping[str, Tensor]
    """Empty where the file has none."""
    text_encoder: Mapping[str, Tensor]
    codec: Mapping[str, Tensor]
    ignored: tuple[str, ...]
    """What was left out."""


class NotStreaming(UserError):
    """The file holds another model."""


def is_streaming(names: Iterable[str]) -> bool:
    """Whether these are the tensors of a StreamingT2V file."""
    return _layout({name.partition(".")[0] for name in names}) is not None


def read_streaming(path: Path, *, allow_pt: bool) -> StreamingWeights:
    """Everything in a published file. Raises UserError for another file, or one that may not be opened."""
    tensors, ignored = _tensors(path, allow_pt)
    heads = {name.partition(".")[0] for name in tensors}
    layout = _layout(heads)
    if layout is None:
        raise NotStreaming(
            f"{path} holds no StreamingT2V: {_instead(heads)}; give streaming_t2v.ckpt or its repackaging"
        )
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in LIGHTNING}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if head in layout:
            parts[layout[head]][rest] = tensor
        else:
            ignored.append(name)
    images, unused = to_transformers(parts["image_encoder"])
    return StreamingWeights(
        source=path,
        layout="vidxtend" if layout is VIDXTEND else "lightning",
        network={f"{part}.{name}": tensor for part in NETWORK for name, tensor in parts[part].items()},
        image_encoder=images,
        text_encoder=without_wrapper(parts["text_encoder"]),
        codec=modern_names(parts["vae"]),
        ignored=tuple(sorted([*ignored, *(f"image_encoder.{name}" for name in unused)])),
    )


def _tensors(path: Path, allow_pt: bool) -> tuple[dict[str, Tensor], list[str]]:
    """The named tensors of a file, and what lay beside them."""
    if path.suffix not in PT_SUFFIXES:
        return read_safetensors(path), []
    content: Any = read_lightning(path, allow_pt=allow_pt)
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; named tensors are needed")
    inner = content.get("state_dict")
    ignored = [str(name) for name in content if name != "state_dict"] if isinstance(inner, Mapping) else []
    named = inner if isinstance(inner, Mapping) else content
    tensors = {str(name): tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}
    return tensors, ignored


def _layout(heads: set[str]) -> dict[str, str] | None:
    if {"base_model", "unet", "resampler"} <= heads:
        return LIGHTNING
    return VIDXTEND if {"unet", "controlnet", "resampler"} <= heads else None


def _instead(heads: set[str]) -> str:
    if {"first_stage_model", "conditioner"} & heads:
        return "this is StreamingSVD, which longtake does not run"
    return f"its names begin with {', '.join(sorted(heads)[:4]) or 'nothing'}"
