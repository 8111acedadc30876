"""The reader's recipe: true windows of toybox, faulty ones to abstain from; resumable, gated by `bench
reader`.

The set is rendered once (`make_set`), the training loop is the one that every recipe uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt, model_validator
from safetensors.torch import save_file
from torch import Tensor, nn

from longtake.models.codec import to_uint8
from longtake.models.patch_codec import PatchCodec
from longtake.train.checkpoint import checkpoints, load_checkpoint, select
from longtake.train.config import OptimiserConfig, Share, Stage, Strict, Weights
from longtake.train.counters import numbers
from longtake.train.interrupt import hold_signals
from longtake.train.loop import Cadence, Run
from longtake.train.reader_batch import FAULTS, ReaderBatch, draw_batch
from longtake.train.reader_set import RoundTrip, ShardPlan, Shards, make_shard
from longtake.train.recipe import Report
from longtake.train.recipe_file import check_choices
from longtake.world.finder import Found
from longtake.world.glimpse import locate
from longtake.world.labels import OPEN
from longtake.world.reader import Reader, write_config
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import Trust
from longtake.world.windows import WindowDraw

__all__ = ["ReaderRecipe", "ReaderTraining", "export", "make_set", "train"]


class ReaderRecipe(Strict):
    """Everything that decides a reader."""

    seed: int = 0
    """Seed of every draw but the scenes'."""
    shards: PositiveInt = 24
    """Shards of the set."""
    shard_clips: PositiveInt = 256
    """Windows of a shard."""
    shard_plates: PositiveInt = 48
    """Windows of a shard that are also rendered without their solids."""
    shard_coded: PositiveInt = 64
    """Windows of a shard that are also passed through the codec, when one is given."""
    levels: tuple[float, float, float] = (0.4, 0.4, 0.2)
    """Shares of the toybox levels 1, 2, 3."""
    faulty_share: Share = 0.3
    """Share of windows that must not be read."""
    faults: Weights = dict.fromkeys(FAULTS, 1.0)
    """Weights of the kinds of fault."""
    coded_share: Share = 0.25
    """Share of the readable windows that have been through the codec, when the set has any."""
    finder_steps: PositiveInt = 600
    """First steps, in which the finder is trained every time and solids are located by the truth."""
    finder_every: PositiveInt = 3
    """From then on it is trained in every third step, in which it also locates the solids."""
    stages: tuple[Stage, ...]
    """Stretches of training."""
    optimiser: OptimiserConfig = OptimiserConfig(hidden="adamw")
    """AdamW, warm-up, clipping and averaging."""
    checkpoint_minutes: PositiveFloat = 3.0
    log_steps: PositiveInt = 20
    validate_steps: PositiveInt = 250
    validation_clips: PositiveInt = 64
    """Windows of held-out combinations that progress is measured on."""

    @model_validator(mode="after")
    def _known_faults(self) -> ReaderRecipe:
        check_choices("faults", self.faults, FAULTS)
        return self


WEIGHTS = {"shape": 1.0, "motion": 1.0}
"""Weights of the losses of what matters most; the others have 0.3."""
VALIDATION = 900_000
"""Number of the shard that progress is measured on."""


def make_set(recipe: ReaderRecipe, folder: Path, codec: PatchCodec | None = None) -> None:
    """Render the shards that `folder` lacks, the validation shard first."""
    config, through = ReaderConfig(), None if codec is None else codec_round_trip(codec)
    if not list((folder / "validation").glob("labels-*")):
        count = recipe.validation_clips
        held_out = WindowDraw(levels=recipe.levels, split="held_out")
        plan = ShardPlan(draw=held_out, clips=count, plates=count // 4)
        make_shard(folder / "validation", VALIDATION, plan, config)
    plan = ShardPlan(
        draw=WindowDraw(levels=recipe.levels),
        clips=recipe.shard_clips,
        plates=recipe.shard_plates,
        coded=recipe.shard_coded,
    )
    for index in range(recipe.shards):
        if not (folder / f"labels-{index:04d}.npz").exists():
            make_shard(folder, index, plan, config, through)


def codec_round_trip(codec: PatchCodec) -> RoundTrip:
    """What a codec gives back of frames; the stream starts a frame early so that any number fits."""

    @torch.no_grad()
    def through(frames: np.ndarray) -> np.ndarray:
        stride = codec.temporal_stride
        padded = np.concatenate([frames[:1], frames, frames[-1:].repeat(-len(frames) % stride, 0)])
        pixels = torch.from_numpy(np.ascontiguousarray(padded))[None]
        back = codec.decode(codec.encode(pixels, codec.start()), codec.start())
        back = back if back.dtype == torch.uint8 else to_uint8(back)
        return back[0].numpy()[1 : len(frames) + 1]

    return through


def _asked(logits: Tensor, answers: Tensor) -> Tensor:
    """Cross entropy over the answers that are asked for; 0 when none is."""
    asked = answers != OPEN
    return F.cross_entropy(logits[asked], answers[asked]) if bool(asked.any()) else logits.sum() * 0.0


def _asked_binary(logits: Tensor, answers: Tensor) -> Tensor:
    asked = answers != OPEN
    if not bool(asked.any()):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits[asked], answers[asked].float())


def finder_losses(found: Found, batch: ReaderBatch) -> dict[str, Tensor]:
    """Losses of the finder by name."""
    maps = -(batch.shares * found.maps.log_softmax(2)).sum(2).mean((1, 2, 3))
    return {
        "maps": 4.0 * maps[batch.mapped].sum() / max(1, int(batch.mapped.sum())),
        "present": 2.0 * _asked_binary(found.present, batch.present),
        "ground": 0.5 * _asked(found.ground, batch.ground),
        "legible": _asked_binary(found.legible, batch.legible),
    }


def solid_losses(
    net: ReaderNet, batch: ReaderBatch, share: Tensor, drift: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Losses of the solid reader by name; solids are located by `share` [N, T, h, w], and shaken a little."""
    middle, side = locate(share)
    shake = rng.normal(0.0, 0.003, middle.shape) + rng.normal(0.0, 0.012, (len(middle), 1, 2))
    middle = middle + torch.from_numpy(shake).float()
    side = side * torch.from_numpy(rng.uniform(0.85, 1.15, (len(side), 1))).float()
    others = (batch.present == 1).sum(1).float()[batch.clip]
    read = net.read_at(batch.frames[batch.clip], share, middle, side, others, drift[batch.clip])
    values = {"whole": _asked_binary(read.legible, batch.whole)}
    for name, logits in read.answers.items():
        values[name] = WEIGHTS.get(name, 0.3) * _asked(logits, batch.answers[name])
    for name, votes in read.looks.items():
        single = batch.answers[name].repeat_interleave(votes.shape[1])
        values[f"{name} of a frame"] = 0.5 * WEIGHTS.get(name, 0.3) * _asked(votes.flatten(0, 1), single)
    return values


class ReaderTraining:
    """The recipe as the training loop takes it."""

    def __init__(self, recipe: ReaderRecipe, data: Path) -> None:
        self.recipe = recipe
        self.stages: Sequence[Stage] = recipe.stages
        self.config = ReaderConfig()
        torch.manual_seed(recipe.seed)
        self.net = ReaderNet(self.config)
        self.networks: nn.Module = self.net
        self.data, self.set, self.held_out = data, Shards(data), Shards(data / "validation")

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Sum of all losses of a step's batch."""
        recipe = self.recipe
        rng = numbers(recipe.seed, "reader", step)
        batch = draw_batch(
            self.set,
            self.config,
            rng,
            size=stage.batch_size,
            faulty_share=recipe.faulty_share,
            faults=recipe.faults,
            coded_share=recipe.coded_share,
        )
        drift, camera = self.net.drift(batch.frames)
        values = [0.5 * _asked(camera, batch.camera)]
        share = batch.shares[batch.clip, :, batch.colour]
        if step < recipe.finder_steps or step % recipe.finder_every == 0:
            found = self.net.finder(batch.frames)
            values += finder_losses(found, batch).values()
            if step >= recipe.finder_steps:
                share = found.maps.detach().softmax(2)[batch.clip, :, batch.colour]
        if len(batch.clip):
            values += solid_losses(self.net, batch, share, drift, rng).values()
        return torch.stack(values).sum()

    @torch.no_grad()
    def validate(self, weights: Mapping[str, Tensor], frames: int) -> dict[str, float]:
        """Share of right answers on held-out windows, with faulty ones for the legibility figures."""
        net = ReaderNet(self.config).eval()
        net.load_state_dict(weights)
        right: dict[str, list[Tensor]] = {}
        for part in range(self.recipe.validation_clips // 16):
            rng = numbers(self.recipe.seed, "reader validation", part)
            batch = draw_batch(self.held_out, self.config, rng, size=16, faulty_share=0.3)
            for name, hits in _hits(net, batch).items():
                right.setdefault(name, []).append(hits)
        return {name: round(float(torch.cat(hits).float().mean()), 4) for name, hits in right.items()}

    def sample(self, weights: Mapping[str, Tensor], frames: int, path: Path) -> None:
        """Readers draw nothing."""

    def shards(self) -> tuple[str, ...]:
        """Shards in use."""
        return tuple(self.set.names)

    def use_shards(self, names: Sequence[str] | None) -> None:
        """Take in the shards that are finished by now."""
        self.set = Shards(self.data)


def _hits(net: ReaderNet, batch: ReaderBatch) -> dict[str, Tensor]:
    """Right or wrong for every answer that is asked for, by name; solids as the finder locates them."""
    found = net.finder(batch.frames)
    drift, camera = net.drift(batch.frames)
    guesses = {
        "present": (found.present > 0, batch.present),
        "legible": (found.legible > 0, batch.legible),
        "ground": (found.ground.argmax(1), batch.ground),
        "camera": (camera.argmax(1), batch.camera),
    }
    if len(batch.clip):
        read = net.read(batch.frames, found, drift, batch.clip, batch.colour)
        guesses["whole"] = (read.legible > 0, batch.whole)
        guesses |= {name: (logits.argmax(1), batch.answers[name]) for name, logits in read.answers.items()}
    return {
        name: (guess == asked)[asked != OPEN]
        if guess.dtype != torch.bool
        else (guess == (asked == 1))[asked != OPEN]
        for name, (guess, asked) in guesses.items()
    }


def train(
    recipe: ReaderRecipe,
    data: Path,
    folder: Path,
    report: Report,
    *,
    restart_from: Path | None = None,
    max_minutes: float = float("inf"),
) -> bool:
    """Train in `folder`, going on from its newest checkpoint; True when the stages are done.

    restart_from: folder of an exported reader whose weights a new run begins with.
    """
    run = Run(ReaderTraining(recipe, data), folder, recipe.optimiser, Cadence.of(recipe), report)
    if not run.resume() and restart_from:
        run.begin_with(Reader.load(restart_from).net.state_dict(), restart_from)
    with hold_signals() as stop:
        return run.train(max_minutes=max_minutes, stop=stop)


def export(run: Path, out: Path, trust: Trust | None = None) -> None:
    """Write the averaged weights of a run's newest checkpoint as a reader's folder, in half precision."""
    _, tensors = load_checkpoint(checkpoints(run)[-1])
    weights = {name: value.half() for name, value in select(tensors, "average").items()}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors")
    write_config(out / "config.json", ReaderConfig(), trust or Trust())
