"""The reader's networks: a finder that looks at whole frames and a solid reader that looks at glimpses.

The finder says where each colour is, what the ground and the camera do, and whether the clip can be read at
all. Around every solid that it finds, a window that follows the solid is cut out of the native frames, so
that a slide shows moving ground under a still solid, a roll a turning one, and a stay neither, whatever the
camera does.

Shapes: B clips, T frames, K colours, N solids of all clips together, C channels, H W pixels, h w map cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longtake.world import vocabulary

__all__ = ["Finder", "Found", "Read", "ReaderConfig", "ReaderNet", "SolidReader", "locate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderConfig:
    """Sizes of the reader and the answers it can give."""

    size: int = 96
    """Rows and columns of the frames; others are resized to it."""
    fps: int = 8
    """Frames a second of the clips it learned from; others are resampled to it."""
    window: int = 16
    """Frames read at a time."""
    grid: int = 24
    """Rows and columns of the colour maps."""
    glimpse: int = 32
    """Rows and columns of a window around a solid."""
    zoom: float = 1.9
    """Side of that window over the side of a square with the solid's area."""
    camera_lag: int = 4
    """Frames between the two views from which the finder sees movement of the whole picture."""
    drift_reach: tuple[int, int] = (3, 2)
    """Largest shift (across, down) that is tried between those views, in pixels of the halved frame."""
    drift_cells: int = 4
    """Rows and columns of cells in which shifts are tried."""
    drift_width: int = 32
    """Channels that describe the movement of the whole picture."""
    solid_lags: tuple[int, ...] = (1, 3)
    """Frames between the views from which the solid reader sees turning and the ground going by."""
    finder_width: int = 32
    """Channels of the finder on its grid; twice that on the next coarser one."""
    solid_width: int = 24
    """Channels of the solid reader's first layer."""
    feature: int = 96
    """Channels of a solid's features in time."""
    track_width: int = 48
    """Channels that describe a solid's path."""
    answers: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("shape", vocabulary.SHAPES),
        ("motion", vocabulary.MOTIONS),
        ("size", vocabulary.SIZES),
        ("material", vocabulary.MATERIALS),
    )
    """What is asked of every solid."""
    colours: tuple[str, ...] = vocabulary.COLOURS
    """Colours; a solid is named by its own."""
    grounds: tuple[str, ...] = vocabulary.GROUNDS
    """Grounds."""
    cameras: tuple[str, ...] = vocabulary.CAMERAS
    """Camera moves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the finder makes of clips; all scores are logits."""

    maps: Tensor
    """[B, T, K + 1, h, w]: which colour covers a cell; the last is none."""
    present: Tensor
    """[B, K]: whether a solid of that colour is there."""
    ground: Tensor
    """[B, grounds]."""
    camera: Tensor
    """[B, cameras]."""
    legible: Tensor
    """[B]: whether this is a clip that can be read."""
    drift: Tensor
    """[B, T, drift_width]: features of how the whole picture moves, which the solid reader needs too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """What the solid reader makes of N solids; all scores are logits."""

    answers: dict[str, Tensor]
    """[N, choices] for each name in `ReaderConfig.answers`."""
    legible: Tensor
    """[N]: whether the solid is whole and clear."""


def _conv(channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.GroupNorm(8, width), nn.SiLU()
    )


PATH = 7
"""Channels of `path_features`."""


class _InTime(nn.Module):
    """Two convolutions over time, then mean and maximum: [N, T, C] -> [N, 2 width]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        )

    def forward(self, x_NTC: Tensor) -> Tensor:
        x_NCT = self.layers(x_NTC.transpose(1, 2))
        return torch.cat([x_NCT.mean(2), x_NCT.amax(2)], 1)


class _Track(nn.Module):
    """Convolutions over a path without norms, for how far something moves matters: [N, T, C] -> [N, 3 width]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2),
            nn.SiLU(),
        )

    def forward(self, x_NTC: Tensor) -> Tensor:
        x_NCT = self.layers(x_NTC.transpose(1, 2))
        return torch.cat([x_NCT.mean(2), x_NCT.amax(2), x_NCT.amin(2)], 1)


def lagged(frames: Tensor, lag: int) -> Tensor:
    """Each frame's change since `lag` frames before; the first frames are compared with the very first.

    `frames` is [B, T, ...]; so is what comes back.
    """
    earlier = torch.arange(frames.shape[1], device=frames.device).sub(lag).clamp(min=0)
    return frames - frames[:, earlier]


def shift_costs(frames: Tensor, config: ReaderConfig) -> Tensor:
    """How badly each cell fits what was there `camera_lag` frames before, for every shift that is tried.

    `frames` is [B, T, 3, H, W]; returns [B, T, shifts * cells], 0 where a shift is as good as the mean shift.
    """
    across, down = config.drift_reach
    grey = F.avg_pool2d(frames.mean(2), 3, 1, 1)
    lag = torch.arange(grey.shape[1], device=grey.device).sub(config.camera_lag).clamp(min=0)
    earlier = F.pad(grey[:, lag], (across, across, down, down), mode="replicate")
    height, width = grey.shape[2:]
    costs = torch.stack(
        [
            F.adaptive_avg_pool2d(
                (grey - earlier[:, :, y : y + height, x : x + width]).abs(), config.drift_cells
            ).flatten(2)
            for y in range(2 * down + 1)
            for x in range(2 * across + 1)
        ],
        2,
    )
    return (costs / (costs.mean(2, keepdim=True) + 0.01) - 1.0).flatten(2)


class Finder(nn.Module):
    """Whole frames at half size -> colour maps, presence, ground, camera, legibility."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        width, coarse = config.finder_width, 2 * config.finder_width
        self.config = config
        self.stem = _conv(6, width, stride=2)
        self.fine = _conv(width, width)
        self.down = _conv(width, coarse, stride=2)
        self.wide = nn.Sequential(_conv(coarse, coarse), _conv(coarse, coarse))
        self.lateral = nn.Conv2d(coarse, width, 1)
        self.maps = nn.Conv2d(width, len(config.colours) + 1, 1)
        self.present = nn.Sequential(nn.Linear(width + 2, 32), nn.SiLU(), nn.Linear(32, 1))
        self.scene = nn.Linear(3 * coarse, coarse)
        self.legible = nn.Sequential(nn.Linear(2 * coarse, 32), nn.SiLU(), nn.Linear(32, 1))
        self.ground = nn.Linear(coarse, len(config.grounds))
        across, down = config.drift_reach
        shifts = (2 * across + 1) * (2 * down + 1)
        self.drift = nn.Sequential(nn.Linear(shifts * config.drift_cells**2, config.drift_width), nn.SiLU())
        self.course = _InTime(config.drift_width, 48)
        self.camera = nn.Linear(96, len(config.cameras))

    def forward(self, frames_BTCHW: Tensor) -> Found:
        batch, time = frames_BTCHW.shape[:2]
        half = F.avg_pool2d(frames_BTCHW.flatten(0, 1), 2).unflatten(0, (batch, time))
        views = torch.cat([half, 4.0 * lagged(half, self.config.camera_lag)], 2)
        fine = self.fine(self.stem(views.flatten(0, 1)))
        coarse = self.wide(self.down(fine))
        mixed = F.silu(fine + F.interpolate(self.lateral(coarse), scale_factor=2.0))
        maps = self.maps(mixed).unflatten(0, (batch, time))
        moments = torch.cat([coarse.mean((2, 3)), coarse.std((2, 3)), coarse.amax((2, 3))], 1)
        scene = F.silu(self.scene(moments)).unflatten(0, (batch, time))
        drift = self.drift(shift_costs(half, self.config))
        return Found(
            maps=maps,
            present=self._presence(maps, mixed.unflatten(0, (batch, time))),
            ground=self.ground(scene.mean(1)),
            camera=self.camera(self.course(drift)),
            legible=self.legible(torch.cat([scene.mean(1), scene.amax(1)], 1)).squeeze(1),
            drift=drift,
        )

    def _presence(self, maps: Tensor, mixed: Tensor) -> Tensor:
        share = maps.softmax(2)[:, :, :-1].flatten(3)
        area = share.sum(3)
        seen = torch.einsum("btkx,btcx->btkc", share, mixed.flatten(3)) / (area.unsqueeze(3) + 0.5)
        size = torch.stack([area.clamp(min=0.01).log(), share.amax(3)], 3)
        return self.present(torch.cat([seen, size], 3).mean(1)).squeeze(2)


class SolidReader(nn.Module):
    """Glimpses that follow a solid, and its path -> shape, motion, size, material, legibility."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        width = config.solid_width
        channels = 4 + 3 * len(config.solid_lags)
        self.layers = nn.Sequential(
            _conv(channels, width, kernel=5, stride=2),
            _conv(width, 2 * width),
            _conv(2 * width, 64, stride=2),
            _conv(64, 64),
            _conv(64, config.feature, stride=2),
        )
        self.view = nn.Linear(config.feature * 16, config.feature)
        self.course = _InTime(config.feature, config.feature)
        self.track = _Track(PATH + config.drift_width, config.track_width)
        whole = 3 * config.feature + 3 * config.track_width
        self.heads = nn.ModuleDict({name: nn.Linear(whole, len(choices)) for name, choices in config.answers})
        self.legible = nn.Linear(whole, 1)

    def forward(self, views_NTCHW: Tensor, path_NTP: Tensor, drift_NTD: Tensor) -> Read:
        number, time = views_NTCHW.shape[:2]
        seen = F.silu(self.view(self.layers(views_NTCHW.flatten(0, 1)).flatten(1))).unflatten(
            0, (number, time)
        )
        track = self.track(torch.cat([path_NTP, drift_NTD], 2))
        whole = torch.cat([self.course(seen), seen.mean(1), track], 1)
        answers = {name: head(whole) for name, head in self.heads.items()}
        return Read(answers=answers, legible=self.legible(whole).squeeze(1))


def locate(share: Tensor) -> tuple[Tensor, Tensor]:
    """Where a colour is, from the shares of the cells it covers.

    Args:
        share: [N, T, h, w] in 0..1.

    Returns:
        Middle [N, T, 2] as (x, y), and side [N, T] of a square of the same area, both in 0..1 of the frame.
        Frames in which the colour is not seen take over the nearest frames' values, weighted by closeness.
    """
    rows, columns = share.shape[2:]
    ys = (torch.arange(rows, device=share.device) + 0.5) / rows
    xs = (torch.arange(columns, device=share.device) + 0.5) / columns
    weight = share * share
    mass = weight.sum((2, 3))
    sums = torch.stack([(weight * xs).sum((2, 3)), (weight * ys[:, None]).sum((2, 3)), mass], 2)
    times = torch.arange(share.shape[1], device=share.device)
    near = torch.exp(-3.0 * (times[:, None] - times).abs().float())
    filled = torch.einsum("st,ntc->nsc", near, sums)
    area = torch.einsum("st,nt->ns", near, share.sum((2, 3))) / near.sum(1)
    own = mass[..., None] > 0.5
    middle = torch.where(
        own, sums[..., :2] / sums[..., 2:].clamp(min=1e-6), filled[..., :2] / filled[..., 2:].clamp(min=1e-6)
    )
    return middle, (area / (rows * columns)).clamp(min=1e-4).sqrt()


class ReaderNet(nn.Module):
    """Finder and solid reader with the cutting of glimpses between them."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        self.finder = Finder(config)
        self.solids = SolidReader(config)

    def views(self, frames: Tensor, share: Tensor, middle: Tensor, side: Tensor) -> Tensor:
        """Windows that follow the solids.

        Args:
            frames: [N, T, 3, H, W], the clip of each solid.
            share: [N, T, h, w], the solid's colour map.
            middle: [N, T, 2]; side: [N, T]; from `locate`.

        Returns:
            [N, T, channels, glimpse, glimpse].
        """
        number, time = frames.shape[:2]
        reach = (self.config.zoom * side.median(1, keepdim=True).values).clamp(0.12, 1.0)
        steps = (torch.arange(self.config.glimpse, device=frames.device) + 0.5) / self.config.glimpse - 0.5
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), 2)
        points = 2.0 * (middle[:, :, None, None] + reach[:, :, None, None, None] * offsets) - 1.0
        points = points.flatten(0, 1)
        looks = _sample(frames.flatten(0, 1), points).unflatten(0, (number, time))
        cover = _sample(share.flatten(0, 1).unsqueeze(1), points).unflatten(0, (number, time))
        changes = [3.0 * lagged(looks, lag) for lag in self.config.solid_lags]
        return torch.cat([looks, cover, *changes], 2)

    def read(self, frames: Tensor, found: Found, clip: Tensor, colour: Tensor) -> Read:
        """Read the solids of `colour` [N] in the windows `clip` [N] of `frames` [B, T, 3, H, W]."""
        share = found.maps.detach().softmax(2)[clip, :, colour]
        middle, side = locate(share)
        return self.read_at(frames, found, clip, share, middle, side)

    def read_at(
        self, frames: Tensor, found: Found, clip: Tensor, share: Tensor, middle: Tensor, side: Tensor
    ) -> Read:
        """Read solids that were located already; training locates some by the truth."""
        views = self.views(frames[clip], share, middle, side)
        others = found.present.detach().sigmoid().sum(1)[clip]
        return self.solids(views, path_features(middle, side, others), found.drift[clip])


def path_features(middle: Tensor, side: Tensor, solids: Tensor) -> Tensor:
    """Place, movement and size over time [N, T, PATH], scaled to about 1, and how many solids share the
    scene."""
    time = side.shape[1]
    spread = side.median(1, keepdim=True).values
    still = [(spread.log() + 1.5).expand(-1, time), (solids - 2.0).unsqueeze(1).expand(-1, time)]
    parts = [
        (middle - 0.5) * 4.0,
        lagged(middle, 1) * 30.0,
        torch.stack([(side / spread).log() * 4.0, *still], 2),
    ]
    return torch.cat(parts, 2)


def _sample(images: Tensor, points: Tensor) -> Tensor:
    return F.grid_sample(images, points, mode="bilinear", padding_mode="border", align_corners=False)
