"""The memory plan of a stage of distillation: its networks on the meta device, its passes, its rollouts."""

from __future__ import annotations

from pathlib import Path

import torch

from longtake.errors import UserError
from longtake.memory.build import planned_bytes
from longtake.models.attention import Grid
from longtake.models.codecs import spatial_stride
from longtake.models.files import read_json
from longtake.models.hub import look_up
from longtake.models.network import TextNetwork
from longtake.models.text import MAX_LENGTH
from longtake.models.wan import WanConfig, WanTransformer
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.lora import adapt
from longtake.train.distil.opening import MODEL
from longtake.train.distil.specs import (
    AdversarialSpec,
    CausalSpec,
    ConsistencySpec,
    GuidanceSpec,
    LongTuningSpec,
    LoraSpec,
    SelfForcingSpec,
    Training,
)
from longtake.train.distil.stages import spec_of, stage_info
from longtake.train.memory_plan import Bytes, Clip, Plan, activations, held, is_big, rollout_caches

__all__ = ["stage_plan"]


def stage_plan(
    name: str,
    config: DistilConfig,
    gpus: int,
    *,
    teacher: str | None = None,
    student: str | None = None,
    spread: bool = True,
) -> Plan:
    """What stage `name` needs on each of `gpus`. Nothing is loaded and nothing has to be on disk but a preset.

    spread: whether each holds its share of the weights, or all of them.

    Raises UserError for a stage that does not train, and for models that are not known.
    """
    info = stage_info(name)
    spec = spec_of(config, info)
    if not isinstance(spec, Training):
        raise UserError(f"stage {info.name} trains nothing; `longtake doctor --model` plans what it runs")
    own, shares = student or config.models.student, gpus if spread else 1
    learner = _config_of("student", own)
    networks = {"student": _held(learner, shares, spec.lora, trained=True)}
    if info.teacher:
        networks["teacher"] = _held(
            _config_of("teacher", teacher or config.models.teacher), shares, None, trained=False
        )
    again = _checkpointed(learner, shares)
    passes = {"student": activations(learner, _clip(spec, config, learner, own), checkpointed=again)}
    if isinstance(spec, AdversarialSpec):
        fake = _config_of("critic", config.models.critic or teacher or config.models.teacher)
        shared = spec.critic_lora is not None and config.models.critic is None
        networks["critic"] = _held(fake, shares, spec.critic_lora, trained=True, average=False)
        if shared:
            networks["teacher"] = Bytes()
        clip = _clip(spec, config, fake, own, critic=True)
        passes["critic"] = activations(fake, clip, checkpointed=_checkpointed(fake, shares))
    return Plan(
        stage=info.name,
        gpus=gpus,
        networks=networks,
        activations=passes,
        caches=_caches(spec, config, learner, own, again) if isinstance(spec, SelfForcingSpec) else 0,
    )


def _held(
    config: WanConfig, shares: int, lora: LoraSpec | None, *, trained: bool, average: bool | None = None
) -> Bytes:
    with torch.device("meta"):
        network = WanTransformer(config).requires_grad_(trained)
        if lora is not None:
            adapt(network, lora, seed=0)
    return held(network, shares, average=trained if average is None else average, blocks=network.blocks)


def _checkpointed(config: WanConfig, shares: int) -> bool:
    """As `distil.start` does it: weights that are spread, and big networks."""
    with torch.device("meta"):
        return shares > 1 or is_big(WanTransformer(config))


def _config_of(role: str, model: str | None) -> WanConfig:
    """The sizes of a preset's network, or of the transformer in a folder."""
    if model is None:
        raise UserError(f"this stage needs a {role}; give --{role} with a model's folder or name")
    for folder in (Path(model) / MODEL, Path(model)):
        if (folder / "transformer").is_dir():
            return WanConfig.from_dict(read_json(folder / "transformer" / "config.json"))
    checkpoint = look_up(model)
    if checkpoint.preset.network is not None:
        return WanConfig.from_dict(checkpoint.preset.network.model_dump())
    return WanConfig.from_dict(read_json(checkpoint.part("transformer").path / "config.json"))


def _clip(
    spec: Training, config: DistilConfig, network: WanConfig, model: str | None, *, critic: bool = False
) -> Clip:
    """What one pass computes on; teacher forcing has every frame twice, and a rollout a block at a time."""
    tokens = spec.frames * _grid(config, network, model).tokens
    twice = isinstance(spec, CausalSpec | GuidanceSpec | ConsistencySpec)
    rolled = isinstance(spec, SelfForcingSpec)
    return Clip(
        clips=spec.batch_size,
        tokens=2 * tokens if twice else tokens,
        text_rows=MAX_LENGTH if network.text_dim == TextNetwork().d_model else 64,
        blocks=1 if critic or rolled else spec.frames // config.student.block,
        bfloat16=config.precision != "float32",
    )


def _grid(config: DistilConfig, network: WanConfig, model: str | None) -> Grid:
    """Of the tokens of a latent frame."""
    stride = spatial_stride(_codec_config(model))
    return network.grid(config.native.height // stride, config.native.width // stride)


def _codec_config(model: str | None) -> dict[str, object] | None:
    """Of the model's codec where it is on disk; None stands for Wan's."""
    for folder in (Path(model or "") / MODEL, Path(model or "")):
        if (folder / "codec" / "config.json").is_file():
            return dict(read_json(folder / "codec" / "config.json"))
    checkpoint = None if model is None or Path(model).is_dir() else look_up(model)
    if checkpoint is None or "codec" not in checkpoint.parts:
        return None
    path = checkpoint.part("codec").path / "config.json"
    return dict(read_json(path)) if path.is_file() else None


def _caches(
    spec: SelfForcingSpec, config: DistilConfig, network: WanConfig, model: str | None, checkpointed: bool
) -> int:
    grid, policy = _grid(config, network, model), config.student
    item = 4 if config.precision == "float32" else 2
    new = range(spec.frames)
    if isinstance(spec, LongTuningSpec):  # late in a sequence, where every block sees a full window
        new = range(spec.length - spec.advance, spec.length)
    each = rollout_caches(
        network,
        cache=planned_bytes(policy, network, grid, torch.float32),
        tokens_of_block=policy.block * grid.tokens,
        blocks=range(new.start // policy.block, -(-new.stop // policy.block)),
        window=policy.window.frames * grid.tokens,
        joined=0 if checkpointed else item,
    )
    return spec.batch_size * each
