"""From a run to a model's folder: the averaged weights in half precision, in diffusers' layout, with a card."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.files import load_strict
from longtake.train.card import write_card
from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.config import MiniConfig
from longtake.train.networks import Networks, build_networks
from longtake.train.recipe_file import kept_recipe
from longtake.world.vocabulary import words

__all__ = ["averaged_networks", "export_mini"]


def export_mini(run: Path, out: Path) -> None:
    """Write `transformer/`, `text_encoder/`, `tokenizer/` and the card; other folders of `out` stay."""
    networks = averaged_networks(run)
    networks.transformer.save_pretrained(out / "transformer", dtype=torch.float16)
    networks.text.save(out, dtype=torch.float16)
    write_card(run, out)


def averaged_networks(run: Path) -> Networks:
    """The networks of a run with the averaged weights of its newest checkpoint, frozen."""
    found = checkpoints(run)
    if not found:
        raise UserError(f"{run} holds no checkpoint; train first: longtake train mini --out {run} --data …")
    _, tensors = load_checkpoint(found[-1])
    weights = select(tensors, "average")
    networks = build_networks(kept_recipe(run, MiniConfig, "train mini"), latent_channels(weights), words())
    load_strict(networks, weights, source=found[-1])
    return networks.eval().requires_grad_(False)


def latent_channels(weights: dict[str, Tensor]) -> int:
    """Latent channels that the stored transformer reads."""
    return weights["transformer.patch_embedding.weight"].shape[1]
