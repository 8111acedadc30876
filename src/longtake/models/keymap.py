"""Names of a Wan transformer's tensors in the three layouts in which they are published.

*original* is Wan's own code, which the causal models kept; *diffusers* is `WanTransformer3DModel`, and ours;
*fastvideo* is FastVideo's flattened form of the latter. A rename looks the whole name up in a table, so that names
which trade places (original `norm3` is diffusers' `norm2`) cannot be renamed twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Layout(Enum):
    """Whose names the tensors carry."""

    ORIGINAL = "original"
    DIFFUSERS = "diffusers"
    FASTVIDEO = "fastvideo"


class Row(NamedTuple):
    """One module (or parameter) under its three names."""

    original: str
    diffusers: str
    fastvideo: str


_C = "condition_embedder."

OUTSIDE = (
    Row("patch_embedding", "patch_embedding", "patch_embedding.proj"),
    Row("time_embedding.0", f"{_C}time_embedder.linear_1", f"{_C}time_embedder.mlp.fc_in"),
    Row("time_embedding.2", f"{_C}time_embedder.linear_2", f"{_C}time_embedder.mlp.fc_out"),
    Row("time_projection.1", f"{_C}time_proj", f"{_C}time_modulation.linear"),
    Row("text_embedding.0", f"{_C}text_embedder.linear_1", f"{_C}text_embedder.fc_in"),
    Row("text_embedding.2", f"{_C}text_embedder.linear_2", f"{_C}text_embedder.fc_out"),
    Row("img_emb.proj.0", f"{_C}image_embedder.norm1", f"{_C}image_embedder.norm1"),
    Row("img_emb.proj.1", f"{_C}image_embedder.ff.net.0.proj", f"{_C}image_embedder.ff.fc_in"),
    Row("img_emb.proj.3", f"{_C}image_embedder.ff.net.2", f"{_C}image_embedder.ff.fc_out"),
    Row("img_emb.proj.4", f"{_C}image_embedder.norm2", f"{_C}image_embedder.norm2"),
    Row("img_emb.emb_pos", f"{_C}image_embedder.pos_embed", f"{_C}image_embedder.pos_embed"),
    Row("head.modulation", "scale_shift_table", "scale_shift_table"),
    Row("head.head", "proj_out", "proj_out"),
)
"""Outside of the blocks."""

BLOCK = (
    Row("modulation", "scale_shift_table", "scale_shift_table"),
    Row("norm3", "norm2", "self_attn_residual_norm.norm"),
    Row("self_attn.q", "attn1.to_q", "to_q"),
    Row("self_attn.k", "attn1.to_k", "to_k"),
    Row("self_attn.v", "attn1.to_v", "to_v"),
    Row("self_attn.o", "attn1.to_out.0", "to_out"),
    Row("self_attn.norm_q", "attn1.norm_q", "norm_q"),
    Row("self_attn.norm_k", "attn1.norm_k", "norm_k"),
    Row("cross_attn.q", "attn2.to_q", "attn2.to_q"),
    Row("cross_attn.k", "attn2.to_k", "attn2.to_k"),
    Row("cross_attn.v", "attn2.to_v", "attn2.to_v"),
    Row("cross_attn.o", "attn2.to_out.0", "attn2.to_out"),
    Row("cross_attn.norm_q", "attn2.norm_q", "attn2.norm_q"),
    Row("cross_attn.norm_k", "attn2.norm_k", "attn2.norm_k"),
    Row("cross_attn.k_img", "attn2.add_k_proj", "attn2.add_k_proj"),
    Row("cross_attn.v_img", "attn2.add_v_proj", "attn2.add_v_proj"),
    Row("cross_attn.norm_k_img", "attn2.norm_added_k", "attn2.norm_added_k"),
    Row("ffn.0", "ffn.net.0.proj", "ffn.fc_in"),
    Row("ffn.2", "ffn.net.2", "ffn.fc_out"),
)
"""Inside of `blocks.N`."""

MARKS = {
    Layout.ORIGINAL: "blocks.0.self_attn.q.weight",
    Layout.DIFFUSERS: "blocks.0.attn1.to_q.weight",
    Layout.FASTVIDEO: "blocks.0.to_q.weight",
}
"""A tensor that only this layout has under this name."""


def detect_layout(keys: Collection[str]) -> Layout | None:
    """The layout whose mark is among `keys`; None when it is no Wan transformer."""
    return next((layout for layout, mark in MARKS.items() if mark in keys), None)


def rename(key: str, source: Layout, target: Layout) -> str | None:
    """The name of tensor or module `key` in another layout; None when `source` has no such name."""
    block = re.match(r"blocks\.\d+\.", key)
    start = block[0] if block else ""
    names = _table(source, target, inside=block is not None)
    rest = key[len(start) :]
    if rest in names:
        return start + names[rest]
    module, _, parameter = rest.rpartition(".")
    if module in names and parameter in ("weight", "bias"):
        return f"{start}{names[module]}.{parameter}"
    return None


def unflatten(name: str, layout: Layout) -> str | None:
    """The module whose name has underscores for dots in `name`, as some trainers of LoRAs write it."""
    block = re.match(r"blocks_(\d+)_", name)
    rest = name[block.end() :] if block else name
    rows = BLOCK if block else OUTSIDE
    found = (getattr(row, layout.value) for row in rows)
    module = next((module for module in found if module.replace(".", "_") == rest), None)
    return module if block is None or module is None else f"blocks.{block[1]}.{module}"


@lru_cache
def _table(source: Layout, target: Layout, *, inside: bool) -> dict[str, str]:
    rows = BLOCK if inside else OUTSIDE
    return {getattr(row, source.value): getattr(row, target.value) for row in rows}
