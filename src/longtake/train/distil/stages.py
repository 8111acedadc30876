"""The stages of a distillation, in order: what each needs and makes, and the recipe that trains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import UserError
from longtake.train.distil.config import DistilConfig
from longtake.train.distil.specs import Training

__all__ = ["STAGES", "StageInfo", "spec_of", "stage_info"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageInfo:
    """One stage, for lists and for whoever runs it."""

    name: str
    """As in commands; in config files with underscores."""
    summary: str
    needs: str
    makes: str
    teacher: bool
    """Whether `--teacher` is needed beside `--student`; pairs are made by a teacher alone."""

    @property
    def field(self) -> str:
        """Its name in a config."""
        return self.name.replace("-", "_")

    def row(self) -> dict[str, str]:
        """For `longtake train list`."""
        return {
            "name": self.name,
            "command": f"longtake train stage {self.name}",
            "summary": self.summary,
            "needs": self.needs,
            "makes": self.makes,
        }


STAGES = (
    StageInfo(
        name="causal",
        summary="causal adaptation by teacher forcing or diffusion forcing",
        needs="latents, a bidirectional student",
        makes="a causal many-step model",
        teacher=False,
    ),
    StageInfo(
        name="guidance",
        summary="guidance distilled into the weights: one pass in place of two",
        needs="latents, a causal teacher, a student (its copy)",
        makes="a causal many-step model that needs no guidance",
        teacher=True,
    ),
    StageInfo(
        name="ode-pairs",
        summary="trajectories of a teacher's ODE, stored",
        needs="latents (for captions), a teacher",
        makes="ODE pairs",
        teacher=True,
    ),
    StageInfo(
        name="ode",
        summary="regression of the student on ODE pairs",
        needs="ODE pairs, a student",
        makes="a few-step student, soft in detail",
        teacher=False,
    ),
    StageInfo(
        name="consistency",
        summary="causal consistency distillation, the way without pairs",
        needs="latents, a causal teacher, a student (its copy, or guided)",
        makes="a few-step student, soft in detail",
        teacher=True,
    ),
    StageInfo(
        name="dmd",
        summary="asymmetric distribution matching on noised clips (CausVid)",
        needs="latents, a bidirectional teacher, a few-step student",
        makes="a sharp few-step student",
        teacher=True,
    ),
    StageInfo(
        name="self-forcing",
        summary="distribution matching on the student's own rollouts",
        needs="latents or a file of prompts, a bidirectional teacher, a few-step student",
        makes="a few-step student that stands its own past",
        teacher=True,
    ),
    StageInfo(
        name="long-tuning",
        summary="distribution matching late in long rollouts, with prompt switches",
        needs="latents or a file of prompts, a bidirectional teacher, a self-forced student",
        makes="a student for minutes and changing prompts",
        teacher=True,
    ),
)


def stage_info(name: str) -> StageInfo:
    """A stage by name. Raises UserError for an unknown one."""
    for info in STAGES:
        if name in (info.name, info.field):
            return info
    raise UserError(f"stage {name} is not known; use one of {', '.join(info.name for info in STAGES)}")


def spec_of(config: DistilConfig, info: StageInfo) -> Any:
    """What a config says of a stage. Raises UserError when it says nothing."""
    spec = getattr(config, info.field)
    if spec is None:
        has = [other.name for other in STAGES if getattr(config, other.field) is not None]
        raise UserError(f"this config has no stage {info.name}; it has {', '.join(has)}")
    return spec


def _prompts(info: StageInfo, config: DistilConfig, path: Path, codec: Any) -> Any:
    """Prompts alone, for the stages that make their clips themselves."""
    from longtake.train.distil.prompt_file import PromptFile

    if info.name not in ("self-forcing", "long-tuning"):
        raise UserError(
            f"stage {info.name} needs clips; give --data with the folder of a latent set, not {path}"
        )
    if codec is None:
        raise UserError("prompts alone do not say how large a latent frame is; use a student with a codec")
    return PromptFile(config, path, codec)


def trained_by(info: StageInfo) -> Callable[..., Any]:
    """Makes the recipe of a stage from `(spec, config, data, roles, compute)`, data being a folder."""
    from longtake.train.distil.causal import Causal
    from longtake.train.distil.clips import Clips
    from longtake.train.distil.consistency import Consistency
    from longtake.train.distil.dmd import Dmd
    from longtake.train.distil.guidance import Guidance
    from longtake.train.distil.long_tuning import LongTuning
    from longtake.train.distil.ode import OdeRegression
    from longtake.train.distil.self_forcing import SelfForcing

    own: dict[str, Callable[..., Any]] = {"causal": Causal, "ode": OdeRegression}
    if info.name in own:
        return own[info.name]
    of_clips: dict[str, Callable[..., Any]] = {
        "guidance": Guidance,
        "consistency": Consistency,
        "dmd": Dmd,
        "self-forcing": SelfForcing,
        "long-tuning": LongTuning,
    }
    recipe = of_clips[info.name]

    def make(spec: Training, config: DistilConfig, data: Path, roles: Any, compute: Any) -> Any:
        source = _prompts(info, config, data, roles.codec) if data.is_file() else Clips(config, data)
        return recipe(spec, config, source, roles, compute)

    return make
