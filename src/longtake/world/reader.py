"""The reader: reads a clip of toybox back to what it shows, and abstains when it cannot. Our oracle.

It was trained on true renderings only (never on what a generator makes) and names nothing that it is unsure
of: a clip that is not legible has no solids, ground or camera, and an answer below the confidence threshold
is `UNKNOWN`. Whoever scores a generator counts `UNKNOWN` as wrong. Its gate is recorded in
`weights/reader/gate.json`; an attribute that missed the gate is listed under neither `reported` nor in any
reading.

Not covered: two solids of one colour in one clip (toybox never makes them), and worlds other than toybox.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from longtake.errors import UserError
from longtake.models.files import load_strict, read_json, read_safetensors
from longtake.world.glimpse import locate
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet

__all__ = ["UNKNOWN", "ReadSolid", "Reader", "Reading", "Scores", "Trust", "decide"]

UNKNOWN = "unknown"
"""The answer of a reader that abstains."""

WEIGHTS = Path(__file__).parent.parent / "weights" / "reader"
_BATCH = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSolid:
    """A solid as it was read; every field but the colour may be `UNKNOWN`."""

    colour: str
    """One of vocabulary.COLOURS; names the solid, for colours are distinct within a scene."""
    shape: str = UNKNOWN
    """One of vocabulary.SHAPES."""
    motion: str = UNKNOWN
    """One of vocabulary.MOTIONS."""
    size: str = UNKNOWN
    """One of vocabulary.SIZES."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the reader makes of a clip."""

    objects: tuple[ReadSolid, ...] = ()
    """The solids, in the order of vocabulary.COLOURS; none when the clip is not legible."""
    ground: str = UNKNOWN
    """One of vocabulary.GROUNDS."""
    camera: str = UNKNOWN
    """One of vocabulary.CAMERAS."""
    count: int | None = None
    """How many solids; None is unknown."""
    legible: bool = False
    """Whether the clip could be read at all."""

    def solid(self, colour: str) -> ReadSolid | None:
        """The solid of a colour, or None."""
        return next((each for each in self.objects if each.colour == colour), None)

    def to_dict(self) -> dict[str, Any]:
        """The reading as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """When the reader believes itself. The defaults were chosen on windows of their own, not on the gate's: higher
    ones abstain more on faulty clips, and begin to lose true ones."""

    legible: float = 0.7
    """Least probability that a clip is legible."""
    solid: float = 0.95
    """Least probability that a solid is whole and clear; below it all its answers are unknown."""
    present: float = 0.5
    """Least probability that a solid of a colour is there."""
    answer: float = 0.6
    """Least probability of the best choice of any attribute."""
    reported: tuple[str, ...] = ("shape", "motion", "size", "ground", "camera", "count")
    """Attributes that passed the gate; the others are always unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Probabilities behind a reading. K colours."""

    legible: float
    """That the clip can be read."""
    present: np.ndarray
    """[K]: that a solid of the colour is there."""
    whole: np.ndarray
    """[K]: that this solid is whole and clear."""
    answers: dict[str, np.ndarray] = field(default_factory=dict)
    """For each attribute of solids, [K, choices]; zeros where no solid was found."""
    ground: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[grounds]."""
    camera: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[cameras]."""


def _choose(probabilities: np.ndarray, choices: Sequence[str], trust: Trust, name: str) -> str:
    best = int(probabilities.argmax())
    sure = name in trust.reported and probabilities[best] >= trust.answer
    return choices[best] if sure else UNKNOWN


def decide(scores: Scores, config: ReaderConfig, trust: Trust) -> Reading:
    """From probabilities to words; of a solid that is not whole and clear only the colour is named."""
    there = [k for k in range(len(config.colours)) if scores.present[k] >= trust.present]
    clear = [k for k in there if scores.whole[k] >= trust.solid]
    if scores.legible < trust.legible:
        return Reading()
    solids = []
    for k in there:
        answers = {
            name: _choose(scores.answers[name][k], choices, trust, name) if k in clear else UNKNOWN
            for name, choices in config.answers
        }
        solids.append(ReadSolid(colour=config.colours[k], **answers))
    return Reading(
        objects=tuple(solids),
        ground=_choose(scores.ground, config.grounds, trust, "ground"),
        camera=_choose(scores.camera, config.cameras, trust, "camera"),
        count=len(solids) if "count" in trust.reported else None,
        legible=True,
    )


class Reader:
    """The trained reader. Holds no state between clips."""

    def __init__(self, net: ReaderNet, trust: Trust | None = None) -> None:
        self.net = net.eval()
        self.config = net.config
        self.trust = trust or Trust()

    @classmethod
    def load(cls, folder: str | Path = WEIGHTS) -> Reader:
        """Load a folder of `config.json` and `model.safetensors`; the default is the reader in the package.

        Raises:
            UserError: a file is missing, damaged, or does not fit.
        """
        folder = Path(folder)
        config, trust = read_config(folder / "config.json")
        net = ReaderNet(config)
        weights = {
            key: value.float() for key, value in read_safetensors(folder / "model.safetensors").items()
        }
        load_strict(net, weights, source=folder / "model.safetensors")
        return cls(net, trust)

    def read(self, frames: np.ndarray, fps: float | None = None) -> Reading:
        """Read one clip, uint8 [T, H, W, 3]; `fps` when it is not the reader's own."""
        return self.read_batch(frames[None], fps)[0]

    def read_batch(self, clips: np.ndarray, fps: float | None = None) -> list[Reading]:
        """Read clips of one length, uint8 [B, T, H, W, 3]."""
        return [decide(scores, self.config, self.trust) for scores in self.score_batch(clips, fps)]

    def score_batch(self, clips: np.ndarray, fps: float | None = None) -> list[Scores]:
        """Probabilities for clips uint8 [B, T, H, W, 3]: the mean over windows that overlap by half, each read as it
        is and mirrored, which changes none of the answers."""
        frames = self._prepare(clips, fps)
        windows = [frames[:, start : start + self.config.window] for start in self._starts(frames.shape[1])]
        views = [view for window in windows for view in (window, window.flip(-1))]
        by_view = [[score for part in view.split(_BATCH) for score in self._score(part)] for view in views]
        return [_mean([view[b] for view in by_view]) for b in range(len(clips))]

    @torch.no_grad()
    def features(self, clips: np.ndarray, fps: float | None = None) -> np.ndarray:
        """What clips uint8 [B, T, H, W, 3] look like to the reader, float64 [B, D]: the mean over windows of what its
        networks make of whole pictures and of their movement, before any answer is drawn from it."""
        frames = self._prepare(clips, fps)
        windows = [frames[:, start : start + self.config.window] for start in self._starts(frames.shape[1])]
        each = [torch.cat([self._features(part) for part in window.split(_BATCH)]) for window in windows]
        return torch.stack(each).mean(0).double().numpy()

    def _features(self, frames: Tensor) -> Tensor:
        scene = self.net.finder.scene_features(frames)
        drift, _ = self.net.drift(frames)
        return torch.cat([scene.mean(1), scene.std(1), self.net.drift.course(drift)], 1)

    @torch.no_grad()
    def regions(self, frames: np.ndarray, colour: str) -> np.ndarray:
        """Share of each map cell that a colour covers, [T, grid, grid], in frames uint8 [T, H, W, 3]."""
        shares = [
            self.net.finder(part[None]).maps.softmax(2)[0, :, self.config.colours.index(colour)]
            for part in self._prepare(frames[None], None)[0].split(self.config.window)
        ]
        return torch.cat(shares).numpy()

    def track(self, frames: np.ndarray, colour: str) -> np.ndarray:
        """Middle (x, y) of a colour in every frame, in 0..1 of the frame, float32 [T, 2]."""
        return locate(torch.from_numpy(self.regions(frames, colour))[None])[0][0].numpy()

    def _starts(self, length: int) -> list[int]:
        window = self.config.window
        starts = list(range(0, length - window + 1, window // 2))
        return starts if starts[-1] + window == length else [*starts, length - window]

    def _prepare(self, clips: np.ndarray, fps: float | None) -> Tensor:
        """Floats [B, T, 3, size, size] around 0 at the reader's rate, at least one window long."""
        if clips.ndim != 5 or clips.shape[-1] != 3 or clips.dtype != np.uint8 or clips.shape[1] == 0:
            raise UserError(
                f"clips of {clips.dtype} {clips.shape} given; the reader takes uint8 [B, T, H, W, 3]"
            )
        length = clips.shape[1]
        if fps is not None and fps != self.config.fps:
            times = np.arange(max(1, round(length * self.config.fps / fps))) * fps / self.config.fps
            clips = clips[:, np.minimum(np.rint(times).astype(int), length - 1)]
        short = self.config.window - clips.shape[1]
        if short > 0:
            clips = np.concatenate([clips, np.repeat(clips[:, -1:], short, 1)], 1)
        frames = torch.from_numpy(np.ascontiguousarray(clips)).permute(0, 1, 4, 2, 3).float()
        return _resized(frames, self.config.size) / 127.5 - 1.0

    @torch.no_grad()
    def _score(self, frames: Tensor) -> list[Scores]:
        found = self.net.finder(frames)
        drift, camera = self.net.drift(frames)
        present = found.present.sigmoid()
        whole = torch.zeros_like(present)
        answers = {name: torch.zeros(*present.shape, len(choices)) for name, choices in self.config.answers}
        clip, colour = torch.nonzero(present >= self.trust.present, as_tuple=True)
        if len(clip):
            read = self.net.read(frames, found, drift, clip, colour)
            whole[clip, colour] = read.legible.sigmoid()
            for name, logits in read.answers.items():
                answers[name][clip, colour] = logits.softmax(1)
        return [
            Scores(
                legible=float(found.legible[b].sigmoid()),
                present=present[b].numpy(),
                whole=whole[b].numpy(),
                answers={name: each[b].numpy() for name, each in answers.items()},
                ground=found.ground[b].softmax(0).numpy(),
                camera=camera[b].softmax(0).numpy(),
            )
            for b in range(len(frames))
        ]


def _resized(frames: Tensor, size: int) -> Tensor:
    if frames.shape[-2:] == (size, size):
        return frames
    flat = F.interpolate(
        frames.flatten(0, 1), (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return flat.unflatten(0, frames.shape[:2])


def _mean(parts: Sequence[Scores]) -> Scores:
    """Mean over readings of a clip; a solid's answers over the readings in which it was found."""
    found = np.stack([part.answers[next(iter(part.answers))].sum(1) > 0 for part in parts])
    number = np.maximum(found.sum(0), 1)
    return Scores(
        legible=float(np.mean([part.legible for part in parts])),
        present=np.mean([part.present for part in parts], 0),
        whole=np.sum([part.whole for part in parts], 0) / number,
        answers={
            name: np.sum([part.answers[name] for part in parts], 0) / number[:, None]
            for name in parts[0].answers
        },
        ground=np.mean([part.ground for part in parts], 0),
        camera=np.mean([part.camera for part in parts], 0),
    )


def read_config(path: Path) -> tuple[ReaderConfig, Trust]:
    """The reader's sizes and thresholds from its `config.json`."""
    values = read_json(path)
    trust = values.pop("trust", {})
    try:
        return ReaderConfig(**_tuples(values)), Trust(**_tuples(trust))
    except TypeError as reason:
        raise UserError(f"{path} does not fit this version ({reason}); restore the file") from None


def write_config(path: Path, config: ReaderConfig, trust: Trust) -> None:
    """Write what `read_config` reads."""
    import json

    path.write_text(json.dumps(asdict(config) | {"trust": asdict(trust)}, indent=2) + "\n")


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth below a dict."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
