"""What a user may choose for one take, checked against the model's preset."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from longtake.errors import UserError
from longtake.memory.chosen import Choice
from longtake.models.codec import frames_for_latents
from longtake.models.hub import Preset
from longtake.models.method import under_method
from longtake.models.override import override
from longtake.models.steps import DdimSpec, FewStepSpec, Listed, OdeSpec
from longtake.sampling import Sampler
from longtake.sampling.ddim import Ddim
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
    steps: tuple[float, ...] | None = None
    """Another step list for a distilled model."""
    shift: float | None = None
    """Another shift of the noise schedule."""
    block: int | None = None
    """Another number of latent frames made together."""
    window: int | None = None
    """Another number of latent frames that attention sees."""
    sink: int | None = None
    """Another number of first latent frames that are never forgotten."""
    anchors: tuple[str, ...] = ()
    """Frames that long-term memory holds on to, as `memory.pins` reads them (`0`, `2.5s`, `0+40`, `40@48`)."""
    anchor_with_prompt: bool = False
    """Whether the first frame under a new prompt becomes the anchor."""
    anchor_scale: float | None = None
    """Weight of the anchor in guidance; that of the text unless given."""
    long_term: bool = True
    """False switches anchors off (APM)."""
    short_term: bool = True
    """False switches off what the last frames tell the next clip (CAM)."""
    method: str | None = None
    """How to go on in place of the model's own way: `streamingt2v`, for a model that has its memories."""
    force: bool = False
    """Take steps, a shift, block, window or sink that the checkpoint was not made for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchors", tuple(self.anchors))
        if self.steps is not None:  # a list where they come out of a file
            object.__setattr__(self, "steps", tuple(self.steps))

    def applied(self, preset: Preset) -> Preset:
        """The preset with method, block, window and sink in force; UserError for what the checkpoint cannot do."""
        policy = override(
            under_method(preset.policy, self.method, preset.name),
            preset.name,
            block=self.block,
            window=self.window,
            sink=self.sink,
            force=self.force,
        )
        choice = Choice(
            anchors=self.anchors,
            anchor_with_prompt=self.anchor_with_prompt,
            anchor_scale=self.anchor_scale,
            long_term=self.long_term,
            short_term=self.short_term,
        )
        policy = choice.applied(policy, preset.name, preset.native.fps)
        return preset.model_copy(update={"policy": policy})

    def size(self, preset: Preset, multiple: int) -> tuple[int, int]:
        """`(height, width)`; UserError when off the grid, a warning when not the size that the model knows."""
        native = preset.native
        height, width = self.height or native.height, self.width or native.width
        check_grid(preset, width, height, multiple)
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
        """The sampler in force; UserError for steps or a shift that the checkpoint was not made for."""
        spec = preset.policy.sampler
        shift = spec.shift if self.shift is None else self.shift
        if shift != spec.shift and not self.force:
            raise UserError(
                f"shift {shift:g}: {preset.name!r} was made for {spec.shift:g}; leave it out, or force it"
            )
        if isinstance(spec, DdimSpec):
            return self._ddim(preset, spec)
        if not isinstance(spec, OdeSpec):
            first = spec.first_steps if isinstance(spec, FewStepSpec) else ()
            steps = self._steps(preset, spec)
            return FewStep(
                steps=steps, shift=shift, warp=spec.warp, first_steps=first if self.steps is None else ()
            )
        if self.steps is not None:
            raise UserError(f"{preset.name!r} has no step list; give num_inference_steps instead of steps")
        if self.num_inference_steps is not None:  # of every block
            return FlowODE(num_inference_steps=self.num_inference_steps, shift=shift, order=spec.order)
        return FlowODE(
            num_inference_steps=spec.num_inference_steps,
            shift=shift,
            order=spec.order,
            first_num_inference_steps=spec.first_num_inference_steps,
        )

    def _ddim(self, preset: Preset, spec: DdimSpec) -> Ddim:
        if self.steps is not None:
            raise UserError(f"{preset.name!r} has no step list; give num_inference_steps instead of steps")
        count = spec.num_inference_steps if self.num_inference_steps is None else self.num_inference_steps
        return Ddim(num_inference_steps=count, eta=spec.eta, prediction=spec.prediction)

    def _steps(self, preset: Preset, spec: Listed) -> tuple[float, ...]:
        """The step list: the user's, the published one of the asked length, or the first."""
        made_for = (spec.steps, *spec.also)
        if self.steps is not None:
            if self.steps not in made_for and not self.force:
                lists = " or ".join(str([*map(float, steps)]) for steps in made_for)
                raise UserError(
                    f"steps {list(self.steps)}: {preset.name!r} was made for {lists}; or force them"
                )
            return self.steps
        count = len(spec.steps) if self.num_inference_steps is None else self.num_inference_steps
        fitting = [steps for steps in made_for if len(steps) == count]
        if not fitting:
            counts = " or ".join(str(len(steps)) for steps in made_for)
            raise UserError(
                f"num_inference_steps {count}: {preset.name!r} is distilled to {counts} steps "
                f"{list(spec.steps)}; leave it out"
            )
        return fitting[0]


def check_grid(preset: Preset, width: int, height: int, multiple: int) -> None:
    """Refuse a size that a model's latents and patches do not divide (UserError)."""
    if min(height, width) < multiple or height % multiple or width % multiple:
        raise UserError(
            f"size {width}x{height} cannot be made by {preset.name!r}: both must be multiples of {multiple}; "
            f"its native size is {preset.native.width}x{preset.native.height}"
        )


def warn_of_length(preset: Preset, num_frames: int | None, temporal_stride: int) -> None:
    """Warn when a take is longer than the clips that the model was trained on, and the model grows worse then."""
    trained = preset.policy.trained
    if trained is None:
        return
    most = frames_for_latents(trained, temporal_stride)
    if num_frames is None or num_frames > most:
        warnings.warn(
            f"{preset.name} was trained on {most} frames ({most / preset.native.fps:.3g} seconds); "
            "a longer take may drift",
            stacklevel=3,
        )
