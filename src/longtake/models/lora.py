"""Low-rank changes of a Wan transformer's layers (LoRA, arXiv 2106.09685), from any of the files they come in.

A layer's weight becomes `W + scale·(alpha/r)·B·A`. Read are LongLive's `generator_lora`, peft's and diffusers' files
(`lora_A`, `lora_B`), and those of trainers that write `lora_down`, `lora_up` and `alpha`; with the names of any layout.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.containers import Container, clean_name, open_container
from longtake.models.files import read_json
from longtake.models.keymap import Layout, rename, unflatten

DICTIONARIES = ("generator_lora", "lora", "state_dict", "model")
WRAPPERS = ("base_model.model.", "base_model.", "transformer.")
FLAT = "lora_unet_"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_METADATA = "lora_adapter_metadata"
_PART = re.compile(r"(?P<layer>.+?)\.(?:(?P<part>lora_(?:A|B|down|up))(?:\.\w+)?\.weight|(?P<alpha>alpha))")
_SIDES = {"lora_A": "a", "lora_down": "a", "lora_B": "b", "lora_up": "b"}


class LowRank(NamedTuple):
    """The change of one layer."""

    a: Tensor
    """`[r, in]`."""
    b: Tensor
    """`[out, r]`."""
    alpha: float
    """`alpha/r` is the scale that it was trained with."""

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def delta(self, scale: float) -> Tensor:
        """`scale·(alpha/r)·B·A`, `[out, in]`, in float32."""
        return self.b.float() @ self.a.float() * (scale * self.alpha / self.rank)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """A LoRA as read from its file: what changes in which layer."""

    source: Path
    """The file or folder that was named."""
    layers: Mapping[str, LowRank]
    """By the layer's diffusers name."""

    def check(self, weights: Mapping[str, torch.Size]) -> None:
        """UserError when it was made for another model. `weights`: shape of every linear layer, by name."""
        about = f"LoRA {self.source} was made for another model"
        if unknown := [name for name in self.layers if name not in weights]:
            raise UserError(
                f"{about}: this one has no layer {_some(unknown)}; give the model it was made for"
            )
        for name, change in self.layers.items():
            wanted = torch.Size((change.b.shape[0], change.a.shape[1]))
            if wanted != weights[name]:
                raise UserError(
                    f"{about}: it changes {name} of the shape {tuple(wanted)}, here it is {tuple(weights[name])}; "
                    "give the model it was made for"
                )

    def fit(self, model: nn.Module) -> dict[str, nn.Linear]:
        """The linear layers of `model` by name; UserError when the change does not fit them as they are now."""
        layers = linear_layers(model)
        self.check({name: layer.weight.shape for name, layer in layers.items()})
        if any(
            type(layers[name].weight) is not nn.Parameter or layers[name].weight.is_meta
            for name in self.layers
        ):
            raise UserError(
                f"LoRA {self.source} comes too late: the weights are quantised or off-loaded; add it before that"
            )
        return layers

    def fuse(self, name: str, weight: Tensor, scale: float) -> Tensor:
        """Tensor `name` of the model with the change added, rounded once; others as they are."""
        change = self.layers.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if change is None:
            return weight
        return (weight.float() + change.delta(scale).to(weight.device)).to(weight.dtype)

    def scaled(self, scale: float) -> Lora:
        """The same change, `scale` times as large."""
        layers = {name: change._replace(alpha=scale * change.alpha) for name, change in self.layers.items()}
        return Lora(source=self.source, layers=layers)

    def merge_into(self, model: nn.Module, scale: float = 1.0) -> None:
        """Add the change to the weights of `model` for good. UserError, before anything changes, if it does not fit."""
        layers = self.fit(model)
        for name in self.layers:
            fused = self.fuse(f"{name}.weight", layers[name].weight.detach(), scale)
            layers[name].weight = nn.Parameter(fused, requires_grad=False)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of a model by name, those that are wrapped by adapters under the name they had."""
    return {
        name.removesuffix(".base_layer"): module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name
    }


def read_lora(path: Path, *, alpha: float | None = None, allow_pt: bool = False) -> Lora:
    """Read a LoRA. alpha: where the file does not say it; the rank, and so a scale of 1, unless given.

    allow_pt: as `read_pt`.

    Raises UserError for a file that is missing, damaged, not allowed, or holds what is no low-rank change of a linear
    layer of a Wan transformer.
    """
    container = open_container(path, wanted=DICTIONARIES, allow_pt=allow_pt)
    settings = {**({} if alpha is None else {"lora_alpha": alpha}), **_settings(container)}
    sides: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in container.tensors.items():
        match = _PART.fullmatch(_unwrapped(key))
        if match is None:
            raise UserError(
                f"LoRA {path}: {key} is no low-rank change of a layer (lora_A, lora_B); others are not read"
            )
        sides[match["layer"]][_SIDES.get(match["part"], "alpha")] = tensor
    names = _resolve(sides, path)
    return Lora(
        source=path,
        layers={names[layer]: _low_rank(layer, parts, settings, path) for layer, parts in sides.items()},
    )


def _unwrapped(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper)
    return clean_name(key)


def _resolve(layers: Collection[str], path: Path) -> dict[str, str]:
    """Diffusers' names of layers that carry those of one layout."""
    best: dict[str, str] = {}
    for layout in Layout:
        names = {layer: _rename(layer, layout) for layer in layers}
        known = {layer: name for layer, name in names.items() if name is not None}
        best = max(best, known, key=len)
    if unknown := sorted(set(layers) - best.keys()):
        raise UserError(
            f"LoRA {path} changes layers that no Wan transformer has ({_some(unknown)}); give another"
        )
    return best


def _rename(layer: str, layout: Layout) -> str | None:
    name = unflatten(layer.removeprefix(FLAT), layout) if layer.startswith(FLAT) else layer
    return None if name is None else rename(name, layout, Layout.DIFFUSERS)


def _low_rank(layer: str, parts: Mapping[str, Tensor], settings: Mapping[str, Any], path: Path) -> LowRank:
    if "a" not in parts or "b" not in parts:
        raise UserError(f"LoRA {path}: {layer} has only one of its two matrices; fetch the file again")
    a, b = parts["a"], parts["b"]
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.numel() or not b.numel():
        raise UserError(
            f"LoRA {path}: {layer} has matrices {tuple(b.shape)} and {tuple(a.shape)}, which do not multiply"
        )
    if not (a.is_floating_point() and b.is_floating_point()):
        raise UserError(
            f"LoRA {path}: {layer} is stored as {str(a.dtype).removeprefix('torch.')}; give it in bfloat16"
        )
    rank = a.shape[0]
    alpha = parts["alpha"].flatten().tolist() if "alpha" in parts else [settings.get("lora_alpha", rank)]
    if len(alpha) != 1 or not isinstance(alpha[0], int | float):
        raise UserError(f"LoRA {path}: the alpha of {layer} is no number ({alpha[:2]}); fetch the file again")
    return LowRank(a, b, alpha[0] * rank**0.5 if settings.get("use_rslora") else float(alpha[0]))


def _settings(container: Container) -> dict[str, Any]:
    """What peft's config beside the file, or diffusers' metadata inside, say of the scale; empty without either."""
    file = container.files[0]
    beside = file.parent / ADAPTER_CONFIG
    settings = read_json(beside) if beside.is_file() else _metadata(file)
    if settings.get("use_dora") or settings.get("alpha_pattern"):
        raise UserError(
            f"LoRA {container.source} uses use_dora or alpha_pattern, which are not read; give a plain LoRA"
        )
    return settings


def _metadata(file: Path) -> dict[str, Any]:
    if file.suffix != ".safetensors":
        return {}
    with safe_open(file, framework="pt") as opened:
        text = (opened.metadata() or {}).get(ADAPTER_METADATA, "{}")
    try:
        return {key.removeprefix("transformer."): value for key, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise UserError(f"LoRA {file}: its {ADAPTER_METADATA} is damaged; fetch the file again") from None


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:2])}{f' and {len(names) - 2} more' if len(names) > 2 else ''}"
