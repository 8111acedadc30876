"""Finding a model's enhancer and opening its networks.

A model's folder may hold `enhancer/` with an `enhancer.yaml`. Parts that the enhancer shares with the model (codec,
text encoder, tokenizer) are looked for beside that file first, then in the model's own folder.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from longtake.enhance.denoiser import Denoiser
from longtake.enhance.places import shared
from longtake.enhance.refiner import PUBLISHED_FILE
from longtake.enhance.spec import SPEC_FILE, EnhancerSpec, FlowSpec, read_spec
from longtake.enhance.wan import WanDenoiser
from longtake.errors import UserError
from longtake.models.codec import Codec
from longtake.models.codecs import open_codec
from longtake.models.device import compute_device, compute_dtype
from longtake.models.hub import PRESET_FILE, look_up, presets
from longtake.models.text import EmbeddingCache, TextEncoder
from longtake.models.wan import WanTransformer

FOLDER = "enhancer"


def find_enhancer(model: str | Path) -> Path:
    """The folder of a model's enhancer. Raises UserError when it has none, or the model is unknown."""
    path = Path(model)
    if str(model) not in presets() and _spec_file(path) is not None:
        return path
    checkpoint = look_up(model)
    return enhancer_in(checkpoint.folder, checkpoint.preset.name)


def _spec_file(folder: Path) -> Path | None:
    """The spec of an enhancer's folder: its own, or ours for a 3-D UNet that was published without one."""
    if (folder / SPEC_FILE).is_file():
        return folder / SPEC_FILE
    specs = Path(str(files("longtake.enhance"))) / "specs"
    if (folder / PUBLISHED_FILE).is_file():
        return specs / "refiner.yaml"
    is_bare = (folder / "unet" / "config.json").is_file() and not (folder / PRESET_FILE).is_file()
    return specs / "unet.yaml" if is_bare else None


def enhancer_in(model: Path | None, name: str) -> Path:
    """The folder of the enhancer inside a model's folder. Raises UserError when there is none."""
    if model is None or not (model / FOLDER / SPEC_FILE).is_file():
        raise UserError(f"model {name!r} has no enhancer; {_remedy()}")
    return model / FOLDER


def _remedy() -> str:
    weights = Path(str(files("longtake") / "weights"))
    having = [
        preset.name
        for preset in presets().values()
        if preset.folder is not None and (weights / preset.folder / FOLDER / SPEC_FILE).is_file()
    ]
    own = f"give the folder of one, with {SPEC_FILE}"
    return f"{own}, or use that of {', '.join(having)}" if having else own


def open_enhancer(
    folder: Path,
    torch_dtype: torch.dtype | None = None,
    *,
    codec: Codec | None = None,
    text_encoder: TextEncoder | None = None,
) -> tuple[EnhancerSpec, Denoiser[Any], Codec]:
    """Open every part; `codec` and `text_encoder` are those of the model, where it is open already.

    Raises UserError for what is missing or damaged.
    """
    spec, dtype, device = (
        read_spec(folder / SPEC_FILE),
        torch_dtype or compute_dtype().dtype,
        compute_device(),
    )
    if spec.backbone != "wan":
        from longtake.enhance.unet import open_unet

        return spec, *open_unet(folder, spec, dtype, device)
    assert isinstance(spec.schedule, FlowSpec)  # `EnhancerSpec` refuses others
    backbone = WanTransformer.from_pretrained(folder / "transformer", torch_dtype=dtype).to(device)
    denoiser = WanDenoiser(
        backbone=backbone,
        text_encoder=text_encoder or _text_encoder(folder, device),
        guidance_scale=spec.guidance_scale,
        prediction=spec.schedule.prediction,
    )
    return spec, denoiser, codec or open_codec(shared(folder, "codec", "vae"), dtype=dtype).to(device)


def _text_encoder(folder: Path, device: torch.device) -> TextEncoder:
    return TextEncoder.from_files(
        shared(folder, "text_encoder"),
        shared(folder, "tokenizer"),
        cache=EmbeddingCache(),
        dtype=torch.float32,
        device=device,
    )
