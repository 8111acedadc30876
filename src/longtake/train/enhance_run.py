"""Training an enhancer in a folder, and exporting what a run learnt."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import yaml

from longtake.enhance.spec import SPEC_FILE, EnhancerSpec, FlowSpec
from longtake.models.files import load_strict
from longtake.models.hub import Native
from longtake.models.text import EmbeddingCache, TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.device import choose_compute
from longtake.train.enhance import Enhance, EnhanceRecipe, Transformer
from longtake.train.interrupt import hold_signals
from longtake.train.loop import Cadence, Run
from longtake.train.recipe import Report
from longtake.train.recipe_file import keep_recipe, kept_recipe

__all__ = ["export", "spec", "train"]


def train(
    recipe: EnhanceRecipe,
    data: Path,
    model: Path,
    out: Path,
    report: Report,
    *,
    device: str = "auto",
    max_minutes: float = float("inf"),
) -> bool:
    """Train in the folder `out`, going on from its newest checkpoint; True when all stages are done.

    model: folder of the model whose video is enhanced, for its text encoder and what the recipe begins with.
    """
    text = TextEncoder.load(model, cache=EmbeddingCache()).eval().requires_grad_(False)
    learner = Enhance(recipe, data, text, choose_compute(device, recipe.precision))
    if recipe.begin is not None and not checkpoints(out):
        cast(Transformer, learner.networks).begin_from(WanTransformer.from_pretrained(model / recipe.begin))
    run = Run(learner, out, recipe.optimiser, Cadence.of(recipe, recipe.sample_minutes), report)
    run.resume()
    keep_recipe(recipe, out)
    with hold_signals() as stop:
        return run.train(max_minutes=max_minutes, stop=stop)


def export(run: Path, out: Path) -> None:
    """Write a run's averaged weights in half precision, and `enhancer.yaml`. `out`: `enhancer/` in a model's folder."""
    recipe = kept_recipe(run, EnhanceRecipe, "train enhance")
    newest = checkpoints(run)[-1]
    weights = select(load_checkpoint(newest)[1], "average")
    channels = weights["transformer.patch_embedding.weight"].shape[1]
    text_dim = weights["transformer.condition_embedder.text_embedder.linear_1.weight"].shape[1]
    networks = Transformer(recipe, channels, text_dim)
    load_strict(networks, weights, source=newest)
    networks.transformer.save_pretrained(out / "transformer", dtype=torch.float16)
    values = spec(recipe).model_dump(mode="json")
    (out / SPEC_FILE).write_text(
        yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def spec(recipe: EnhanceRecipe) -> EnhancerSpec:
    """How the enhancer of a recipe is used."""
    pairs = recipe.pairs
    return EnhancerSpec(
        name="mini",
        summary=f"width and height ×{pairs.scale}, for toybox",
        licence="Apache-2.0",
        backbone="wan",
        native=Native(width=pairs.size, height=pairs.size, fps=pairs.fps),
        scale=pairs.scale,
        window=recipe.window,
        overlap=recipe.overlap,
        steps=recipe.steps,
        strength=recipe.strength,
        strengths=recipe.strengths,
        schedule=FlowSpec(prediction=recipe.prediction),
    )
