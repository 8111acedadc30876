"""Beginning, resuming and exporting a run of the memories."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import cast

import torch

from longtake.errors import UserError
from longtake.models.codecs import open_codec
from longtake.models.files import load_strict, read_json
from longtake.models.folder import CONFIG_FILE
from longtake.models.places import Located
from longtake.models.streaming.apm import ApmNetwork
from longtake.models.streaming.cam import ShortTerm
from longtake.models.streaming.config import ApmConfig, CamConfig
from longtake.models.streaming.networks import APM, CAM, MemoryNetworks, open_cam, short_term
from longtake.models.text import EmbeddingCache, TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.device import choose_compute
from longtake.train.interrupt import hold_signals
from longtake.train.loop import Cadence, Run
from longtake.train.memories.config import MemoryRecipe
from longtake.train.memories.networks import Remembering, fresh
from longtake.train.memories.recipe import Memories
from longtake.train.recipe import Report
from longtake.train.recipe_file import RECIPE, keep_recipe

GUIDE = "guide"
"""Folder of a run that holds the memory which guidance is computed with."""


def train(
    recipe: MemoryRecipe,
    data: Path,
    model: Path,
    out: Path,
    report: Report,
    *,
    cam: Path | None = None,
    guide: Path | None = None,
    device: str = "auto",
    max_minutes: float = math.inf,
    max_steps: int | None = None,
) -> bool:
    """Train in the folder `out`, going on from its newest checkpoint; True when all stages are done.

    model: folder of the model that is given memories. cam: for `kind: apm`, the run (or folder) of the short-term
    memory; the model's own `cam/` unless given. guide: for a recipe that is guided, the run (or folder) of the
    short-term memory of the network before distillation; kept in `out`. Raises UserError for what is missing.
    """
    text = TextEncoder.load(model, cache=EmbeddingCache()).eval().requires_grad_(False)
    transformer = WanTransformer.from_pretrained(model / recipe.network)
    given = _given(recipe, model, out if checkpoints(out) else cam, transformer)
    networks = fresh(recipe, transformer, text.max_length, given)
    _refuse_other(networks, out)
    place = Located.in_folder(model, "codec")
    if place is None:
        raise UserError(f"{model} has no codec; give the folder of a whole model")
    codec = open_codec(place.path, choice="full", dtype=torch.float32)
    compute = choose_compute(device, recipe.precision)
    led_by = _guide(recipe, model, guide, out, networks.shown)
    learner = Memories(recipe, data, networks, text, codec, compute, led_by)
    run = Run(learner, out, recipe.optimiser, Cadence.of(recipe, recipe.sample_minutes), report)
    run.resume()
    _keep(recipe, networks, out)
    if led_by is not None and not (out / GUIDE).exists():
        led_by.memories.save(out / GUIDE, dtype=None)
    with hold_signals() as stop:
        return run.train(max_minutes=max_minutes, max_steps=max_steps, stop=stop)


def export(run: Path, out: Path) -> None:
    """Write a run's averaged weights in half precision into a model's folder: `cam/`, and `apm/` where it has one.

    Nothing else in `out` is touched. Raises UserError for a folder without a run.
    """
    trained(run).save(out)


def trained(run: Path) -> MemoryNetworks:
    """The memories of a run, averaged weights."""
    if not (run / RECIPE).is_file() or not checkpoints(run):
        raise UserError(f"{run} holds no run of `longtake train cam` or `longtake train apm`; train first")
    newest = checkpoints(run)[-1]
    weights = select(load_checkpoint(newest)[1], "average")
    cam = short_term(CamConfig.from_dict(read_json(run / CAM / CONFIG_FILE)))
    parts: dict[str, torch.nn.Module] = {CAM: cam}  # type: ignore[dict-item]
    if (run / APM / CONFIG_FILE).is_file():
        parts[APM] = ApmNetwork(ApmConfig.from_dict(read_json(run / APM / CONFIG_FILE)))
    for name, network in parts.items():
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in weights.items()
            if key.startswith(f"{name}.")
        }
        load_strict(network, own, source=newest)
        network.eval().requires_grad_(False)
    apm = parts.get(APM)
    assert apm is None or isinstance(apm, ApmNetwork)
    return MemoryNetworks(cam=cam, apm=apm)


def _given(
    recipe: MemoryRecipe, model: Path, cam: Path | None, transformer: WanTransformer
) -> ShortTerm | None:
    """The short-term memory that long-term memory is trained beside. Raises UserError for one of other clips."""
    if recipe.kind == "cam":
        return None
    given = _short_term(cam, model, transformer)
    if given.config.clip != recipe.clip:
        raise UserError(
            f"the short-term memory in {cam or model / CAM} was made for clips of {given.config.clip} latent frames, "
            f"the recipe's are of {recipe.clip}; give every stage frames: {given.config.clip}, or another memory"
        )
    return given


def _guide(
    recipe: MemoryRecipe, model: Path, given: Path | None, out: Path, shown: int
) -> Remembering | None:
    """The network before distillation with its short-term memory, for a recipe that is guided.

    Raises UserError for one that is missing, not asked for, or of other clips.
    """
    if recipe.guided is None:
        if given is not None:
            raise UserError(
                "--guide is for a recipe that is guided; leave it out, or give the recipe `guided`"
            )
        return None
    place = out / GUIDE if (out / GUIDE).is_dir() else given
    if place is None:
        raise UserError(
            f"this recipe is guided by {recipe.guided.network!r} and a short-term memory of its own, which is missing; "
            f"train one with `longtake train cam` (network: {recipe.guided.network}), and give its folder with --guide"
        )
    before = WanTransformer.from_pretrained(model / recipe.guided.network)
    cam = _short_term(place, model, before)
    if (cam.config.clip, cam.config.frames) != (recipe.clip, shown):
        raise UserError(
            f"the short-term memory in {place} was made for clips of {cam.config.clip} latent frames and "
            f"{cam.config.frames} before them, this run's are of {recipe.clip} and {shown}"
        )
    return Remembering(before, cam, None)


def _short_term(cam: Path | None, model: Path, transformer: WanTransformer) -> ShortTerm:
    """The short-term memory in a run or a folder, or the model's own."""
    if cam is not None and (cam / RECIPE).is_file():
        return cast(ShortTerm, trained(cam).cam)
    folder = model / CAM if cam is None else cam
    if cam is not None and not (cam / CONFIG_FILE).is_file():
        folder = cam / CAM
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"{folder} holds no short-term memory, which long-term memory and guided targets need; "
            "run `longtake train cam` first, and give its folder with --cam or --guide"
        )
    return open_cam(folder, transformer.config)


def _refuse_other(networks: Remembering, out: Path) -> None:
    """Raise UserError where the run in `out` is of a short-term memory of other sizes."""
    sizes, cam = out / CAM / CONFIG_FILE, networks.memories.cam
    if cam is None or not checkpoints(out) or not sizes.is_file():
        return
    begun = CamConfig.from_dict(read_json(sizes))
    if begun != cam.config:
        other = [f.name for f in fields(begun) if getattr(begun, f.name) != getattr(cam.config, f.name)]
        raise UserError(
            f"the run in {out} was begun with another short-term memory ({', '.join(other)} differ); "
            "go on with its own recipe, or give another folder"
        )


def _keep(recipe: MemoryRecipe, networks: Remembering, out: Path) -> None:
    """Write the whole recipe, and the sizes of the networks, beside the checkpoints."""
    keep_recipe(recipe, out)
    memories = networks.memories
    for name, network in ((CAM, memories.cam), (APM, memories.apm)):
        if network is not None:
            (out / name).mkdir(exist_ok=True)
            (out / name / CONFIG_FILE).write_text(json.dumps(network.config.to_dict(), indent=2) + "\n")
