"""Imports go one way: command line, studio → journal → takes → memory, sampling, slots, enhance → models → leaves.

`train`, `measure` and `world` stand beside: they import from the right, each other in that order, and nothing
but the command line and the studio imports them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "longtake"

LEAVES = {"errors", "timeline", "storyboard", "media", "boxes", "footage"}
MODELS = {"models"}
PROVENANCE = {"provenance"}
PARTS = {"memory", "sampling", "slots", "enhance"}
TAKES = {
    "__init__",
    "pipeline",
    "take",
    "methods",
    "director",
    "settings",
    "snapshot",
    "chunk",
    "engine",
    "extent",
    "decoding",
    "filling",
    "forecast",
    "fitting",
    "output",
    "adapters",
    "loaded",
    "variant",
}
BESIDE = ("train", "measure", "world")
TOP = {"cli", "__main__", "studio", "scale"}


def allowed(unit: str) -> set[str]:
    """What a module or package at the top of longtake may import."""
    if unit in LEAVES:
        return LEAVES
    if unit in PROVENANCE:
        return LEAVES | PROVENANCE
    if unit in MODELS:
        return LEAVES | MODELS
    if unit in ("slots", "enhance"):
        return LEAVES | MODELS | {unit, "sampling"}
    if unit in PARTS:
        return LEAVES | MODELS | {unit}
    takes = LEAVES | MODELS | PARTS | TAKES
    if unit in TAKES:
        return takes
    if unit == "journal":
        return takes | {"journal"}
    if unit in BESIDE:
        return takes | set(BESIDE[BESIDE.index(unit) :])
    if unit in TOP:
        return takes | PROVENANCE | {"journal"} | set(BESIDE) | TOP
    raise AssertionError(f"{unit} has no place; give it one here and in the docs")


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path, source: Path = SOURCE) -> Iterator[tuple[int, str]]:
    """Line and unit of every import from longtake, those inside functions and for type checkers included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            around = ["longtake", *path.relative_to(source).parts][: -node.level] if node.level else []
            module = ".".join([*around, *filter(None, [node.module])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "longtake":
                known = rest and ((SOURCE / rest[0]).is_dir() or (SOURCE / f"{rest[0]}.py").is_file())
                yield node.lineno, rest[0] if known else "__init__"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    unit = unit_of(path)
    wrong = [f"line {line}: {name}" for line, name in imported(path) if name not in allowed(unit) | {unit}]
    assert not wrong, f"{unit} may not import {', '.join(wrong)}"


def test_the_test_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "memory" / "kv.py"
    path.parent.mkdir()
    path.write_text(
        "import longtake\nfrom ..train import loop\n"
        "def late():\n    from longtake.take import Take\n    from longtake import cli\n"
    )
    names = [name for _, name in imported(path, tmp_path)]
    assert names == ["__init__", "train", "take", "cli"]
    assert not set(names) & allowed("memory")
