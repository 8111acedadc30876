"""Files that hold tensors under their names and nothing else, as small published models come."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from longtake.errors import UserError
from longtake.models.files import PT_SUFFIXES, read_pt, read_safetensors

__all__ = ["read_tensors"]


def read_tensors(path: Path, *, allow_pt: bool) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of what `torch.save` made of a plain dictionary; memory-mapped.

    allow_pt: true only where a person named this very path. Raises UserError for files that are missing, damaged, not
    allowed or of another shape.
    """
    if path.suffix not in PT_SUFFIXES:
        return read_safetensors(path)
    content = read_pt(path, allow_pt=allow_pt)
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise UserError(f"{path} holds something other than named tensors; give the published file as it is")
    return {str(name): tensor for name, tensor in content.items()}
