"""What a user may choose for one take, checked against the model's preset."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.models.hub import Preset
from longtake.models.policy import FewStepSpec
from longtake.sampling import Sampler
from longtake.sampling.few_step import FewStep
from longtake.sampling.ode import FlowODE


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Choices for one take; None means the checkpoint's own. Part of a take's snapshot."""

    height: int | None = None
    """Pixels; a multiple of codec stride × patch."""
    width: int | None = None
    """Pixels; a multiple of codec stride × patch."""
    num_inference_steps: int | None = None
    """Network evaluations a block; only for models that are not distilled to a step list."""
    guidance_scale: float | None = None
    """Strength of classifier-free guidance; 1 is off."""
    negative_prompt: str = ""
    """What guidance leads away from."""

    def size(self, preset: Preset, multiple: int) -> tuple[int, int]:
        """`(height, width)`; UserError when off the grid, a warning when not the size that the model knows."""
        native = preset.native
        height, width = self.height or native.height, self.width or native.width
        if min(height, width) < multiple or height % multiple or width % multiple:
            raise UserError(
                f"size {width}x{height} cannot be made by {preset.name!r}: both must be multiples of {multiple}; "
                f"its native size is {native.width}x{native.height}"
            )
        if (height, width) != (native.height, native.width):
            warnings.warn(
                f"{preset.name} was trained at {native.width}x{native.height}; {width}x{height} may look worse",
                stacklevel=2,
            )
        return height, width

    def scale(self, preset: Preset) -> float:
        """The guidance scale in force."""
        scale = preset.policy.guidance_scale if self.guidance_scale is None else self.guidance_scale
        if not scale >= 1:
            raise UserError(f"guidance_scale {scale} is below 1; use 1 (off) or more")
        return scale

    def sampler(self, preset: Preset) -> Sampler:
        """The sampler in force; a distilled model's step list cannot be changed."""
        spec = preset.policy.sampler
        if isinstance(spec, FewStepSpec):
            if self.num_inference_steps not in (None, len(spec.steps)):
                raise UserError(
                    f"num_inference_steps {self.num_inference_steps}: {preset.name!r} is distilled to "
                    f"{len(spec.steps)} steps {list(spec.steps)}; leave it out"
                )
            return FewStep(steps=spec.steps, shift=spec.shift, warp=spec.warp)
        steps = spec.num_inference_steps if self.num_inference_steps is None else self.num_inference_steps
        return FlowODE(num_inference_steps=steps, shift=spec.shift)
