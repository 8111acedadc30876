"""Reading weights and configs from disk, with errors that a user can act on.

Tensors are memory-mapped: opening a file costs no memory, and a tensor that is assigned to a module stays on disk
until it is used. A mapped file must be replaced by renaming, never written over.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longtake.errors import UserError

PT_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")

_MALFORMED = (
    *(RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, AssertionError, MemoryError, struct.error),
)
"""What `torch.load` raises on bytes that are not what `torch.save` writes."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from `path`; UserError when it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; the model's folder is incomplete") from None
    except OSError as reason:
        raise UserError(f"{path} cannot be read: {reason.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise UserError(f"{path} is damaged ({reason}); restore the file") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}; a JSON object is needed")
    return value


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; UserError when it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"weights {path} are missing; the model's folder is incomplete") from None
    except (SafetensorError, OSError) as reason:
        raise UserError(f"weights {path} are damaged ({reason}); restore the file") from None


def read_pt(path: Path, *, allow_pt: bool) -> Any:
    """What `torch.save` wrote to `path`: plain containers and tensors, never code.

    allow_pt: true only where a person named this very path; a server leaves it false.
    Raises UserError for a file that is not allowed, missing, damaged, of the format before PyTorch 1.6, or that
    asks for anything but tensors and plain values.
    """
    if not allow_pt:
        raise UserError(
            f"{path} is a PyTorch file and only safetensors are opened here; "
            f"run `longtake convert --from {path} --to FOLDER` once and give the folder"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise UserError(f"weights {path} are missing; give the path of a file that is there") from None
    except pickle.UnpicklingError as reason:
        raise UserError(f"{path} {_refusal(str(reason))}") from None
    except _MALFORMED as reason:
        raise UserError(f"weights {path} {_damage(str(reason))}") from None


def _refusal(reason: str) -> str:
    """Why an unpickler stopped, in the user's words."""
    wanted = re.search(r"(?:GLOBAL|class|function) ([\w.]+)", reason)
    what = f"asks for {wanted[1]}" if wanted else "holds more than tensors"
    return (
        f"{what} and is not opened, since that could run code; ask its author for tensors only (safetensors)"
    )


def _damage(reason: str) -> str:
    if "mmap can only be used" in reason:
        return "are not a PyTorch archive (empty, damaged, or saved before PyTorch 1.6); fetch the file again"
    return f"are damaged ({reason.split('.')[0]}); fetch the file again"


def check_fit(
    module: nn.Module, state: Mapping[str, Tensor], *, source: Path, unexpected: Sequence[str] = ()
) -> None:
    """UserError that names tensors of `state` which are missing, unexpected or of another shape than `module`'s.

    unexpected: names that were found to have no place before.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unknown = sorted({*unexpected, *(state.keys() - own.keys())})
    reshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unknown), ("of another shape", reshaped))
        if keys
    ]
    if problems:
        raise UserError(f"{source} does not fit its config: {'; '.join(problems)}")


def load_strict(
    module: nn.Module, state: Mapping[str, Tensor], *, source: Path, assign: bool = False
) -> None:
    """Load `state` into `module`; UserError as `check_fit`.

    assign: take the tensors themselves, dtype and all, in place of copying them; a module on the meta device needs it.
    """
    check_fit(module, state, source=source)
    module.load_state_dict(state, assign=assign)
