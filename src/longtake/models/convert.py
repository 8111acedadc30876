"""Any published container into a diffusers folder of safetensors, with a LoRA merged in if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from longtake.errors import UserError
from longtake.models.folder import (
    CONFIG_FILE,
    DIFFUSERS_STEM,
    TRANSFORMERS_STEM,
    save_folder,
    written_bytes,
)
from longtake.models.lora import Lora, read_lora
from longtake.models.mapped import MappedPages
from longtake.models.published import Published, read_published
from longtake.models.replace import check_room, check_target, whole_or_nothing
from longtake.models.unet.checkpoint import StreamingWeights
from longtake.models.unet.conversion import FOLDERS, find_streaming, parts_of, write_parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is changed on the way."""

    pages: MappedPages
    """Where the tensors are mapped; what was copied is given back."""
    dtype: torch.dtype | None = None
    """Number format of the output; None keeps that of each tensor."""
    lora: Lora | None = None
    """Added to the weights."""
    lora_scale: float = 1.0
    """How much of it; 1 is what it was trained with."""

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """Tensor `name` as it is to be written. Raises UserError where it does not fit into the number format."""
        changed = tensor if self.lora is None else self.lora.fuse(name, tensor.float(), self.lora_scale)
        written = changed.to(self.dtype or tensor.dtype)
        if written.dtype == torch.float16 and not written.isfinite().all() and changed.isfinite().all():
            raise UserError(f"{name} has numbers too large for fp16; use bf16")
        if written is not tensor:
            self.pages.forget(tensor)
        return written


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What was found and what was written."""

    source: str
    """The file or folder that was read."""
    kind: str
    """`transformer`, `codec`, `text encoder` or `StreamingT2V`."""
    container: str
    """The dictionary inside that held the network; `raw` when none."""
    layout: str
    """Whose names the tensors carried."""
    parameters: int
    """Numbers in the network."""
    tensors: int
    """Tensors in the network."""
    stored: tuple[str, ...]
    """Number formats that were read."""
    ignored: tuple[str, ...]
    """What was left out."""
    reshaped: tuple[str, ...]
    """Tensors that were brought into another shape."""
    config: Mapping[str, Any]
    """Sizes of the network, as its `config.json` says them."""
    lora: str | None
    """The LoRA that was merged in."""
    out: str
    """The folder."""
    files: tuple[str, ...]
    """Files of weights in it."""
    num_bytes: int
    """Their bytes, without headers."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def convert(
    source: Path,
    target: Path,
    *,
    dtype: torch.dtype | None = None,
    ema: bool = True,
    lora: Path | None = None,
    lora_scale: float = 1.0,
    head_dim: int | None = None,
    force: bool = False,
) -> Conversion:
    """Write the network in `source` (see `read_published`) to the folder `target`, which appears whole or not at all.

    The paths are taken to be named by a person: `.pt` files are opened, tensors only. ema, head_dim: as `read_weights`.
    force: replace a folder that an earlier conversion wrote. Raises UserError, with nothing written, for what cannot be
    read, does not fit, or has no room.
    """
    check_target(target, source, force=force, ours=_ours)
    archive = find_streaming(source)
    if archive is not None:
        return _convert_archive(archive, source, target, dtype, lora)
    network = read_published(source, ema=ema, head_dim=head_dim)
    pages = MappedPages(network.files)
    change = Change(pages=pages, dtype=dtype, lora=_lora(lora, network), lora_scale=lora_scale)
    num_bytes = written_bytes(network.state, dtype)
    check_room(target, num_bytes)
    try:
        with whole_or_nothing(target) as folder:
            save_folder(folder, network.config, network.state, stem=network.stem, dtype=dtype, change=change)
            files = tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    except (OSError, SafetensorError) as reason:
        raise UserError(f"--to {target} could not be written ({reason}); nothing was changed") from None
    return Conversion(
        source=str(source),
        kind=network.kind,
        container=network.container,
        layout=network.layout,
        parameters=sum(tensor.numel() for tensor in network.state.values()),
        tensors=len(network.state),
        stored=tuple(sorted({_short(tensor.dtype) for tensor in network.state.values()})),
        ignored=network.ignored,
        reshaped=network.reshaped,
        config=network.config,
        lora=None if lora is None else str(lora),
        out=str(target),
        files=files,
        num_bytes=num_bytes,
    )


def _convert_archive(
    archive: StreamingWeights, source: Path, target: Path, dtype: torch.dtype | None, lora: Path | None
) -> Conversion:
    """A StreamingT2V: one folder a network."""
    if lora is not None:
        raise UserError(f"LoRA {lora} changes a transformer and this is a StreamingT2V; leave --lora out")
    parts = parts_of(archive)
    state = {f"{part.name}.{name}": tensor for part in parts for name, tensor in part.state.items()}
    check_room(target, num_bytes := written_bytes(state, dtype))
    try:
        with whole_or_nothing(target) as folder:
            write_parts(folder, parts, dtype)
            files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")))
    except (OSError, SafetensorError) as reason:
        raise UserError(f"--to {target} could not be written ({reason}); nothing was changed") from None
    return Conversion(
        source=str(source),
        kind="StreamingT2V",
        container="state_dict" if archive.layout == "lightning" else "raw",
        layout=archive.layout,
        parameters=sum(tensor.numel() for tensor in state.values()),
        tensors=len(state),
        stored=tuple(sorted({_short(tensor.dtype) for tensor in state.values()})),
        ignored=archive.ignored,
        reshaped=(),
        config=parts[0].config,
        lora=None,
        out=str(target),
        files=files,
        num_bytes=num_bytes,
    )


def _ours(name: str) -> bool:
    return (
        name == CONFIG_FILE
        or name in FOLDERS
        or name.startswith((DIFFUSERS_STEM, f"{TRANSFORMERS_STEM}.", f"{TRANSFORMERS_STEM}-"))
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _lora(path: Path | None, network: Published) -> Lora | None:
    if path is None:
        return None
    if network.kind != "transformer":
        raise UserError(f"LoRA {path} changes a transformer and this is a {network.kind}; leave --lora out")
    lora = read_lora(path, allow_pt=True)
    lora.check({name.removesuffix(".weight"): t.shape for name, t in network.state.items() if t.ndim == 2})
    return lora
