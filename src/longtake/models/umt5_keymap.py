"""Names of UMT5's encoder tensors: Wan's file (`models_t5_umt5-xxl-enc-bf16.pth`) and transformers'.

Both hold the same tensors in the same shapes. transformers may list the word table twice, as `shared` and as the
encoder's own `embed_tokens`; both are one tensor, and here it has the first name alone.

Source: the layouts of https://github.com/Wan-Video/Wan2.1 and of transformers' `UMT5EncoderModel`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from longtake.errors import UserError

__all__ = ["is_original", "to_original", "to_transformers", "with_one_table"]

Value = TypeVar("Value")

_TABLE, _TABLE_AGAIN = "shared.weight", "encoder.embed_tokens.weight"
_WHOLE = {"token_embedding.weight": _TABLE, "norm.weight": "encoder.final_layer_norm.weight"}
_IN_BLOCK = {
    "norm1": "layer.0.layer_norm",
    **{f"attn.{part}": f"layer.0.SelfAttention.{part}" for part in "qkvo"},
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}
_WHOLE_BACK = {ours: theirs for theirs, ours in _WHOLE.items()}
_IN_BLOCK_BACK = {ours: theirs for theirs, ours in _IN_BLOCK.items()}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.weight")
_BLOCK_BACK = re.compile(r"encoder\.block\.(\d+)\.(.+)\.weight")


def is_original(names: Iterable[str]) -> bool:
    """Whether tensors are named as in Wan's file rather than as in transformers."""
    return "token_embedding.weight" in names


def to_transformers(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename the tensors of Wan's file as transformers names them.

    Raises UserError for a name that Wan's layout does not have.
    """
    return {
        _renamed(name, _WHOLE, _BLOCK, "encoder.block", _IN_BLOCK): value for name, value in state.items()
    }


def with_one_table(state: Mapping[str, Value]) -> dict[str, Value]:
    """transformers' tensors, the word table under its first name alone."""
    table = {_TABLE: state[_TABLE_AGAIN]} if _TABLE_AGAIN in state else {}
    return table | {name: value for name, value in state.items() if name != _TABLE_AGAIN}


def to_original(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename transformers' tensors as Wan's file names them: the inverse of `to_transformers`."""
    return {
        _renamed(name, _WHOLE_BACK, _BLOCK_BACK, "blocks", _IN_BLOCK_BACK): value
        for name, value in with_one_table(state).items()
    }


def _renamed(
    name: str, whole: Mapping[str, str], block: re.Pattern[str], stem: str, in_block: Mapping[str, str]
) -> str:
    if name in whole:
        return whole[name]
    match = block.fullmatch(name)
    if match is None or match[2] not in in_block:
        raise UserError(f"{name!r} is no tensor of a UMT5 encoder; give models_t5_umt5-xxl-enc-bf16.pth or a "
                        "transformers text_encoder folder")  # fmt: skip
    return f"{stem}.{match[1]}.{in_block[match[2]]}.weight"
