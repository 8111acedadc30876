"""Any published container into a diffusers folder of safetensors, with a LoRA merged in if wanted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from longtake.errors import UserError
from longtake.models.lora import Lora, read_lora
from longtake.models.replace import check_room, check_target, whole_or_nothing
from longtake.models.wan import WanTransformer
from longtake.models.wan_config import WanConfig
from longtake.models.wan_folder import STEM, save_folder, written_bytes
from longtake.models.wan_weights import CONFIG_FILE, WanWeights, read_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is changed on the way."""

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
        return written


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What was found and what was written."""

    source: str
    """The file or folder that was read."""
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
    config: WanConfig
    """Sizes of the network."""
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
    """Write the Wan transformer in `source` to the folder `target`, which appears whole or not at all.

    The paths are taken to be named by a person: `.pt` files are opened, tensors only. ema, head_dim: as `read_weights`.
    force: replace a folder that an earlier conversion wrote. Raises UserError, with nothing written, for what cannot be
    read, does not fit, or has no room.
    """
    check_target(target, source, force=force, ours=_ours)
    weights = read_weights(source, ema=ema, allow_pt=True, head_dim=head_dim)
    WanTransformer.outline(weights)
    change = Change(dtype=dtype, lora=_lora(lora, weights), lora_scale=lora_scale)
    num_bytes = written_bytes(weights.state, dtype)
    check_room(target, num_bytes)
    try:
        with whole_or_nothing(target) as folder:
            save_folder(folder, weights.config, weights.state, dtype=dtype, change=change)
            files = tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    except (OSError, SafetensorError) as reason:
        raise UserError(f"--to {target} could not be written ({reason}); nothing was changed") from None
    return _report(weights, target, lora, files, num_bytes)


def _ours(name: str) -> bool:
    return name == CONFIG_FILE or name.startswith(STEM)


def _lora(path: Path | None, weights: WanWeights) -> Lora | None:
    if path is None:
        return None
    lora = read_lora(path, allow_pt=True)
    matrices = {name.removesuffix(".weight"): t.shape for name, t in weights.state.items() if t.ndim == 2}
    lora.check(matrices)
    return lora


def _report(
    weights: WanWeights, target: Path, lora: Path | None, files: tuple[str, ...], num_bytes: int
) -> Conversion:
    return Conversion(
        source=str(weights.source),
        container=weights.container,
        layout=weights.layout.value,
        parameters=weights.parameters,
        tensors=len(weights.state),
        stored=weights.dtypes,
        ignored=weights.ignored,
        reshaped=weights.reshaped,
        config=weights.config,
        lora=None if lora is None else str(lora),
        out=str(target),
        files=files,
        num_bytes=num_bytes,
    )
