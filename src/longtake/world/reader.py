"""The reader: reads a clip of toybox back to what it shows, and abstains when it cannot. Our oracle.

It was trained on true renderings only (never on what a generator makes) and names nothing that it is unsure
of: a clip that is not legible has no solids, ground or camera, and an answer below the confidence threshold
is `UNKNOWN`. Whoever scores a generator counts `UNKNOWN` as wrong. Its gate is recorded in
`weights/reader/gate.json`; an attribute that missed the gate is listed under neither `reported` nor in any
reading.

Not covered: two solids of one colour in one clip (toybox never makes them), and worlds other than toybox.
"""

from __future__ import annotations

from dataclasses import asdict
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
from longtake.world.reading import Reading, Scores, Trust, decide, mean_scores

__all__ = ["Reader", "read_config", "write_config"]

WEIGHTS = Path(__file__).parent.parent / "weights" / "reader"
_BATCH = 8


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
        return [mean_scores([view[b] for view in by_view]) for b in range(len(clips))]

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
