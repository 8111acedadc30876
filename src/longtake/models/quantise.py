"""Weights of the transformer's blocks in 8 bits, through torchao (an optional extra); activations stay as they are.

Weight-only: every row of a matrix keeps its own scale. int8 runs anywhere; fp8 (e4m3) is of use on GPUs that compute in
it (compute capability 8.9 and above). What is outside the blocks (patches, conditions, head) is left alone.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal

import torch
from torch import nn

from longtake.errors import UserError
from longtake.models.wan import WanTransformer

WeightFormat = Literal["int8", "fp8"]
FP8_CAPABILITY = (8, 9)


def available(device: torch.device) -> dict[WeightFormat, str | None]:
    """For each format None, or the reason why it cannot be had here."""
    if find_spec("torchao") is None:
        absent = "torchao is not installed; pip install 'longtake[quantise]'"
        return {"int8": absent, "fp8": absent}
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device) >= FP8_CAPABILITY
    return {"int8": None, "fp8": None if capable else "needs a GPU with compute capability 8.9 or above"}


def quantise(model: WanTransformer, form: WeightFormat) -> WanTransformer:
    """Change the blocks' weights in place. UserError when the format cannot be had here."""
    reason = available(model.device)[form]
    if reason is not None:
        raise UserError(
            f"weights in {form}: {reason}; leave them in {str(model.dtype).removeprefix('torch.')}"
        )
    return apply(model, form)


def apply(model: WanTransformer, form: WeightFormat) -> WanTransformer:
    """`quantise` without asking whether the hardware gains by it."""
    os.environ.setdefault(
        "TORCHAO_FORCE_SKIP_LOADING_SO_FILES", "1"
    )  # kernels that weight-only does not need
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    config = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}[form]()
    quantize_(model.blocks, config, filter_fn=lambda module, _: isinstance(module, nn.Linear))
    return model.requires_grad_(False)
