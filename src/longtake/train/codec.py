"""The codec's recipe: fit the closed form to rendered toybox clips, then train the decoder that corrects it.

Encoder and latent space are fixed by the fit, which is saved at once, so that generators can be trained on
latents while the decoder still improves. Decoder training sees clean latents and latents with a little noise
on them, so that it also cleans what a generator makes. Clips are rendered when they are needed: a step is a
pure function of the seed and its number, and a run that was killed goes on from its last checkpoint as if
nothing had happened.

Files in the run's folder: `codec/` (what to use), `checkpoint.safetensors`, `log.jsonl` and `sheet.png`.
Shapes: B clips, T pixel frames, F latent frames, C latent channels, H W pixels.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from safetensors.torch import save_file
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import to_float
from longtake.models.files import read_safetensors
from longtake.models.patch_codec import PatchCodec
from longtake.models.patch_fit import fit_patch_codec
from longtake.train.codec_sheet import measure, save_sheet
from longtake.train.config import Levels, Share, Strict
from longtake.train.counters import normal, numbers

__all__ = ["CodecConfig", "CodecTraining", "loss_of", "rendered_clips", "train"]


class CodecConfig(Strict):
    """The codec recipe."""

    seed: NonNegativeInt = 0
    """Seed of every draw but the scenes'."""
    start: str | None = None
    """Folder of a codec whose latent space is kept; null fits a new one."""
    first_scene: NonNegativeInt = 10_000_000
    """Seed of the first scene; later scenes count up from it."""
    levels: Levels = {1: 0.5, 2: 0.3, 3: 0.2}
    """Shares of the toybox levels."""
    later_share: Share = 0.5
    """Share of clips that begin somewhere within their shot instead of at its first frame."""
    latest_start: PositiveInt = 240
    """Last frame at which such a clip may begin."""
    size: PositiveInt = 96
    """Height and width of rendered clips in pixels."""
    fit_clips: PositiveInt = 1500
    """Clips the closed form is fitted to."""
    fit_frames: PositiveInt = 25
    """Pixel frames of each of them."""
    steps: PositiveInt = 2000
    """Training steps of the decoder."""
    batch: PositiveInt = 6
    """Clips a step."""
    frames: PositiveInt = 13
    """Pixel frames of a training clip."""
    crop: PositiveInt = 64
    """Height and width of the window cut from each training clip, in pixels."""
    noisy_share: Share = 0.5
    """Share of training clips with noise on their latents."""
    noise: NonNegativeFloat = 0.15
    """Largest standard deviation of that noise, in latent units."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate; it falls to zero along a half cosine."""
    warmup: PositiveInt = 50
    """Steps over which the learning rate rises."""
    average: float = Field(0.998, ge=0, lt=1)
    """Decay of the running average of the decoder's weights, which is what is saved."""
    weight_decay: NonNegativeFloat = 1e-4
    """AdamW's weight decay."""
    square: NonNegativeFloat = 2.0
    """Weight of the squared error beside the absolute error."""
    edges: NonNegativeFloat = 0.5
    """Weight of the absolute error of differences between neighbouring pixels."""
    motion: NonNegativeFloat = 0.5
    """Weight of the absolute error of differences between neighbouring frames."""
    checkpoint_every: PositiveInt = 100
    """Steps between checkpoints."""
    check_clips: PositiveInt = 24
    """Clips, never trained on, that reconstruction is measured on."""

    @model_validator(mode="after")
    def _crop_fits(self) -> CodecConfig:
        if self.crop > self.size:
            raise ValueError(f"crop {self.crop} does not fit into size {self.size}; use at most {self.size}")
        return self


def rendered_clips(config: CodecConfig, purpose: str, index: int, count: int, frames: int) -> Tensor:
    """`uint8 [count, frames, H, W, 3]`: scenes drawn by their number, the same for equal arguments."""
    from longtake.world.render import render
    from longtake.world.scene import sample_scene

    rng = numbers(config.seed, purpose, index)
    names = sorted(config.levels)
    shares = np.array([config.levels[name] for name in names])
    scenes = config.first_scene + _PURPOSES[purpose] * _STRIDE + index * count
    clips = []
    for offset in range(count):
        level = int(rng.choice(names, p=shares / shares.sum()))
        start = int(rng.integers(1, config.latest_start + 1)) if rng.random() < config.later_share else 0
        scene = sample_scene(scenes + offset, level=level)
        clips.append(render(scene, frames, start=start, size=(config.size, config.size)).frames)
    return torch.from_numpy(np.stack(clips))


_PURPOSES = {"fit": 0, "train": 1, "check": 2}
_STRIDE = 100_000_000
"""Scene seeds set apart for each purpose."""


_NOTHING = torch.empty(0)


def fit(config: CodecConfig) -> PatchCodec:
    """The closed form of rendered clips."""

    def batches(size: int = 10) -> Iterator[Tensor]:
        for index in range(math.ceil(config.fit_clips / size)):
            yield rendered_clips(config, "fit", index, size, config.fit_frames)

    return fit_patch_codec(batches())


def loss_of(pixels: Tensor, target: Tensor, config: CodecConfig) -> Tensor:
    """Absolute and squared error, and the absolute error of differences in space and in time. `[B, 3, T, H,
    W]`."""
    error = pixels - target
    loss = error.abs().mean() + config.square * error.square().mean()
    loss = loss + config.edges * (error.diff(dim=3).abs().mean() + error.diff(dim=4).abs().mean())
    return loss + config.motion * error.diff(dim=2).abs().mean()


class CodecTraining:
    """A decoder in training: weights, their running average, optimiser, step."""

    def __init__(self, codec: PatchCodec, config: CodecConfig) -> None:
        self.codec, self.config = codec, config
        self.step = 0
        self.weights = dict(codec.decoder.named_parameters())
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.optimiser = torch.optim.AdamW(self.weights.values(), lr=0.0, weight_decay=config.weight_decay)

    def advance(self) -> float:
        """One step; returns the loss."""
        target, latents = self.batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss = loss_of(self.codec.reconstruct(latents), target, self.config)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(self.config.average, self.step / (self.step + 10))
        for name, weight in self.weights.items():
            self.average[name].lerp_(weight.detach(), 1 - decay)
        return float(loss.detach())

    def averaged(self) -> PatchCodec:
        """The codec with the running average of the decoder's weights."""
        codec = PatchCodec(self.codec.config)
        codec.load_state_dict(self.codec.state_dict())
        codec.decoder.load_state_dict(self.average)
        return codec.eval()

    def save(self, path: Path) -> None:
        """Write everything a resumed run needs, replacing the file in one move."""
        tensors = {f"average.{name}": tensor for name, tensor in self.average.items()}
        for name, weight in self.weights.items():
            tensors[f"weight.{name}"] = weight.detach()
            for key, value in self.optimiser.state[weight].items():
                tensors[f"optimiser.{key}.{name}"] = value
        tensors["step"] = torch.tensor(self.step)
        partial = path.with_suffix(".partial")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        os.replace(partial, path)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        tensors = read_safetensors(path)
        if any(tensors.get(f"weight.{name}", _NOTHING).shape != w.shape for name, w in self.weights.items()):
            raise UserError(f"{path} is the checkpoint of another codec; give another folder or start afresh")
        self.step = int(tensors["step"])
        for name, weight in self.weights.items():
            weight.copy_(tensors[f"weight.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
            self.optimiser.state[weight] = {
                key: tensors[f"optimiser.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }

    def batch(self) -> tuple[Tensor, Tensor]:
        """The next step's target `[B, 3, T, H, W]` and its latents `[B, C, F, h, w]`, some with noise."""
        config, step = self.config, self.step
        rng = numbers(config.seed, "codec batch", step)
        frames = rendered_clips(config, "train", step, config.batch, config.frames)
        grid = self.codec.spatial_stride
        top, left = (grid * int(rng.integers((config.size - config.crop) // grid + 1)) for _ in range(2))
        frames = frames[:, :, top : top + config.crop, left : left + config.crop]
        latents = self.codec.encode(frames, self.codec.start())
        levels = torch.from_numpy(rng.uniform(0, config.noise, config.batch)).float()
        levels *= torch.from_numpy(rng.random(config.batch) < config.noisy_share)
        noise = normal(tuple(latents.shape), config.seed, "codec noise", step, device=latents.device)
        return to_float(frames), latents + levels.view(-1, 1, 1, 1, 1) * noise

    def _learning_rate(self) -> float:
        config = self.config
        rise = min(1.0, (self.step + 1) / config.warmup)
        return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * self.step / config.steps))


def train(config: CodecConfig, out: Path, resume: bool) -> None:
    """Run the recipe into the folder `out`. With `resume` a run found there goes on; without, `out` must hold
    none."""
    codec_folder, checkpoint = out / "codec", out / "checkpoint.safetensors"
    if codec_folder.exists() and not resume:
        raise UserError(f"{out} holds a codec run already; resume it or give another folder")
    out.mkdir(parents=True, exist_ok=True)
    if codec_folder.exists():
        codec = PatchCodec.from_pretrained(codec_folder)
    else:
        codec = fit(config) if config.start is None else PatchCodec.from_pretrained(config.start)
        codec.save_pretrained(codec_folder)
    training = CodecTraining(codec, config)
    if checkpoint.exists():
        training.load(checkpoint)
    clips = rendered_clips(config, "check", 0, config.check_clips, config.fit_frames)
    _record(out, step=training.step, **measure(training.averaged(), clips))
    losses = []
    while training.step < config.steps:
        losses.append(training.advance())
        if training.step % config.checkpoint_every == 0 or training.step == config.steps:
            training.save(checkpoint)
            best = training.averaged()
            best.save_pretrained(codec_folder)
            _record(out, step=training.step, loss=sum(losses) / len(losses), **measure(best, clips))
            save_sheet(best, clips, out / "sheet.png")
            losses.clear()


def _record(out: Path, **values: float) -> None:
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({name: round(value, 5) for name, value in values.items()}) + "\n")
