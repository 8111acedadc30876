"""Training a low-rank change instead of all weights, through peft. A critic can share the teacher's weights so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.errors import UserError
from longtake.models.attention import AttentionRule
from longtake.models.lora import Lora, LowRank, linear_layers
from longtake.models.wan import WanTransformer
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.specs import LoraSpec
from longtake.train.networks import Conditions

__all__ = ["Unadapted", "adapt", "lora_of", "save_lora"]

NAME = "default"


def adapt(transformer: WanTransformer, spec: LoraSpec, seed: int) -> None:
    """Freeze the weights and put a trainable change, at first none, beside every linear layer of the blocks."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("a LoRA needs the package peft; install longtake[lora]") from None
    layers = [name for name in linear_layers(transformer) if name.startswith("blocks.")]
    transformer.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=spec.rank, lora_alpha=spec.alpha, target_modules=layers)  # type: ignore[arg-type]
        inject_adapter_in_model(config, transformer, NAME)
    vars(transformer).pop("peft_config", None)


class Unadapted(Backbone):
    """A backbone's own weights, whatever change is beside them."""

    def forward(
        self, latents_BCFhw: Tensor, timestep_BF: Tensor, conditions: Conditions, attention: AttentionRule
    ) -> Tensor:
        """See `Networks.forward`."""
        with _without_change(self.transformer):
            return super().forward(latents_BCFhw, timestep_BF, conditions, attention)


@contextmanager
def _without_change(model: nn.Module) -> Iterator[None]:
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    _enable(layers, False)
    try:
        yield
    finally:
        _enable(layers, True)


def _enable(layers: list[nn.Module], enabled: bool) -> None:
    for layer in layers:
        layer.enable_adapters(enabled)  # type: ignore[operator]


def lora_of(weights: Mapping[str, Tensor], spec: LoraSpec, source: Path) -> Lora:
    """The change in a checkpoint's `weights`, named as `Backbone` names them."""
    end = f".lora_A.{NAME}.weight"
    layers = {}
    for name, a in weights.items():
        if name.endswith(end):
            b = weights[name.replace("lora_A", "lora_B")]
            layers[name.removeprefix("transformer.").removesuffix(end)] = LowRank(a, b, spec.alpha)
    return Lora(source=source, layers=layers)


def save_lora(lora: Lora, path: Path) -> None:
    """Write it as `read_lora` and peft read it."""
    tensors = {}
    for name, change in lora.layers.items():
        tensors[f"{name}.lora_A.weight"] = change.a.contiguous()
        tensors[f"{name}.lora_B.weight"] = change.b.contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(change.alpha)
    save_file(tensors, path)
