"""Colours and ground textures, chosen to stay apart under light and shadow. Linear light in arrays."""

from functools import cache

import numpy as np

from longtake.world.vocabulary import COLOURS, GROUNDS

TILE = 256
"""Texels along a side of a ground tile."""
TILE_METRES = 5.0
"""Metres along a side of a ground tile."""

_BODY = {
    "red": (206, 32, 40),
    "green": (24, 148, 66),
    "blue": (36, 78, 214),
    "yellow": (250, 214, 40),
    "orange": (246, 126, 18),
    "purple": (112, 44, 176),
    "cyan": (52, 206, 222),
    "pink": (248, 132, 186),
    "white": (246, 245, 241),
    "black": (26, 27, 31),
}
_DARK = ("red", "green", "blue", "purple", "black", "orange")
"""Bodies whose stripe is cream; the others' stripe is slate."""
_CREAM = (250, 240, 222)
_SLATE = (62, 66, 84)


def linear(rgb: tuple[float, ...]) -> tuple[float, ...]:
    """Picture values 0..255 as linear light 0..1: squared, as writing a pixel takes the root."""
    return tuple((value / 255.0) ** 2 for value in rgb)


@cache
def palette() -> dict[str, tuple[float, ...]]:
    """For each colour, linear rgb of the body followed by linear rgb of its stripe."""
    return {name: linear(_BODY[name]) + linear(_CREAM if name in _DARK else _SLATE) for name in COLOURS}


def _clouds(seed: int, across: int, down: int) -> np.ndarray:
    """Soft periodic noise [TILE, TILE] of unit spread; (across, down) are the blur's reach in texels."""
    field = np.random.Generator(np.random.Philox(seed)).standard_normal((TILE, TILE))
    for reach, axis in ((across, 1), (down, 0)):
        for _ in range(2 if reach else 0):
            total = np.zeros_like(field)
            for shift in range(-reach, reach + 1):
                total += np.roll(field, shift, axis)
            field = total / (2 * reach + 1)
    return (field - field.mean()) / field.std()


def _mix(low: tuple[int, ...], high: tuple[int, ...], amount: np.ndarray) -> np.ndarray:
    share = np.clip(amount, 0.0, 1.0)[..., None]
    return np.asarray(low) * (1.0 - share) + np.asarray(high) * share


def _wooden() -> np.ndarray:
    """Planks along x, each with its own tone, grain along it and a dark joint."""
    planks = 8
    rows = np.arange(TILE) * planks // TILE
    tone = np.array([0.46, 0.62, 0.38, 0.70, 0.50, 0.32, 0.64, 0.54])[rows][:, None]
    grain = 0.09 * _clouds(1, 24, 1) + 0.05 * _clouds(2, 60, 3)
    picture = _mix((150, 104, 66), (206, 160, 112), tone + grain)
    along = (np.arange(TILE) * planks % TILE) / TILE
    joint = np.clip(1.0 - np.minimum(along, 1.0 - along) / 0.055, 0.0, 1.0)[:, None]
    ends = np.zeros((TILE, TILE))
    for plank in range(planks):
        for column in (plank * 97 % TILE, (plank * 97 + TILE // 2) % TILE):
            ends[rows == plank, column : column + 2] = 1.0
    return picture * (1.0 - 0.42 * np.maximum(joint, ends))[..., None]


def _grey() -> np.ndarray:
    return _mix((134, 138, 146), (156, 160, 167), 0.5 + 0.16 * _clouds(3, 14, 14) + 0.06 * _clouds(4, 1, 1))


def _grass() -> np.ndarray:
    blades = 0.15 * _clouds(5, 1, 4) + 0.16 * _clouds(6, 9, 9)
    return _mix((98, 128, 60), (150, 174, 98), 0.5 + blades)


def _sand() -> np.ndarray:
    bend = 6.0 * _clouds(7, 30, 30)
    ripples = np.sin((np.arange(TILE)[:, None] + bend) * (2 * np.pi * 10 / TILE))
    return _mix((200, 178, 138), (232, 213, 176), 0.5 + 0.22 * ripples + 0.10 * _clouds(8, 2, 2))


def _checkered() -> np.ndarray:
    cells = np.arange(TILE) * 6 // TILE
    odd = ((cells[:, None] + cells[None, :]) % 2).astype(float)
    return _mix((112, 108, 118), (192, 186, 178), odd + 0.03 * _clouds(9, 6, 6))


def _levels(tile: np.ndarray) -> np.ndarray:
    """A tile and its halvings down to one texel, one after the other, [texels, 3]."""
    parts = []
    while True:
        parts.append(tile.reshape(-1, 3))
        side = tile.shape[0]
        if side == 1:
            return np.concatenate(parts)
        tile = tile.reshape(side // 2, 2, side // 2, 2, 3).mean(axis=(1, 3))


@cache
def ground_tile(ground: str) -> np.ndarray:
    """The ground's tile in linear light with all its halvings, [texels, 3] float32."""
    makers = dict(zip(GROUNDS, (_wooden, _grey, _grass, _sand, _checkered), strict=True))
    picture = np.clip(makers[ground](), 0.0, 255.0) / 255.0
    return np.ascontiguousarray(_levels(picture * picture), dtype=np.float32)
