"""Small latent sets made without rendering, and a tiny recipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from longtake.train.config import MiniConfig, OptimiserConfig, Stage, TransformerConfig, WordsConfig
from longtake.train.quantise import quantise
from longtake.train.store import FORMAT, VALIDATION, ClipRecord, Segment

WORDS = ("a", "red", "blue", "sphere", "cube", "rolls", "stays")
CHANNELS, FRAMES, CELLS = 4, 8, 4


def record(
    seed: int, *, jump: bool = False, level: int = 1, split: str = "train", event: int = 0
) -> ClipRecord:
    """A record; `event` is the latent frame at which the second caption begins (0: there is none)."""
    segments = [Segment(start=0, captions=("a red sphere rolls", "red sphere"))]
    if event:
        segments.append(Segment(start=event, captions=("a blue sphere rolls", "blue sphere")))
    attributes = {"solids": [{"shape": "sphere", "colour": "red", "motion": "roll"}], "ground": "sand"}
    return ClipRecord(
        level=level,
        seed=seed,
        start=0,
        jump=jump,
        split=split,
        attributes=attributes,
        segments=tuple(segments),
    )


def write_shard(
    folder: Path,
    name: str,
    records: list[ClipRecord],
    seed: int = 0,
    frames: int = FRAMES,
    shares: bool = False,
) -> None:
    """A shard whose latents are noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((len(records), CHANNELS, frames, CELLS, CELLS), dtype=np.float32)
    steps, scales = quantise(torch.from_numpy(latents), torch.arange(frames) == 0)
    tensors = {"latents": steps, "scales": scales}
    if shares:
        drawn = rng.integers(256, size=(len(records), 3, frames, CELLS, CELLS), dtype=np.uint8)
        tensors["shares"] = torch.from_numpy(drawn // 3)
    save_file(tensors, folder / f"{name}.safetensors")
    sidecar = {"format": FORMAT, "clips": [r.to_dict() for r in records]}
    (folder / f"{name}.json").write_text(json.dumps(sidecar))


def write_set(folder: Path, shards: int = 2, shares: bool = False) -> Path:
    """Shards of 12 clips of levels 1 and 2, every third a jump, every fourth with an event; and validation clips."""
    for number in range(shards):
        records = [
            record(i, jump=i % 3 == 0, level=1 + i % 2, event=3 * (i % 4 == 0))
            for i in range(12 * number, 12 * number + 12)
        ]
        write_shard(folder, f"shard-{number:06d}", records, seed=number, shares=shares)
    validation = [record(i, split="held_out" if i % 2 else "train") for i in range(4)]
    write_shard(folder, VALIDATION, validation, seed=99)
    return folder


def tiny_config(**changes: object) -> MiniConfig:
    """Three stages of a few steps on networks of a few thousand weights."""
    config = MiniConfig(
        block=2,
        transformer=TransformerConfig(
            num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=2, freq_dim=16
        ),
        words=WordsConfig(d_model=16, layers=1, heads=2, d_ff=32, max_length=12),
        optimiser=OptimiserConfig(warmup_steps=2),
        stages=(
            Stage(name="images", steps=3, batch_size=4, frames=1, levels={1: 1, 2: 1}),
            Stage(name="clips", steps=5, batch_size=4, frames=6, levels={1: 1, 2: 1}, decay_steps=2),
        ),
        log_steps=2,
        validate_steps=4,
    )
    return config.model_copy(update=changes)
