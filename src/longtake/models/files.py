"""Reading weights and configs from disk, with errors that a user can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longtake.errors import UserError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from `path`; UserError when it is missing or not one."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; the model's folder is incomplete") from None
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


def load_strict(module: nn.Module, state: Mapping[str, Tensor], *, source: Path) -> None:
    """Load `state` into `module`; UserError names keys that are missing, unexpected or of another shape."""
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    reshaped = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if keys
    ]
    if problems:
        raise UserError(f"{source} does not fit its config: {'; '.join(problems)}")
    module.load_state_dict(state)
