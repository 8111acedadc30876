"""What a user may choose for one enhancement, checked against the enhancer's own."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

from longtake.enhance.blending import Blending, blending
from longtake.enhance.enhancement import MODES
from longtake.enhance.levels import Level
from longtake.enhance.spec import EnhancerSpec
from longtake.enhance.tiling import Tiling
from longtake.enhance.upscale import Kernel, check_kernel
from longtake.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceSettings:
    """Choices for one enhancement; None means the enhancer's own."""

    mode: Literal["live", "exact"] = "live"
    """`exact` equals the whole video in one loop, with a delay of as many windows as there are steps; `live` is a
    window behind at most."""
    strength: float | None = None
    """How much of the input is replaced by noise, above 0 and up to 1."""
    steps: int | None = None
    """Network evaluations of a window."""
    blending: str | None = None
    """How windows are joined, by name."""
    window: int | None = None
    """Latent frames of a window."""
    overlap: int | None = None
    """Latent frames that windows are joined over."""
    scale: int | None = None
    """How many times larger along each side."""
    width: int | None = None
    """Pixels, in place of `scale`; given with `height`."""
    height: int | None = None
    """Pixels, in place of `scale`; given with `width`."""
    kernel: Kernel = "lanczos"
    """How pictures are enlarged before they are enhanced."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"mode {self.mode!r} is unknown; use one of {', '.join(MODES)}")
        if (self.width is None) != (self.height is None):
            raise UserError(f"width {self.width} and height {self.height} given; give both, or a scale")
        if self.width is not None and self.scale is not None:
            raise UserError(f"both a size and scale {self.scale} given; give one of them")
        if self.scale is not None and self.scale < 1:
            raise UserError(f"scale {self.scale} is not an enlargement; give a whole number from 1")
        check_kernel(self.kernel)

    def tiling(self, spec: EnhancerSpec) -> Tiling:
        """The windows in force."""
        return Tiling(
            length=spec.window if self.window is None else self.window,
            overlap=spec.overlap if self.overlap is None else self.overlap,
        )

    def joined(self, spec: EnhancerSpec) -> Blending:
        """The blending in force."""
        return blending(self.blending or spec.blending)

    def levels(self, spec: EnhancerSpec) -> tuple[Level, ...]:
        """The noise levels in force; a warning for a strength that the enhancer was not trained for."""
        strength = spec.strength if self.strength is None else self.strength
        levels = spec.schedule.levels(strength, spec.steps if self.steps is None else self.steps)
        low, high = spec.strengths
        if not low <= strength <= high:
            warnings.warn(
                f"{spec.name} was trained for strengths from {low:g} to {high:g}; {strength:g} may look worse",
                stacklevel=3,
            )
        return tuple(levels)

    def size(self, spec: EnhancerSpec, width: int, height: int, multiple: int) -> tuple[int, int]:
        """`(width, height)` that pictures of `width × height` become. UserError when that is off the grid."""
        if self.width is not None and self.height is not None:
            wide, high, how = self.width, self.height, ""
        else:
            scale = self.scale or spec.scale
            wide, high, how = scale * width, scale * height, f" ({scale} times {width}x{height})"
        if min(wide, high) < multiple or wide % multiple or high % multiple:
            near = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in (wide, high))
            raise UserError(
                f"size {wide}x{high}{how} cannot be made by the enhancer of {spec.name!r}: both sides must be "
                f"multiples of {multiple}; give the size {near}"
            )
        if (wide, high) != (spec.native.width, spec.native.height):
            native = f"{spec.native.width}x{spec.native.height}"
            warnings.warn(
                f"the enhancer of {spec.name} was trained at {native}; {wide}x{high} may look worse",
                stacklevel=3,
            )
        return wide, high
