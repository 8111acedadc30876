"""Recipe files: YAML read into frozen pydantic models, unknown fields refused.

`load_config("mini", MiniConfig)` reads the recipe shipped under that name, or the file at that path.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from longtake.errors import UserError

__all__ = [
    "RECIPE",
    "Strict",
    "check_choices",
    "keep_recipe",
    "kept_recipe",
    "load_config",
    "recipe_names",
    "recipes",
]

RECIPE = "recipe.yaml"
"""Beside the checkpoints of a run: the recipe that it was last trained with."""


class Strict(BaseModel):
    """Every config: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def check_choices(where: str, weights: Mapping[str, float], known: tuple[str, ...]) -> None:
    """Raise ValueError for unknown names or weights that are all zero."""
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise ValueError(f"{where}: {', '.join(unknown)} unknown; known are {', '.join(known)}")
    if not any(weights.values()):
        raise ValueError(f"{where}: give at least one of {', '.join(known)} a weight above 0")


Config = TypeVar("Config", bound=Strict)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in the package."""
    return tuple(sorted(path.stem for path in _recipes().glob("*.yaml")))


def recipes() -> list[dict[str, str]]:
    """Name, command and summary of each recipe; a recipe begins with two comment lines, summary and command."""
    found = []
    for name in recipe_names():
        lines = [
            line.removeprefix("#").strip() for line in _read(name).splitlines()[:2] if line.startswith("#")
        ]
        summary, command = [*lines, "", ""][:2]
        found.append({"name": name, "command": command.removeprefix("Run: "), "summary": summary})
    return found


def load_config(name_or_path: str, kind: type[Config]) -> Config:
    """A recipe by name, or a YAML file by path. Raises UserError that names the file, field and reason."""
    text = _read(name_or_path)
    try:
        return kind.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as reason:
        raise UserError(f"{name_or_path} is not YAML: {' '.join(str(reason).split())}") from None
    except ValidationError as reason:
        raise UserError(f"{name_or_path}: {describe(reason)}") from None


def keep_recipe(recipe: Strict, run: Path) -> None:
    """Write the whole recipe, defaults included, beside the checkpoints."""
    run.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    (run / RECIPE).write_text(text, encoding="utf-8")


def kept_recipe(run: Path, kind: type[Config], command: str) -> Config:
    """The recipe that a run was last trained with. Raises UserError when the folder holds none of `command`."""
    if not (run / RECIPE).is_file():
        raise UserError(f"{run} holds no run of `longtake {command}`: {RECIPE} is missing")
    return load_config(str(run / RECIPE), kind)


def describe(reason: ValidationError) -> str:
    """A validation error on one line: field, what is wrong, what was given."""
    parts = []
    for error in reason.errors():
        field = ".".join(map(str, error["loc"])) or "recipe"
        if error["type"] == "extra_forbidden":
            parts.append(f"{field} is not a known field")
        else:
            parts.append(
                f"{field}: {error['msg'].removeprefix('Value error, ')} (given {str(error['input'])[:80]})"
            )
    return "; ".join(parts)


def _recipes() -> Path:
    return Path(str(files("longtake.train"))) / "recipes"


def _read(name_or_path: str) -> str:
    shipped = _recipes() / f"{name_or_path}.yaml"
    path = shipped if shipped.is_file() and "/" not in name_or_path else Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        names = ", ".join(recipe_names())
        raise UserError(f"recipe {name_or_path} is neither a file nor one of: {names}") from None
    except UnicodeDecodeError:
        raise UserError(f"{name_or_path} is not a text file; give a YAML recipe") from None
