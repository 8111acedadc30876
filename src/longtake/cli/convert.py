"""`longtake convert`: published weights in any container into a folder of safetensors that opens everywhere."""

from __future__ import annotations

import json
import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from longtake.errors import UserError

if TYPE_CHECKING:
    from longtake.models.convert import Conversion


class Format(Enum):
    """Number formats by their short names."""

    fp32 = "float32"
    bf16 = "bfloat16"
    fp16 = "float16"


FORMATS = ", ".join(form.name for form in Format)
MOST_NAMES = 6


def convert(
    source: Annotated[
        Path, Option("--from", metavar="PATH", help="A .pt, .ckpt, .pth or .safetensors file, or a folder.")
    ],
    target: Annotated[Path, Option("--to", metavar="FOLDER", help="Where the model is written.")],
    dtype: Annotated[
        str | None, Option(metavar="NAME", help=f"Number format, {FORMATS}; as it is stored unless given.")
    ] = None,
    ema: Annotated[
        bool, Option("--ema/--no-ema", help="Take the averaged weights where the file has both.")
    ] = True,
    lora: Annotated[Path | None, Option(metavar="PATH", help="A LoRA to merge into the weights.")] = None,
    lora_scale: Annotated[
        float | None, Option(metavar="S", help="How much of the LoRA; 1, as trained, unless given.")
    ] = None,
    head_dim: Annotated[
        int | None, Option(metavar="N", help="Channels of an attention head, where no config says it; 128.")
    ] = None,
    force: Annotated[
        bool, Option("--force", "-f", help="Replace a folder that was converted before.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print what was found and written as one JSON object.")
    ] = False,
) -> None:
    """Bring a published model into safetensors files.

    Transformers in the containers of CausVid, Self-Forcing, LongLive, Krea, FastVideo and their kin, Wan's VAE, tiny
    autoencoders and UMT5 are told apart by their tensors. Only tensors are read: a file that asks to run code is
    refused.

    \b
    longtake convert --from self_forcing_dmd.pt --to self-forcing --dtype bf16
    longtake convert --from longlive_base.pt --lora lora.pt --to longlive
    """
    form = _format(dtype)
    scale = _scale(lora, lora_scale)
    import torch

    from longtake.models.convert import convert as run

    done = run(
        source,
        target,
        dtype=None if form is None else getattr(torch, form.value),
        ema=ema,
        lora=lora,
        lora_scale=scale,
        head_dim=head_dim,
        force=force,
    )
    for line in [json.dumps(done.to_dict())] if as_json else _lines(done):
        typer.echo(line)


def _format(name: str | None) -> Format | None:
    if name is not None and name not in Format.__members__:
        raise UserError(f"--dtype {name} is not known; give one of {FORMATS}")
    return None if name is None else Format[name]


def _scale(lora: Path | None, scale: float | None) -> float:
    if scale is not None and lora is None:
        raise UserError(f"--lora-scale {scale:g} given without a LoRA; give --lora PATH too, or leave it out")
    if scale is not None and not math.isfinite(scale):
        raise UserError(
            f"--lora-scale {scale} is not a number to multiply with; 1 is what it was trained with"
        )
    return 1.0 if scale is None else scale


def _lines(done: Conversion) -> list[str]:
    lines = [
        f"{done.source}: {done.container} in {done.layout} layout, {', '.join(done.stored)}",
        f"{done.parameters:,} parameters in {done.tensors} tensors; {_sizes(done)}",
    ]
    for what, names in (("ignored", done.ignored), ("reshaped", done.reshaped)):
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            lines.append(f"{what}: {', '.join(names[:MOST_NAMES])}{more}")
    if done.lora is not None:
        lines.append(f"merged: {done.lora}")
    files = "1 file" if len(done.files) == 1 else f"{len(done.files)} files"
    return [*lines, f"{done.out}: {done.num_bytes / 1e9:.2f} GB in {files}"]


def _sizes(done: Conversion) -> str:
    c = done.config
    if done.kind != "transformer":
        return done.kind
    kind = "text-to-video" if c["image_dim"] is None else "image-to-video"
    heads = c["num_attention_heads"]
    return f"{kind} transformer, {c['num_layers']} layers of {heads} heads of width {c['attention_head_dim']}"
