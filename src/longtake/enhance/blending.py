"""How two windows that overlap become one video.

Randomized blending (StreamingT2V, arXiv 2403.14773 §4.3): at every step and every join a threshold f is drawn, and of
the O overlapping frames the first f are taken from the left window, the others from the right one. Equation 8 of the
paper prints indices whose lengths do not fit; the text, and this, is `concat(left[: F−O+f], right[f:])`. It is
published in two forms: the paper and StreamingSVD mix the latents of the next step, the released code of StreamingT2V
the predicted clean latents. The paper draws f from 0…O, both releases from 0…O−1, which never takes the last frame
from the left.

The alternatives are those of the paper's ablation: windows by themselves with noise of their own ("naive"), windows by
themselves with shared noise ("shared"), both cut hard in the middle of the overlap; and the mean of the overlap at
every step ("average", Gen-L-Video, arXiv 2305.18264).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from longtake.errors import UserError
from longtake.sampling.noise import Purpose, generator

Rule = Literal["naive", "shared", "average", "randomized"]
Target = Literal["previous", "x0"]

Thresholds = Callable[[int, int], int]
"""`(join, step) → f`; join j lies between windows j and j + 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blending:
    """How windows are joined."""

    rule: Rule = "randomized"
    """What is done with an overlap."""
    target: Target = "previous"
    """What is joined: the latents of the next step (x_{t−1}), or the predicted clean latents (x₀)."""
    to_overlap: bool = True
    """Whether a threshold may be O itself (0…O, the paper) or ends at O − 1 (0…O−1, both releases)."""

    @property
    def exchanges(self) -> bool:
        """Whether windows are joined at every step; otherwise only when they are done."""
        return self.rule in ("average", "randomized")

    @property
    def own_noise(self) -> bool:
        """Whether a window's noise is its own, not its frames'."""
        return self.rule == "naive"

    def check(self, overlap: int) -> None:
        """Refuse an overlap that leaves nothing to blend (UserError)."""
        if self.exchanges and overlap < 1:
            raise UserError(
                f"overlap 0 leaves nothing to blend by {self.rule!r}; use an overlap of 1 or more, or 'shared'"
            )

    def thresholds(self, seed: int, overlap: int) -> Thresholds:
        """The thresholds of a seed, drawn from the counter: the same on every machine and in any order."""
        if self.rule != "randomized":
            return lambda join, step: overlap // 2
        most = overlap if self.to_overlap else overlap - 1

        def drawn(join: int, step: int) -> int:
            return int(generator(seed, Purpose.BLEND, join, step).integers(most + 1))

        return drawn

    def join(self, left: Tensor, right: Tensor, threshold: int) -> Tensor:
        """`[1, C, O, H, W]`: the overlap, from what both windows have for it."""
        if self.rule == "average":
            return (left + right) / 2
        return torch.cat([left[:, :, :threshold], right[:, :, threshold:]], dim=2)


BLENDINGS = {
    "naive": Blending(rule="naive"),
    "shared": Blending(rule="shared"),
    "average": Blending(rule="average"),
    "randomized": Blending(),
    "randomized-x0": Blending(target="x0"),
    "randomized-short": Blending(to_overlap=False),
    "randomized-x0-short": Blending(target="x0", to_overlap=False),
}
"""By name. `randomized` is the paper's form, `randomized-x0-short` that of StreamingT2V's released code, and
`randomized-short` that of StreamingSVD's."""


def blending(name: str) -> Blending:
    """The blending of that name; UserError for one that is not known."""
    if name not in BLENDINGS:
        raise UserError(f"blending {name!r} is unknown; use one of {', '.join(BLENDINGS)}")
    return BLENDINGS[name]
