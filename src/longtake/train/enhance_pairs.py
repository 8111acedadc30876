"""What the enhancer learns from: toybox clips as they should be, and as mini would have made them, enlarged.

Two latent sets side by side with the same clips in the same order: `clean/`, rendered at the enhancer's size, and
`poor/`: rendered at mini's size, encoded, disturbed a little (in the latents, as a generator errs, and in the pixels),
decoded, enlarged and encoded again.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from longtake.enhance.upscale import upscale
from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.patch_codec import PatchCodec
from longtake.train.clips import PlannedClip, plan_clip
from longtake.train.config import LatentsConfig, Share, Strict
from longtake.train.counters import normal, numbers
from longtake.train.latents import Progress, encode_clip
from longtake.train.shard_file import write_clips, write_text
from longtake.train.store import VALIDATION, shard_names
from longtake.world.corrupt import soften

__all__ = ["CLEAN", "POOR", "PairsConfig", "make_pairs", "poor_latents"]

CLEAN, POOR = "clean", "poor"
SETTINGS = "pairs.json"
FIRST_SEED, VALIDATION_SEED = 40_000_000, 41_000_000


class PairsConfig(Strict):
    """The stored pairs."""

    clips: PositiveInt = 3000
    """Training clips."""
    validation_clips: PositiveInt = 32
    """Clips set aside, half of them of held-out combinations."""
    shard_clips: PositiveInt = 250
    levels: dict[int, NonNegativeFloat] = {1: 0.6, 2: 0.3, 3: 0.1}
    """Shares of the toybox levels."""
    latent_frames: PositiveInt = 9
    """Latent frames of a clip."""
    size: PositiveInt = 192
    """Height and width that the enhancer makes, in pixels."""
    scale: PositiveInt = 2
    """How many times smaller the poor clips were made."""
    fps: PositiveInt = 8
    event_share: Share = 0.2
    """Share of clips in which a colour or a motion changes."""
    soft_share: Share = 0.5
    """Share of poor clips with a little blur, grain, gain and offset."""
    latent_noise: NonNegativeFloat = 0.3
    """Greatest noise in the latents of poor clips, in units of the latents; the least is 0."""

    def latents(self, size: int) -> LatentsConfig:
        """How the clips are planned and filmed at a size."""
        return LatentsConfig(
            levels=self.levels,
            latent_frames=self.latent_frames,
            size=size,
            fps=self.fps,
            jump_share=0.0,
            event_share=self.event_share,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A shard of both sets."""

    folder: Path
    name: str
    first_seed: int
    clips: int
    splits: tuple[str, ...]
    config: PairsConfig


def make_pairs(folder: Path, codec: Path, config: PairsConfig, *, workers: int, progress: Progress) -> None:
    """Make all shards that are missing; it may be stopped and started.

    Raises UserError when the disk is full, or the folder holds pairs made with another config.
    """
    _keep_settings(folder, config)
    for side in (CLEAN, POOR):
        (folder / side).mkdir(parents=True, exist_ok=True)
    if not (folder / "codec").exists():
        shutil.copytree(codec, folder / "codec")
    jobs = [job for job in _jobs(folder, config) if not (folder / CLEAN / f"{job.name}.json").exists()]
    progress(0, len(jobs))
    if workers <= 1:
        for done, job in enumerate(jobs, start=1):
            _write(job)
            progress(done, len(jobs))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for done, future in enumerate(as_completed([pool.submit(_write, job) for job in jobs]), start=1):
            future.result()
            progress(done, len(jobs))


def _keep_settings(folder: Path, config: PairsConfig) -> None:
    """Write the config beside the pairs, or check that those there were made with it; they may become more or fewer."""
    path, asked = folder / SETTINGS, json.loads(config.model_dump_json())
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        other = [
            f"{name} {kept.get(name)}, not {asked.get(name)}"
            for name in asked | kept
            if name != "clips" and kept.get(name) != asked.get(name)
        ]
        if other:
            raise UserError(
                f"{folder} holds pairs made with {'; '.join(other)}; give another folder or delete it"
            )
    elif shard_names(folder / CLEAN):
        raise UserError(
            f"{folder} holds pairs without {SETTINGS}, which says how they were made; give another folder or delete it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asked, indent=2) + "\n")


def _jobs(folder: Path, config: PairsConfig) -> list[_Job]:
    """The validation shard, then the training shards."""
    held_out = _Job(
        folder=folder,
        name=VALIDATION,
        first_seed=VALIDATION_SEED,
        clips=config.validation_clips,
        splits=("train", "held_out"),
        config=config,
    )
    firsts = range(0, config.clips, config.shard_clips)
    return [held_out] + [
        _Job(
            folder=folder,
            name=f"shard-{number:06d}",
            first_seed=FIRST_SEED + first,
            clips=min(config.shard_clips, config.clips - first),
            splits=("train",),
            config=config,
        )
        for number, first in enumerate(firsts)
    ]


def _write(job: _Job) -> None:
    """Film, encode and write a shard of both sets; the clean one last, which marks it as finished."""
    codec, config = PatchCodec.from_pretrained(job.folder / "codec"), job.config
    plans = [
        plan_clip(job.first_seed + i, job.splits[i % len(job.splits)], config.latents(config.size))
        for i in range(job.clips)
    ]
    records = [plan.record for plan in plans]
    write_clips(
        job.folder / POOR, job.name, torch.cat([poor_latents(p, codec, config) for p in plans]), records
    )
    clean = torch.cat([encode_clip(plan, codec, config.latents(config.size))[0] for plan in plans])
    write_clips(job.folder / CLEAN, job.name, clean, records)


@torch.no_grad()
def poor_latents(plan: PlannedClip, codec: Codec, config: PairsConfig) -> Tensor:
    """Latents `[1, C, T, h, w]`, at the enhancer's size, of the clip as mini would have made it."""
    seed = plan.record.seed
    rng = numbers(seed, "poor clip")
    small, _ = encode_clip(plan, codec, config.latents(config.size // config.scale))
    level = config.latent_noise * float(rng.random())
    small = small + level * normal(tuple(small.shape), seed, "poor latents", device=small.device)
    pixels = codec.decode(small, codec.start())[0].numpy()
    if rng.random() < config.soft_share:
        pixels = soften(pixels, rng)
    large = upscale(pixels, config.size, config.size, "lanczos")
    return codec.encode(torch.from_numpy(large)[None], codec.start())
