"""The containers in which video models are published: which files, which dictionary inside, what is left of names.

Causal models come as a `.pt` of dictionaries (`generator`, `generator_ema`, `critic`, …), as safetensors in one file or
in shards beside an index, or as a folder with one of these. Training wrappers leave fragments in the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from longtake.errors import UserError
from longtake.models.files import PT_SUFFIXES, read_json, read_pt, read_safetensors

INDEX_SUFFIX = ".safetensors.index.json"
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
NETWORK = ("generator", "state_dict", "model")
"""Dictionaries that hold a network, the first that is there taken; the raw content where none is."""
FRAGMENTS = ("_fsdp_wrapped_module.", "_orig_mod.", "_checkpoint_wrapped_module.")
PREFIXES = ("module.", "model.", "diffusion_model.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """The named tensors of one network, mapped from their files, with clean names."""

    source: Path
    """The file or folder that was named."""
    files: tuple[Path, ...]
    """Where the tensors are."""
    name: str
    """The dictionary they were in, such as `generator_ema`; `raw` when in none."""
    tensors: Mapping[str, Tensor]
    """By name, without fragments of wrappers and without one leading `model.` and the like."""
    ignored: tuple[str, ...]
    """What lay beside them: other dictionaries, counters."""


def open_container(path: Path, *, wanted: Sequence[str] = NETWORK, allow_pt: bool = False) -> Container:
    """Open a published file or a folder with one.

    wanted: the dictionary inside, by preference. allow_pt: open `.pt` and the like (see `read_pt`).
    Raises UserError for what is missing, damaged, ambiguous, not allowed or without tensors.
    """
    files, content = _read(find_file(path), allow_pt)
    name, chosen, ignored = _choose(content, wanted, path)
    tensors = {key: value for key, value in chosen.items() if isinstance(value, Tensor)}
    ignored += tuple(str(key) for key in chosen if key not in tensors)
    if not tensors:
        raise UserError(f"{path} holds no weights, only {_some(ignored) or 'nothing'}")
    return Container(
        source=path, files=files, name=name, tensors=_cleaned(tensors, path), ignored=tuple(sorted(ignored))
    )


def _read(file: Path, allow_pt: bool) -> tuple[tuple[Path, ...], Any]:
    if file.suffix in PT_SUFFIXES:
        return (file,), read_pt(file, allow_pt=allow_pt)
    if file.name.endswith(INDEX_SUFFIX):
        return _read_shards(file)
    if file.suffix == ".safetensors":
        return (file,), read_safetensors(file)
    raise UserError(f"{file} is of no known kind; safetensors and {', '.join(PT_SUFFIXES)} are opened")


def find_file(path: Path) -> Path:
    """`path` if it is a file; in a folder the index of its shards, else its one file of weights."""
    if path.is_file():
        return _whole(path)
    if not path.is_dir():
        raise UserError(f"weights {path} are missing; give a file or folder that is there")
    kinds = (
        sorted(path.glob(f"*{INDEX_SUFFIX}")),
        sorted(path.glob("*.safetensors")),
        sorted(file for file in path.iterdir() if file.suffix in PT_SUFFIXES),
    )
    found = next(filter(None, kinds), [])
    if found and all(SHARD.search(file.name) for file in found):
        raise UserError(
            f"{path} holds shards without their index; fetch the {INDEX_SUFFIX} file that belongs to them"
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{path} holds {_some([file.name for file in found])}; name the file that is meant")
    inner = path / "transformer"
    if inner.is_dir():
        return find_file(inner)
    raise UserError(f"weights {path}: no weights in this folder; it is incomplete")


def _whole(file: Path) -> Path:
    if SHARD.search(file.name):
        raise UserError(f"{file} is one of several shards; give their folder, {file.parent}")
    return file


def _read_shards(index: Path) -> tuple[tuple[Path, ...], dict[str, Tensor]]:
    where = read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise UserError(f"{index} has no weight_map of file names; restore the file")
    names = sorted(set(where.values()))
    if outside := [name for name in names if Path(name).name != name]:
        raise UserError(f"{index} points outside of its folder ({outside[0]}); restore the file")
    files = tuple(index.parent / name for name in names)
    tensors = {key: value for file in files for key, value in read_safetensors(file).items()}
    if lost := sorted(where.keys() - tensors.keys()):
        raise UserError(f"{index} lists tensors that its shards lack ({_some(lost)}); restore the files")
    return files, tensors


def _choose(
    content: Any, wanted: Sequence[str], source: Path
) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    """The dictionary with the network: its name, itself, and the names of what lies beside it."""
    name = "raw"
    ignored: tuple[str, ...] = ()
    for _ in range(2):  # a `generator` may hold a `state_dict` of its own
        if not isinstance(content, Mapping):
            raise UserError(f"{source} holds a {type(content).__name__}; named tensors are needed")
        found = next((key for key in wanted if isinstance(content.get(key), Mapping)), None)
        if found is None:
            break
        ignored += tuple(str(key) for key in content if key != found)
        name = found if name == "raw" else f"{name}.{found}"
        content = content[found]
    return name, content, ignored


def _cleaned(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    clean: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = clean_name(str(key))
        if name in clean:
            raise UserError(f"{source} holds {name} twice (once as {key}); it cannot be said which is meant")
        clean[name] = tensor
    return clean


def clean_name(name: str) -> str:
    """Without the fragments that FSDP, `torch.compile` and checkpointing leave, and without leading wrappers."""
    for fragment in FRAGMENTS:
        name = name.replace(fragment, "")
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _some(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    return f"{', '.join(names[:most])}{', …' if len(names) > most else ''}"
