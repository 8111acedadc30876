"""mini-clip's recipe: frames of toybox and their captions, told apart within a batch.

Source: A. Radford et al., arXiv 2103.00020, with the symmetric cross-entropy over a batch. Scenes are
rendered once into a set of frames in memory; captions take a new wording every time a frame is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.config import OptimiserConfig, Stage, Strict
from longtake.train.counters import numbers
from longtake.train.interrupt import hold_signals
from longtake.train.loop import Cadence, Run
from longtake.train.recipe import Report
from longtake.world.captions import caption
from longtake.world.clip import MiniClip, MiniClipNet
from longtake.world.corrupt import soften
from longtake.world.render import render
from longtake.world.scene import sample_scene

__all__ = ["ClipRecipe", "ClipTraining", "export", "retrieval", "train"]

FIRST_SEED = 20_000_000
HELD_OUT_SEED = 21_000_000


class ClipRecipe(Strict):
    """Everything that decides a mini-clip."""

    seed: int = 0
    """Seed of every draw but the scenes'."""
    scenes: PositiveInt = 12_000
    """Training scenes, one frame each."""
    held_out: PositiveInt = 512
    """Scenes of held-out combinations that progress is measured on."""
    levels: tuple[float, float, float] = (0.4, 0.4, 0.2)
    """Shares of the toybox levels 1, 2, 3."""
    latest: PositiveFloat = 120.0
    """Latest second at which a frame is taken."""
    stages: tuple[Stage, ...]
    """Stretches of training."""
    optimiser: OptimiserConfig = OptimiserConfig(hidden="adamw")
    """AdamW, warm-up, clipping and averaging."""
    checkpoint_minutes: PositiveFloat = 3.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 200


class Pictures:
    """One frame of each of many scenes, with captions in as many wordings as are asked for."""

    def __init__(self, recipe: ClipRecipe, first: int, count: int, split: str, size: int) -> None:
        rng = numbers(recipe.seed, "clip pictures", first)
        self.split = split
        levels = rng.choice(3, count, p=np.array(recipe.levels) / sum(recipe.levels)) + 1
        self.times = np.rint(rng.uniform(0.0, recipe.latest, count) * 8).astype(int)
        self.scenes = [
            sample_scene(first + i, level=int(level), split=split) for i, level in enumerate(levels)
        ]
        self.frames = np.concatenate(
            [
                render(scene, 1, start=int(start), size=(size, size)).frames
                for scene, start in zip(self.scenes, self.times, strict=True)
            ]
        )

    def draw(self, index: Sequence[int], wordings: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        """Frames uint8 [B, H, W, 3] and captions of the scenes at `index`, in the given wordings."""
        texts = [
            caption(self.scenes[i], seconds=self.times[i] / 8, wording=int(w), split=self.split)
            for i, w in zip(index, wordings, strict=True)
        ]
        return self.frames[list(index)], texts


def contrast(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric cross-entropy of a batch of matching unit vectors [B, D]."""
    logits = scale.exp().clamp(max=100.0) * images @ texts.T
    own = torch.arange(len(logits))
    return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))


@torch.no_grad()
def retrieval(clip: MiniClip, pictures: Pictures, group: int = 16) -> dict[str, float]:
    """Share of held-out frames whose own caption is the most alike among `group`, and the reverse."""
    index = list(range(len(pictures.scenes) // group * group))
    frames, texts = pictures.draw(index, index)
    images = torch.cat([clip.encode_image(frames[i : i + 64]) for i in range(0, len(index), 64)])
    words = torch.cat([clip.encode_text(texts[i : i + 64]) for i in range(0, len(index), 64)])
    alike = torch.stack([images[i : i + group] @ words[i : i + group].T for i in range(0, len(index), group)])
    own = torch.arange(group)
    by_image = float((alike.argmax(2) == own).float().mean())
    return {"text_of_image": by_image, "image_of_text": float((alike.argmax(1) == own).float().mean())}


class ClipTraining:
    """The recipe as the training loop takes it."""

    def __init__(self, recipe: ClipRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.stages: Sequence[Stage] = recipe.stages
        self.clip = MiniClip.new()
        self.networks: nn.Module = self.clip.net.train()
        size = self.clip.config.size
        self.pictures = Pictures(recipe, FIRST_SEED, recipe.scenes, "train", size)
        self.held_out = Pictures(recipe, HELD_OUT_SEED, recipe.held_out, "held_out", size)

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Contrast of a batch of scenes."""
        rng = numbers(self.recipe.seed, "mini-clip", step)
        index = rng.choice(len(self.pictures.scenes), stage.batch_size, replace=False)
        frames, texts = self.pictures.draw(index.tolist(), rng.integers(1 << 40, size=len(index)).tolist())
        frames = np.concatenate([soften(frame[None], rng) for frame in frames])
        net = self.clip.net
        images = net.encode_image(self.clip.pixels(frames))
        return contrast(images, net.encode_text(self.clip.tokens(texts)), net.logit_scale)

    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Retrieval among 16 held-out scenes."""
        net = MiniClipNet(self.clip.config)
        net.load_state_dict(weights)
        return {name: round(value, 4) for name, value in retrieval(MiniClip(net), self.held_out).items()}

    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """An encoder draws nothing."""

    def shards(self) -> tuple[str, ...]:
        """Nothing is stored."""
        return ()

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Nothing is stored."""


def train(recipe: ClipRecipe, folder: Path, report: Report, *, max_minutes: float = float("inf")) -> bool:
    """Train in `folder`, going on from its newest checkpoint; True when the stages are done."""
    run = Run(ClipTraining(recipe), folder, recipe.optimiser, Cadence.of(recipe), report)
    run.resume()
    with hold_signals() as stop:
        return run.train(max_minutes=max_minutes, stop=stop)


def export(run: Path, out: Path) -> None:
    """Write the averaged weights of a run's newest checkpoint in half precision."""
    _, tensors = load_checkpoint(checkpoints(run)[-1])
    weights = {name: value.half() for name, value in select(tensors, "average").items()}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(MiniClip.new().config_values(), indent=2) + "\n")
