"""Enhancing with a 3-D UNet: diffusers' `UNet3DConditionModel` (zeroscope, ModelScope), or the published refiner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from longtake.enhance.levels import Level
from longtake.enhance.places import shared
from longtake.enhance.refiner import PUBLISHED_FILE, check_rows, fill_refiner, refiner_unet
from longtake.enhance.spec import EnhancerSpec, FlowSpec
from longtake.models.clip_text import ClipTextEncoder
from longtake.models.codec import Codec
from longtake.models.containers import open_container
from longtake.models.files import load_strict, read_json
from longtake.models.kl_codec import KlCodec

Prediction = Literal["epsilon", "v"]


class UNetText(NamedTuple):
    """A prompt, and the empty one where guidance is on; each `[1, L, D]`."""

    prompt: Tensor
    empty: Tensor | None


@dataclass(frozen=True, kw_only=True)
class UNetDenoiser:
    """A `Denoiser`. The network sees a window at one timestep, and is guided by the empty prompt."""

    unet: Any
    """diffusers' `UNet3DConditionModel`, or one that is called as it is."""
    text_encoder: ClipTextEncoder
    prediction: Prediction
    """What it predicts: the noise, or v = α·noise − σ·x0."""
    guidance_scale: float = 1.0
    guidance_rescale: float = 0.0
    """How far guided predictions are brought back to the spread of the one for the prompt (arXiv 2305.08891)."""
    is_refiner: bool = False
    """Whether only certain sizes will do; see `refiner`."""
    cell: int = 8
    """Pixels a latent cell."""

    @property
    def patch(self) -> int:
        """See `Denoiser.patch`."""
        return 1

    def read(self, prompt: str) -> UNetText:
        """See `Denoiser.read`."""
        empty = None if self.guidance_scale == 1 else self.text_encoder.encode([""])
        return UNetText(self.text_encoder.encode([prompt]), empty)

    def clean(self, x: Tensor, level: Level, text: UNetText) -> Tensor:
        """See `Denoiser.clean`."""
        if self.is_refiner:
            check_rows(x.shape[3], x.shape[4], self.cell)
        predicted = self._predict(x, round(level.timestep), text)
        if self.prediction == "v":
            return level.alpha * x - level.sigma * predicted
        return (x - level.sigma * predicted) / level.alpha

    def _predict(self, x: Tensor, timestep: int, text: UNetText) -> Tensor:
        if text.empty is None:
            return self._run(x, timestep, text.prompt)
        both = self._run(x.expand(2, -1, -1, -1, -1), timestep, torch.cat([text.prompt, text.empty]))
        told, untold = both.chunk(2)
        guided = untold + self.guidance_scale * (told - untold)
        if not self.guidance_rescale:
            return guided
        return guided * (self.guidance_rescale * told.std() / guided.std() + 1 - self.guidance_rescale)

    def _run(self, x: Tensor, timestep: int, text: Tensor) -> Tensor:
        weight = next(self.unet.parameters())
        out: Tensor = self.unet(
            x.to(weight.device, weight.dtype), timestep, encoder_hidden_states=text.to(weight)
        ).sample
        return out.to("cpu", torch.float32)


def open_unet(
    folder: Path, spec: EnhancerSpec, dtype: torch.dtype, device: torch.device
) -> tuple[UNetDenoiser, Codec]:
    """Open a folder in diffusers' layout: `unet/`, `vae/`, `text_encoder/`, `tokenizer/`.

    In place of `unet/` the refiner's published file will do.

    Raises UserError for what is missing or damaged.
    """
    is_refiner, schedule = spec.backbone == "refiner", spec.schedule
    assert not isinstance(schedule, FlowSpec)  # `EnhancerSpec` refuses it
    unet = _refiner(folder, dtype) if is_refiner else _stock(folder / "unet", dtype)
    text = ClipTextEncoder.from_files(shared(folder, "text_encoder"), shared(folder, "tokenizer"), dtype)
    codec = KlCodec.from_pretrained(shared(folder, "vae", "codec"), dtype).to(device)
    denoiser = UNetDenoiser(
        unet=unet.eval().requires_grad_(False).to(device),
        text_encoder=text.to(device),
        prediction=schedule.prediction,
        guidance_scale=spec.guidance_scale,
        guidance_rescale=spec.guidance_rescale,
        is_refiner=is_refiner,
        cell=codec.spatial_stride,
    )
    return denoiser, codec


def _stock(folder: Path, dtype: torch.dtype) -> Any:
    from diffusers import UNet3DConditionModel

    with torch.device("meta"):
        unet = UNet3DConditionModel.from_config(read_json(folder / "config.json"))
    state = open_container(folder, allow_pt=False).tensors
    load_strict(unet, {name: value.to(dtype) for name, value in state.items()}, source=folder, assign=True)
    return unet


def _refiner(folder: Path, dtype: torch.dtype) -> Any:
    config = folder / "unet" / "config.json"
    with torch.device("meta"):
        unet = refiner_unet(read_json(config) if config.is_file() else None)
    path = folder / PUBLISHED_FILE if (folder / PUBLISHED_FILE).is_file() else folder / "unet"
    fill_refiner(unet, open_container(path, allow_pt=path.is_file()).tensors, path, dtype)
    return unet
