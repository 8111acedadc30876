"""Opening the models of a stage, and refusing those that do not fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.codecs import open_codec
from longtake.models.hub import PRESET_FILE, find
from longtake.models.parts import PartName
from longtake.models.text import EmbeddingCache, TextEncoder
from longtake.models.wan import WanTransformer
from longtake.train.distil.backbone import Backbone, Prompts
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.lora import Unadapted, adapt
from longtake.train.distil.specs import AdversarialSpec, Training
from longtake.train.distil.stage import Roles

__all__ = ["MODEL", "Opened", "check_fit", "open_model", "open_roles"]

MODEL = "model"
"""Folder of a stage's run that holds what it made."""
PARTS: tuple[PartName, ...] = ("transformer", "text_encoder", "tokenizer", "codec")
UNKNOWN = "that of the weights it was made from"


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A model of which only the transformer is in memory."""

    name: str
    transformer: WanTransformer
    text: Path
    tokenizer: Path
    codec: Path | None
    licence: str

    def prompts(self) -> Prompts:
        """Its text encoder, with embeddings kept on disk too."""
        encoder = TextEncoder.from_files(self.text, self.tokenizer, cache=EmbeddingCache(), allow_pt=True)
        return Prompts(encoder.requires_grad_(False))


def open_model(model: str | Path) -> Opened:
    """A preset by name, a model's folder, or the run folder of a stage. Raises UserError for anything else."""
    folder = Path(model)
    if (folder / MODEL / "transformer").is_dir():
        folder = folder / MODEL
    if (folder / "transformer").is_dir() and not (folder / PRESET_FILE).is_file():
        return _opened(str(folder), UNKNOWN, *(folder / name for name in PARTS))
    checkpoint = find(folder if folder.is_dir() else model)
    if "lora" in checkpoint.parts:
        raise UserError(f"model {model} carries a LoRA; merge it first: longtake convert")
    paths = [checkpoint.part(name).path for name in PARTS]
    return _opened(str(model), checkpoint.preset.licence, *paths)


def _opened(name: str, licence: str, transformer: Path, text: Path, tokenizer: Path, codec: Path) -> Opened:
    return Opened(
        name=name,
        transformer=WanTransformer.from_pretrained(transformer, allow_pt=True),
        text=text,
        tokenizer=tokenizer,
        codec=codec if codec.exists() else None,
        licence=licence,
    )


def check_fit(one: Opened, other: Opened, *, roles: tuple[str, str]) -> None:
    """Raise UserError when two models do not share latents or prompts. `roles`: what they are, for the message."""
    a, b = one.transformer.config, other.transformer.config
    about = f"{roles[0]} {one.name} and {roles[1]} {other.name} do not fit together"
    for what in ("in_channels", "out_channels", "text_dim"):
        if getattr(a, what) != getattr(b, what):
            raise UserError(
                f"{about}: {what} is {getattr(a, what)} and {getattr(b, what)}; use two models of one family, "
                "with one codec and one text encoder"
            )
    if one.text.is_dir() and other.text.is_dir():
        prints = [TextEncoder.from_files(m.text, m.tokenizer).fingerprint for m in (one, other)]
        if prints[0] != prints[1]:
            raise UserError(
                f"{about}: their text encoders differ, so a prompt would not mean the same to both; distil a student "
                "that began as its teacher does"
            )


def open_roles(
    config: DistilConfig,
    spec: Training,
    *,
    student: str | Path,
    teacher: str | Path | None,
    device: torch.device,
) -> tuple[Roles, Opened]:
    """The networks of a stage, and the student as opened. `teacher` is None where the stage needs none."""
    learner = open_model(student)
    master = None if teacher is None else open_model(teacher)
    if master is not None:
        check_fit(master, learner, roles=("teacher", "student"))
    prompts = (master or learner).prompts()
    learner.transformer.to(device).requires_grad_(True)
    if spec.lora is not None:
        adapt(learner.transformer, spec.lora, config.seed)
    roles = Roles(student=Backbone(learner.transformer, prompts), codec=_codec(learner, master))
    if master is None:
        return roles, learner
    master.transformer.to(device)
    real: Backbone = Backbone(master.transformer, prompts)
    if not isinstance(spec, AdversarialSpec):
        return Roles(student=roles.student, teacher=real, codec=roles.codec), learner
    if spec.critic_lora is not None and config.models.critic is None:
        adapt(master.transformer, spec.critic_lora, config.seed)
        fake, real = real, Unadapted(master.transformer, prompts)
    else:
        fake = _critic(config, spec, teacher or "", master, prompts, device)
    return Roles(student=roles.student, teacher=real, critic=fake, codec=roles.codec), learner


def _critic(
    config: DistilConfig,
    spec: AdversarialSpec,
    teacher: str | Path,
    master: Opened,
    prompts: Prompts,
    device: torch.device,
) -> Backbone:
    """A critic with weights of its own."""
    opened = open_model(config.models.critic or teacher)
    check_fit(master, opened, roles=("teacher", "critic"))
    opened.transformer.to(device).requires_grad_(True)
    if spec.critic_lora is not None:
        adapt(opened.transformer, spec.critic_lora, config.seed)
    return Backbone(opened.transformer, prompts)


def _codec(*models: Opened | None) -> Codec | None:
    """The codec of the first model that has one."""
    paths = [model.codec for model in models if model is not None and model.codec is not None]
    return open_codec(paths[0], dtype=torch.float32, allow_pt=True) if paths else None
