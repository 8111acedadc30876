"""The closed-form start of the patch codec: second moments of patches, then eigenvectors.

Moments are summed over clips in float64, so any number of clips fits in the memory of one batch. The result
is the same for the same clips: exact eigenvectors, a fixed sign, and values rounded to float16, in which they
are stored, so that a codec gives the same latents before and after it has been saved.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.models.codec import to_float
from longtake.models.patch_codec import PatchBasis, PatchCodec, PatchCodecConfig

__all__ = ["fit_patch_codec"]

COLOURS = 3
MOVING = 0.003
"""Mean variance over time, of values in [-1, 1], above which a patch counts as moving."""


class _Sums:
    """Running sums over patches: how many, their total `[P]`, their products `[P, P]`."""

    def __init__(self, values: int) -> None:
        self.count = 0.0
        self.total = torch.zeros(values, dtype=torch.float64)
        self.products = torch.zeros(values, values, dtype=torch.float64)

    def add(self, patches: Tensor, weight: float = 1.0) -> None:
        """Add patches `[N, P]`, each counted `weight` times."""
        self.count += weight * len(patches)
        self.total += weight * patches.sum(0)
        self.products.addmm_(patches.T, patches, alpha=weight)

    def merged(self, other: _Sums, weight: float) -> _Sums:
        """These sums and `weight` times the other's."""
        both = _Sums(len(self.total))
        both.count = self.count + weight * other.count
        both.total = self.total + weight * other.total
        both.products = self.products + weight * other.products
        return both

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        mean = self.total / self.count
        return mean, self.products / self.count - torch.outer(mean, mean)


class _Moments:
    """Moments of one kind of patch, still and moving ones apart."""

    def __init__(self, basis: PatchBasis) -> None:
        self.basis = basis
        values = basis.mean.numel()
        self.still, self.moving = _Sums(values), _Sums(values)

    @property
    def count(self) -> float:
        """Patches seen."""
        return self.still.count + self.moving.count

    def add(self, pixels: Tensor) -> None:
        """`pixels` is `[B, 3, n * frames, H, W]`."""
        patches = self.basis.patches(pixels).flatten(0, 3).double()
        over_time = patches.unflatten(1, (COLOURS, self.basis.frames, -1))
        is_moving = over_time.var(2, correction=0).mean((1, 2)) > MOVING
        self.still.add(patches[~is_moving])
        self.moving.add(patches[is_moving])

    def components(self, channels: int, motion_weight: float) -> tuple[Tensor, Tensor, Tensor]:
        """Mean `[P]`, leading components `[C, P]` and their spreads `[C]`.

        The components are those of patches weighted for motion; mean and spreads are of patches as they come.
        """
        mean, covariance = self.still.merged(self.moving, 1.0).mean_and_covariance()
        _, weighted = self.still.merged(self.moving, motion_weight).mean_and_covariance()
        leading = torch.linalg.eigh(weighted).eigenvectors[:, -channels:].flip(1).T
        spreads = ((leading @ covariance) * leading).sum(1).clamp_min(1e-12).sqrt()
        return mean, leading * _signs(leading), spreads


def _signs(vectors: Tensor) -> Tensor:
    """Signs `[C, 1]` that make the first of the (nearly) largest entries of each vector positive."""
    sizes = vectors.abs()
    first = (sizes >= 0.99 * sizes.amax(1, keepdim=True)).to(torch.uint8).argmax(1, keepdim=True)
    return vectors.gather(1, first).sign()


def _like_later(first: Tensor, later: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Order `[C]` and signs `[C, 1]` that give a first frame's channels the meaning they have later.

    A component of one frame is compared with the time average of a component of a group; the channels of the
    later basis choose in turn, so the strongest are matched best.
    """
    stills = later.reshape(len(later), COLOURS, frames, -1).sum(2).flatten(1)
    likeness = stills @ first.T
    free = torch.ones(len(first), dtype=torch.bool)
    order = torch.zeros(len(first), dtype=torch.int64)
    for channel, row in enumerate(likeness.abs()):
        order[channel] = row.masked_fill(~free, -1.0).argmax()
        free[order[channel]] = False
    signs = likeness.gather(1, order[:, None]).sign()
    return order, torch.where(signs == 0, torch.ones_like(signs), signs)


def _fill(basis: PatchBasis, mean: Tensor, vectors: Tensor, spreads: Tensor) -> None:
    """Half-whiten; mean variance 1: a channel of spread s is left with variance s / mean(s)."""
    scale = 1.0 / (spreads * spreads.mean()).sqrt()
    for buffer, value in ((basis.mean, mean), (basis.basis, vectors), (basis.scale, scale)):
        buffer.copy_(value.to(torch.float16))


@torch.no_grad()
def fit_patch_codec(
    clips: Iterable[Tensor], config: PatchCodecConfig | None = None, *, motion_weight: float = 8.0
) -> PatchCodec:
    """A codec fitted to batches of clips.

    Each is `uint8 [B, T, H, W, 3]` with T = 1 + a multiple of the temporal stride.

    Every frame that may start a stream counts for the first frame's basis: the first of a clip, and the last
    of each later group. Raises `UserError` if there are too few patches to tell the components.
    """
    codec = PatchCodec(config or PatchCodecConfig())
    stride = codec.temporal_stride
    first, later = _Moments(codec.first), _Moments(codec.later)
    for batch in clips:
        pixels = to_float(batch)
        first.add(pixels[:, :, ::stride])
        if pixels.shape[2] > stride:
            later.add(pixels[:, :, 1:])
    for moments in (first, later):
        if moments.count <= codec.latent_channels:
            raise UserError(
                f"{moments.count:.0f} patches given to fit {codec.latent_channels} components; "
                "give more and longer clips"
            )
    mean, vectors, spreads = later.components(codec.latent_channels, motion_weight)
    _fill(codec.later, mean, vectors, spreads)
    first_mean, first_vectors, first_spreads = first.components(codec.latent_channels, motion_weight)
    order, signs = _like_later(first_vectors, vectors, stride)
    _fill(codec.first, first_mean, first_vectors[order] * signs, first_spreads[order])
    return codec.eval()
