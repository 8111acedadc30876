"""From a stage's run to a model's folder that `longtake generate --model` runs: weights, preset and card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
import yaml

from longtake.errors import UserError
from longtake.models.hub import PRESET_FILE, Preset
from longtake.models.policy import Policy
from longtake.models.steps import OdeSpec
from longtake.models.text import TextEncoder
from longtake.train.checkpoint import Position, checkpoints, load_checkpoint, select
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.lora import lora_of, save_lora
from longtake.train.distil.mixing import mix_in, other_end
from longtake.train.distil.opening import Opened, open_model
from longtake.train.distil.record import StageRecord, kept_record
from longtake.train.distil.specs import CausalSpec, GuidanceSpec, Interpolation, LoraSpec
from longtake.train.distil.stages import spec_of, stage_info
from longtake.train.log import RunLog

__all__ = ["export_student"]

LORA_FILE = "lora.safetensors"


def export_student(run: Path, out: Path) -> None:
    """Write the averaged weights of a run's newest checkpoint, with everything that generating needs.

    Where the stage says so they are mixed with another model's. A low-rank change is merged, and kept beside the model
    by itself. Raises UserError when `run` holds no stage.
    """
    record = kept_record(run)
    found = checkpoints(run)
    if not found:
        raise UserError(f"{run} holds no checkpoint; train first: longtake train stage {record.stage}")
    position, tensors = load_checkpoint(found[-1])
    spec = spec_of(record.config, stage_info(record.stage))
    opened, weights = open_model(record.student), select(tensors, "average")
    out.mkdir(parents=True, exist_ok=True)
    between = spec.interpolate or Interpolation(share=1)
    if isinstance(spec.lora, LoraSpec):
        lora = lora_of(weights, spec.lora, found[-1]).scaled(between.share)
        lora.merge_into(opened.transformer)
        save_lora(lora, out / LORA_FILE)
    else:
        state = {name.removeprefix("transformer."): value for name, value in weights.items()}
        opened.transformer.load_state_dict(state)
        if between.share < 1:
            mix_in(opened.transformer, other_end(record, between.other), 1 - between.share)
    opened.transformer.save_pretrained(out / "transformer", dtype=getattr(torch, record.config.weights))
    _copy_parts(opened, out)
    _write_preset(record, opened, _policy(record.config, spec), run, out)
    (out / "README.md").write_text(_card(record, run, position), encoding="utf-8")


def _policy(config: DistilConfig, spec: object) -> Policy:
    """How the result is run: the student's way; by many steps after causal adaptation (with guidance) and after
    guidance distillation (without)."""
    if isinstance(spec, GuidanceSpec):
        return config.student.model_copy(update={"sampler": spec.sampler})
    if not isinstance(spec, CausalSpec):
        return config.student
    steps = OdeSpec(kind="ode", num_inference_steps=spec.num_inference_steps, shift=config.sampler.shift)
    return config.student.model_copy(update={"sampler": steps, "guidance_scale": spec.guidance_scale})


def _copy_parts(opened: Opened, out: Path) -> None:
    """Text encoder, tokenizer and codec as they are. A codec that is one file of the Hub stays where it is."""
    if opened.text.is_dir():
        for name, source in (("text_encoder", opened.text), ("tokenizer", opened.tokenizer)):
            shutil.copytree(source, out / name, dirs_exist_ok=True)
    else:
        TextEncoder.from_files(opened.text, opened.tokenizer, allow_pt=True).save(out, dtype=torch.bfloat16)
    if opened.codec is not None and opened.codec.is_dir():
        shutil.copytree(opened.codec, out / "codec", dirs_exist_ok=True)


def _write_preset(record: StageRecord, opened: Opened, policy: Policy, run: Path, out: Path) -> None:
    preset = Preset(
        name=run.resolve().name,
        summary=f"made by longtake train stage {record.stage}",
        licence=opened.licence,
        folder=".",
        native=record.config.native,
        policy=policy,
    )
    values = preset.model_dump(mode="json", exclude_none=True)
    (out / PRESET_FILE).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _card(record: StageRecord, run: Path, position: Position) -> str:
    records = RunLog(run).records()
    hardware = sorted({line["hardware"] for line in records if line["kind"] == "leg"})
    figures = [line for line in records if line["kind"] == "validation"][-1:]
    spec = spec_of(record.config, stage_info(record.stage)).model_dump(mode="json", exclude_none=True)
    return (
        f"# {run.resolve().name}\n\nMade by `longtake train stage {record.stage}`, whose log this card is written "
        f"from.\n\n- student from: {record.student}\n- teacher: {record.teacher or 'none'}\n"
        f"- {position.step:,} steps, {position.seconds / 3600:.2f} hours of wall time, on {'; '.join(hardware)}\n"
        f"- last validation: {json.dumps(figures[0]) if figures else 'none'}\n\n"
        f"## Stage\n\n```json\n{json.dumps(spec)}\n```\n"
    )
