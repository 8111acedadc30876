"""What stored ODE pairs were made with, so that a folder never holds pairs of two makings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from longtake.errors import UserError
from longtake.train.distil.backbone import Backbone
from longtake.train.distil.clips import Clips
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.flow import StepLevels
from longtake.train.distil.pairs import FORMAT, SETTINGS
from longtake.train.distil.specs import OdePairsSpec
from longtake.train.shard_file import write_text

__all__ = ["keep_settings"]


def keep_settings(
    out: Path, config: DistilConfig, spec: OdePairsSpec, clips: Clips, teacher: Backbone
) -> None:
    """Write `pairs.json`; where it is there, compare. Shards that the clip set has got since are not drawn from.

    Raises UserError that names what differs from the pairs in `out`.
    """
    path = out / SETTINGS
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if set(kept.get("shards", ())) <= set(clips.names):
        clips.use_shards(kept.get("shards"))
    settings = json.loads(json.dumps(_settings(config, spec, clips, teacher)))
    different = _different(kept, settings) if kept else []
    if different:
        raise UserError(
            f"{out} holds pairs made with other settings ({', '.join(different)}); go on with those, give another "
            "folder or delete it"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings))


def _settings(config: DistilConfig, spec: OdePairsSpec, clips: Clips, teacher: Backbone) -> dict[str, Any]:
    """Everything that a pair follows from, beside its number; of teacher and clips a digest."""
    return {
        "format": FORMAT,
        "timesteps": list(StepLevels.of(config.sampler).timesteps),
        "seed": config.seed,
        "precision": config.precision,
        "teacher": _digest_of_teacher(teacher),
        "clips": _digest_of_clips(clips),
        "shards": list(clips.names),
        "policy": config.student.model_dump(mode="json"),
        "spec": spec.model_dump(mode="json", exclude={"pairs"}),
    }


def _different(kept: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What is not the same, in words: `spec.guidance_scale 2.0 there, 5.0 given`."""
    found = []
    for name in [each for each in given if each != "shards"]:
        old, value = kept.get(name), given[name]
        if isinstance(value, dict) and isinstance(old, dict):
            found += [f"{name}.{line}" for line in _different(old, value)]
        elif old != value:
            found.append(f"{name} {old} there, {value} given")
    return found


def _digest_of_teacher(teacher: Backbone) -> str:
    """Of its weights, whatever they are loaded as (values count as bfloat16), and of its text encoder."""
    digest = hashlib.sha256(teacher.prompts.encoder.fingerprint.encode())
    for name, tensor in sorted(teacher.transformer.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().to(torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def _digest_of_clips(clips: Clips) -> str:
    """Of what the shards in use say of their clips: captions come from there, and nothing else."""
    digest = hashlib.sha256()
    for name in clips.names:
        digest.update((clips.folder / f"{name}.json").read_bytes())
    return digest.hexdigest()[:16]
