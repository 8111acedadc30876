"""Making the stored latent set: toybox clips, rendered, encoded, quantised and written shard by shard.

Every clip is a function of its seed and the config, so a set can be made again anywhere. Several processes, each with
one thread, share the shards out; a shard that is there is kept, so the command may be stopped and started.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import Codec, frames_for_latents
from longtake.train.clips import PlannedClip, plan_clip
from longtake.train.config import LatentsConfig
from longtake.train.shard_file import write_clips, write_text
from longtake.train.store import CLIPS, IMAGES, VALIDATION, shard_names
from longtake.world.render import render

__all__ = ["Job", "encode_clip", "make_latents", "prepare", "refresh_latents", "shard_jobs", "write_shard"]

SETTINGS = "set.json"
STILLS = 10
"""Single frames of a shard of them, to one clip of a shard of clips."""
MOST_SOLIDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One shard to make."""

    folder: Path
    """Folder of the set."""
    name: str
    """Name of the shard."""
    first_seed: int
    """Seed of its first clip; the others follow."""
    clips: int
    """How many."""
    splits: tuple[str, ...]
    """Splits of the scenes, taken in turn."""
    config: LatentsConfig
    """The recipe."""


Progress = Callable[[int, int], None]
"""Told (shards done, shards in all)."""


def make_latents(
    folder: Path, codec: Path, config: LatentsConfig, *, workers: int, progress: Progress
) -> None:
    """Make all shards that are missing. Raises UserError when the folder holds a set of another config."""
    prepare(folder, codec, config)
    jobs = [job for job in shard_jobs(folder, config) if not (folder / f"{job.name}.json").exists()]
    run_jobs(jobs, workers, progress)


def refresh_latents(folder: Path, *, shards: int, workers: int, progress: Progress) -> None:
    """Add that many shards with new seeds, then drop as many of the oldest; a run in progress takes them up."""
    settings = read_settings(folder)
    config, made = LatentsConfig.model_validate(settings["config"]), int(settings["shards_made"])
    fresh = [_train_job(folder, config, number) for number in range(made, made + shards)]
    run_jobs(fresh, workers, progress)
    _write_settings(folder, config, made + shards)
    for name in shard_names(folder)[:shards]:
        (folder / f"{name}.json").unlink()
        (folder / f"{name}.safetensors").unlink(missing_ok=True)


def shard_jobs(folder: Path, config: LatentsConfig) -> Iterator[Job]:
    """The validation shard, then the training shards, single frames first."""
    if config.validation_clips:
        yield Job(
            folder=folder,
            name=VALIDATION,
            first_seed=config.seed + 2**40,
            clips=config.validation_clips,
            splits=("train", "held_out"),
            config=config,
        )
    stills = config.model_copy(update={"latent_frames": 1, "jump_share": 0.0, "event_share": 0.0})
    size = STILLS * config.shard_clips
    for number in range(-(-config.images // size)):
        yield Job(
            folder=folder,
            name=f"{IMAGES}-{number:06d}",
            first_seed=config.seed + 2**41 + number * size,
            clips=min(size, config.images - number * size),
            splits=("train",),
            config=stills,
        )
    for number in range(-(-config.clips // config.shard_clips)):
        yield _train_job(folder, config, number)


def _train_job(folder: Path, config: LatentsConfig, number: int) -> Job:
    before = number * config.shard_clips
    return Job(
        folder=folder,
        name=f"{CLIPS}-{number:06d}",
        first_seed=config.seed + before,
        clips=min(config.shard_clips, config.clips - before) if before < config.clips else config.shard_clips,
        splits=("train",),
        config=config,
    )


def prepare(folder: Path, codec: Path, config: LatentsConfig) -> None:
    """Make the folder, with its own copy of the codec, or check that it is the same set's."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / SETTINGS).exists():
        settings = read_settings(folder)
        kept = LatentsConfig.model_validate(settings["config"])
        if kept.model_copy(update={"clips": config.clips, "images": config.images}) != config:
            raise UserError(
                f"{folder} holds a latent set made with other settings; give another folder or delete it"
            )
    if not (folder / "codec").exists():
        shutil.copytree(codec, folder / "codec")
    shards = -(-config.clips // config.shard_clips)
    made = int(read_settings(folder)["shards_made"]) if (folder / SETTINGS).exists() else 0
    _write_settings(folder, config, max(shards, made))


def read_settings(folder: Path) -> dict[str, Any]:
    """What `set.json` says: the config and how many shard numbers are taken."""
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no latent set; make one: longtake train latents --out {folder}"
        ) from None
    return settings


def _write_settings(folder: Path, config: LatentsConfig, shards_made: int) -> None:
    text = json.dumps({"config": config.model_dump(mode="json"), "shards_made": shards_made}, indent=2)
    write_text(folder / SETTINGS, text + "\n")


def run_jobs(jobs: Sequence[Job], workers: int, progress: Progress) -> None:
    """Do the jobs, in this process when one worker is asked for."""
    if workers <= 1 or len(jobs) <= 1:
        for done, job in enumerate(jobs):
            progress(done, len(jobs))
            write_shard(job)
        progress(len(jobs), len(jobs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_one_thread) as pool:
        pending = [pool.submit(write_shard, job) for job in jobs]
        progress(0, len(jobs))
        for done, future in enumerate(as_completed(pending), start=1):
            future.result()
            progress(done, len(jobs))


def _one_thread() -> None:
    torch.set_num_threads(1)


def write_shard(job: Job) -> None:
    """Render, encode and write one shard; the sidecar comes last and marks it as finished."""
    from longtake.models.patch_codec import PatchCodec

    codec = PatchCodec.from_pretrained(job.folder / "codec")
    plans = [
        plan_clip(job.first_seed + i, job.splits[i % len(job.splits)], job.config) for i in range(job.clips)
    ]
    parts = [encode_clip(plan, codec, job.config) for plan in plans]
    latents, shares = (torch.cat(part) for part in zip(*parts, strict=True))
    write_clips(job.folder, job.name, latents, [plan.record for plan in plans], shares=shares)


def encode_clip(plan: PlannedClip, codec: Codec, config: LatentsConfig) -> tuple[Tensor, Tensor]:
    """Latents `[1, C, T, h, w]` of one clip, and how much of each cell each solid covers, `[1, S, T, h, w]`."""
    latents, shares = [], []
    for stretch in plan.stretches:
        film = render(
            plan.scene,
            frames_for_latents(stretch.latent_frames + stretch.drop, codec.temporal_stride),
            start=stretch.start,
            size=(config.size, config.size),
            fps=config.fps,
            truth=True,
        )
        coded = codec.encode(torch.from_numpy(film.frames)[None], codec.start())
        assert film.instances is not None
        covered = cell_shares(film.instances, codec.temporal_stride, coded.shape[-1])
        latents.append(coded[:, :, stretch.drop :])
        shares.append(covered[None, :, stretch.drop :])
    return torch.cat(latents, dim=2), torch.cat(shares, dim=2)


def cell_shares(instances: np.ndarray, stride: int, cells: int) -> Tensor:
    """`[S, T, h, w]` of instances uint8 `[1 + stride·(T−1), H, W]`: the mean over a latent frame's pixels."""
    numbers = torch.arange(1, MOST_SOLIDS + 1)[:, None, None, None]
    covered = (torch.from_numpy(instances)[None] == numbers).float()
    small = F.adaptive_avg_pool2d(covered, cells)
    later = small[:, 1:].unflatten(1, (-1, stride)).mean(2) if small.shape[1] > 1 else small[:, 1:]
    return torch.cat([small[:, :1], later], dim=1)
