"""Layerwise off-load: the weights of a transformer block are on the device only while the block computes.

What is outside the blocks stays. Blocks are fetched from a *shelf*: host memory (pinned, copied on a side stream while
the block before computes, on CUDA), or a safetensors file, which needs no host memory at all. The results are those of
the model as it was, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.containers import find_file
from longtake.models.files import read_json
from longtake.models.wan import WanTransformer

State = dict[str, Tensor]


class Shelf(Protocol):
    """Where the weights of the blocks are meanwhile."""

    def take(self, names: Sequence[str]) -> State:
        """Tensors by their names in the whole model, on the CPU."""
        ...


class HostShelf:
    """Host memory."""

    def __init__(self, state: State, *, pinned: bool) -> None:
        self._state = {name: value.cpu().pin_memory() if pinned else value for name, value in state.items()}

    def take(self, names: Sequence[str]) -> State:
        """See `Shelf.take`."""
        return {name: self._state[name] for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class FileShelf:
    """Safetensors files with the model's own (diffusers') names."""

    where: Mapping[str, Path]
    """File of each tensor."""
    dtype: torch.dtype

    @classmethod
    def of(cls, path: Path, dtype: torch.dtype) -> FileShelf:
        """One file, the index of several, or a folder with either. UserError when it is damaged or none of these."""
        file = find_file(path)
        if file.suffix == ".json":
            names = read_json(file).get("weight_map", {})
            return cls(where={name: file.parent / part for name, part in names.items()}, dtype=dtype)
        with _opened(file) as tensors:
            return cls(where=dict.fromkeys(tensors.keys(), file), dtype=dtype)

    def take(self, names: Sequence[str]) -> State:
        """See `Shelf.take`. A file is mapped only while it is copied from. UserError when it cannot be read."""
        if lost := [name for name in names if name not in self.where]:
            raise UserError(
                f"the weights have no {lost[0]}: they are in another layout, or incomplete; `longtake convert` them"
            )
        found: State = {}
        for file in dict.fromkeys(self.where[name] for name in names):
            with _opened(file) as tensors:
                own = [name for name in names if self.where[name] == file]
                found |= {name: tensors.get_tensor(name).to(self.dtype, copy=True) for name in own}
        return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as tensors:
            yield tensors
    except (OSError, SafetensorError) as reason:
        raise UserError(f"weights {path} cannot be read ({reason}); restore the file") from None


class Layerwise:
    """Takes the weights out of a model's blocks and brings them back, one block at a time.

    `remove()` ends it and leaves the blocks whole on the device.
    """

    def __init__(self, model: WanTransformer, device: torch.device, shelf: Shelf | None = None) -> None:
        self._model = model
        self._blocks = list(model.blocks)
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._names = [[f"blocks.{i}.{name}" for name in b.state_dict()] for i, b in enumerate(self._blocks)]
        self._shelf = model.shelf = shelf or self._host_shelf(model)
        self._ahead: dict[int, State] = {}
        for layer in range(len(self._blocks)):
            self._release(layer)
        _move_rest(model, device)
        self._handles = [handle for layer in range(len(self._blocks)) for handle in self._hook(layer)]

    def remove(self) -> None:
        """Bring all blocks back to stay."""
        for handle in self._handles:
            handle.remove()
        for layer in range(len(self._blocks)):
            self._fetch(layer)
        self._ahead.clear()
        self._model.shelf = None

    def _host_shelf(self, model: WanTransformer) -> Shelf:
        state = {name: value for name, value in model.state_dict().items() if name.startswith("blocks.")}
        return HostShelf(state, pinned=self._stream is not None)

    def _hook(self, layer: int) -> list[torch.utils.hooks.RemovableHandle]:
        block = self._blocks[layer]
        parts = [(name, part) for name, part in block.named_modules() if name and not list(part.children())]
        return [
            block.register_forward_pre_hook(lambda *_: self._fetch(layer)),
            block.register_forward_hook(lambda *_: self._release(layer)),
            *(
                handle
                for name, part in parts
                if any(True for _ in part.parameters())
                for handle in self._hook_alone(f"blocks.{layer}.{name}", part)
            ),
        ]

    def _hook_alone(self, prefix: str, part: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        """A layer that is called outside its block's forward (keys and values of the text) comes by itself."""
        fetched: list[bool] = []

        def fetch(*_: object) -> None:
            if next(part.parameters()).is_meta:
                names = [f"{prefix}.{name}" for name in part.state_dict()]
                _assign(part, prefix, _moved(self._shelf.take(names), self._device))
                fetched.append(True)

        def release(*_: object) -> None:
            if fetched:
                fetched.clear()
                _empty(part)

        return [part.register_forward_pre_hook(fetch), part.register_forward_hook(release)]

    def _fetch(self, layer: int) -> None:
        state = self._ahead.pop(layer, None) or self._copy(layer)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)
            for value in state.values():
                value.record_stream(torch.cuda.current_stream(self._device))
        _assign(self._blocks[layer], f"blocks.{layer}", state)
        if self._stream is not None:
            after = (layer + 1) % len(self._blocks)
            self._ahead = {after: self._copy(after)}

    def _copy(self, layer: int) -> State:
        with torch.cuda.stream(self._stream):
            return _moved(self._shelf.take(self._names[layer]), self._device)

    def _release(self, layer: int) -> None:
        _empty(self._blocks[layer])


def _move_rest(model: WanTransformer, device: torch.device) -> None:
    """Bring what is outside the blocks to the device."""
    for part in model.children():
        if part is not model.blocks:
            part.to(device)
    for parameter in model.parameters(recurse=False):
        parameter.data = parameter.data.to(device)


def _moved(state: State, device: torch.device) -> State:
    return {name: value.to(device, non_blocking=True) for name, value in state.items()}


def _assign(module: nn.Module, prefix: str, state: State) -> None:
    own = {name.removeprefix(f"{prefix}."): value for name, value in state.items()}
    _put(module, lambda name, _: own[name])


def _empty(module: nn.Module) -> None:
    _put(module, lambda _, value: value.to("meta"))


def _put(module: nn.Module, value: Callable[[str, Tensor], Tensor]) -> None:
    state = {name: value(name, old) for name, old in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    module.requires_grad_(False)
