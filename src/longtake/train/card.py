"""The model card: what mini was trained on, how long, on what, and every figure that was measured on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.train.checkpoint import checkpoints, load_checkpoint
from longtake.train.config import MiniConfig, Stage
from longtake.train.log import RunLog
from longtake.train.recipe_file import kept_recipe

__all__ = ["write_card"]

HEAD = """---
license: apache-2.0
library_name: longtake
tags: [text-to-video, streaming, toybox]
---

# mini

A small Wan-shaped text-to-video transformer with its text encoder, trained from scratch on toybox, longtake's
procedural 3-D world. One set of weights serves as bidirectional teacher and as block-causal streamer. It knows the
words of toybox's captions and nothing else. This card is written by `longtake train export` from the run's log.
"""


def write_card(run: Path, out: Path) -> None:
    """Write `README.md` into the model's folder."""
    recipe, records = kept_recipe(run, MiniConfig, "train mini"), RunLog(run).records()
    position, tensors = load_checkpoint(checkpoints(run)[-1])
    count = {part: _count(tensors, f"average/{part}.") for part in ("transformer", "text")}
    parts = [
        HEAD,
        _sizes(recipe, count),
        _training(recipe, records, position.step, position.seconds, len(position.shards)),
        _stages(recipe),
        _legs(records),
        _figures(records),
        "## Recipe\n\n```json\n"
        + json.dumps(recipe.model_dump(mode="json", exclude={"prompts"}))
        + "\n```\n",
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text("\n".join(parts), encoding="utf-8")


def _count(tensors: Mapping[str, Any], prefix: str) -> int:
    return sum(value.numel() for name, value in tensors.items() if name.startswith(prefix))


def _sizes(recipe: MiniConfig, count: Mapping[str, int]) -> str:
    net, words = recipe.transformer, recipe.words
    width = net.num_attention_heads * net.attention_head_dim
    return (
        "## Size\n\n"
        f"- transformer: {count['transformer']:,} parameters ({net.num_layers} layers, width {width})\n"
        f"- text encoder: {count['text']:,} parameters ({words.layers} layers, width {words.d_model})\n"
        "- stored as float16; averaged weights\n"
    )


def _training(
    recipe: MiniConfig, records: Sequence[Mapping[str, Any]], step: int, seconds: float, shards: int
) -> str:
    hardware = sorted({record["hardware"] for record in records if record["kind"] == "leg"})
    return (
        "## Training\n\n"
        f"- {step:,} steps, {seconds / 3600:.2f} hours of wall time, on {'; '.join(hardware)}\n"
        f"- data: {shards} shards of codec latents of toybox clips (`longtake train latents`), no other data\n"
        f"- hidden matrices by {recipe.optimiser.hidden}, the rest by AdamW\n"
    )


def _stages(recipe: MiniConfig) -> str:
    rows = [
        f"| {s.name} | {s.steps:,} | {_lengths(s)} | {_levels(s.levels)} | {s.causal:.0%} |"
        for s in recipe.stages
    ]
    head = "| stage | steps | clips a step, of latent frames | levels | block-causal |\n|---|---|---|---|---|"
    return "\n".join(["## Stages\n", head, *rows, ""])


def _lengths(stage: Stage) -> str:
    others = [f"{o.share:.0%}: {o.batch_size} of {o.frames}" for o in stage.others]
    return "; ".join([f"{stage.batch_size} of {stage.frames}", *others])


def _levels(levels: Mapping[int, float]) -> str:
    total = sum(levels.values())
    return ", ".join(f"{level}: {weight / total:.0%}" for level, weight in sorted(levels.items()))


def _legs(records: Sequence[Mapping[str, Any]]) -> str:
    legs = [record for record in records if record["kind"] == "leg"]
    rows = [
        f"| {i} | {leg['step']:,} | {leg['hardware']} | {leg['torch']} |"
        for i, leg in enumerate(legs, start=1)
    ]
    return "\n".join(["## Legs\n", "| leg | from step | hardware | torch |\n|---|---|---|---|", *rows, ""])


def _figures(records: Sequence[Mapping[str, Any]]) -> str:
    validation = [record for record in records if record["kind"] == "validation"]
    if not validation:
        return "## Figures\n\nNone were measured.\n"
    names = [name for name in validation[-1] if name not in ("kind", "step", "of", "stage", "seconds")]
    rows = [
        f"| {r['step']:,} | " + " | ".join(str(r.get(name, "")) for name in names) + " |"
        for r in _some(validation)
    ]
    head = "| step | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|"
    note = (
        "Mean squared velocity error on clips set aside, averaged weights, block-causal, per noise level σ.\n"
    )
    return "\n".join(["## Figures\n", note, head, *rows, ""])


def _some(records: Sequence[Mapping[str, Any]], most: int = 12) -> list[Mapping[str, Any]]:
    """Up to `most` records, evenly spread, the last among them."""
    if len(records) <= most:
        return list(records)
    return [records[round(i * (len(records) - 1) / (most - 1))] for i in range(most)]
