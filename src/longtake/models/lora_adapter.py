"""A LoRA around the layers of a model that runs, through peft: its scale can change between two passes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torch import nn

from longtake.errors import UserError
from longtake.models.lora import Lora

if TYPE_CHECKING:
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer


class LoraAdapter:
    """Wraps the layers of `model` that `lora` changes; several may be around one model, each under its own `name`.

    Raises UserError, before anything is changed, when peft is not installed or the LoRA was made for another model.
    While it is attached, the model's own tensors have other names: merge or unload before saving.
    """

    def __init__(self, model: nn.Module, lora: Lora, *, scale: float = 1.0, name: str = "default") -> None:
        layers = lora.fit(model)
        others = {other for layer in _wrapped(model).values() for other in layer.scaling}
        if name in others or not name.isidentifier():
            raise UserError(f"LoRA name {name!r} is in use or not a plain word; give another name")
        self._model, self._lora, self._name, self._scale = model, lora, name, scale
        _inject(model, lora, name)
        for path, layer in self._own().items():
            change, weight = lora.layers[path], layers[path].weight
            layer.lora_A[name].weight = nn.Parameter(change.a.to(weight), requires_grad=False)
            layer.lora_B[name].weight = nn.Parameter(change.b.to(weight), requires_grad=False)
        for layer in _wrapped(model).values():
            layer.set_adapter([*layer.scaling], inference_mode=True)
        self.scale = scale

    @property
    def scale(self) -> float:
        """1 is what it was trained with, 0 none of it; set it at any time."""
        return self._scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self._scale = scale
        for path, layer in self._own().items():
            change = self._lora.layers[path]
            layer.scaling[self._name] = scale * change.alpha / change.rank

    def unload(self) -> None:
        """Take it off: the model is what it was."""
        for path, layer in self._own().items():
            layer.delete_adapter(self._name)
            if not layer.scaling:
                parent, _, child = path.rpartition(".")
                setattr(self._model.get_submodule(parent), child, layer.get_base_layer())

    def merge(self) -> None:
        """Take it off and add it to the weights at its present scale, each rounded once."""
        self.unload()
        self._lora.merge_into(self._model, self._scale)

    def _own(self) -> dict[str, LoraLayer]:
        return {path: layer for path, layer in _wrapped(self._model).items() if self._name in layer.scaling}


def _wrapped(model: nn.Module) -> dict[str, LoraLayer]:
    """The layers that adapters are around, by name."""
    return {path: module for path, module in model.named_modules() if hasattr(module, "lora_A")}


def _inject(model: nn.Module, lora: Lora, name: str) -> None:
    """Wrap the layers; the matrices are still empty."""
    try:
        from peft import inject_adapter_in_model
    except ImportError:
        raise UserError("a LoRA needs the package peft; install longtake[lora]") from None
    inject_adapter_in_model(_config(lora), model, name, low_cpu_mem_usage=True)
    vars(model).pop("peft_config", None)  # peft's own note; each of our adapters knows its LoRA


def _config(lora: Lora) -> LoraConfig:
    from peft import LoraConfig

    ranks = {path: change.rank for path, change in lora.layers.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    return LoraConfig(
        r=rank,
        target_modules=list(ranks),
        rank_pattern={path: r for path, r in ranks.items() if r != rank},
        inference_mode=True,
    )
