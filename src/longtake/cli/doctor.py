"""`longtake doctor`: what is installed, what the machine can do, and whether the models open."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from longtake.errors import UserError

PACKAGES = (
    "longtake",
    "torch",
    "numpy",
    "numba",
    "av",
    "diffusers",
    "transformers",
    "tokenizers",
    "safetensors",
)
CPU_FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "bf16",
)


def doctor(
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Say what one model needs here: a name or a folder, on disk or not."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="With --model: picture to plan for; its own unless given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, the machine and what models need.

    Opens the models that are on disk; with --model, plans the memory of one.

    Nothing is downloaded. Exit code 1 when a model on disk cannot be opened.
    """
    if model is not None:
        return _one(model, size, as_json=as_json)
    if size is not None:
        raise UserError("--size says nothing without --model; name one that `longtake models` lists")
    report = {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": _machine(),
        "compute": _compute(),
        "models": _models(),
    }
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _show(report)
    if any(model["problem"] for model in report["models"].values()):
        raise typer.Exit(1)


def _one(model: str, size: str | None, *, as_json: bool) -> None:
    from longtake.cli.fit import fit, lines

    report = fit(model, size)
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(lines(report)))


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    """System, processor and memory, as far as the system tells."""
    info = _read("/proc/cpuinfo")
    fields = dict(_split(line) for line in info.splitlines() if ":" in line)
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return {
        "system": platform.platform(),
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": [name for name in CPU_FEATURES if name in flags],
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
    }


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _compute() -> dict[str, Any]:
    """Where the networks run, in which number format, and why."""
    import torch

    from longtake.models.backends import attention_backend, compile_backend
    from longtake.models.device import compute_device, compute_dtype

    choice = compute_dtype()
    return {
        "device": str(compute_device()),
        "dtype": str(choice.dtype).removeprefix("torch."),
        "reason": choice.reason,
        "threads": torch.get_num_threads(),
        "attention": "{} ({})".format(*attention_backend()),
        "feed_forward": "{} ({})".format(*compile_backend()),
    }


def _models() -> dict[str, dict[str, Any]]:
    """Opens every model that is on disk; `problem` is None when it is whole."""
    from longtake.models.hub import look_up, presets

    on_disk = {name: not look_up(name).missing for name in presets()}
    return {
        name: {"on_disk": here, "problem": _problem(name) if here else None} for name, here in on_disk.items()
    }


def _problem(name: str) -> str | None:
    from longtake.pipeline import Pipeline

    try:
        Pipeline.from_pretrained(name)
    except UserError as error:
        return str(error)
    return None


def _show(report: dict[str, Any]) -> None:
    from longtake.cli.table import columns

    plain = [
        (section, name, value)
        for section in ("versions", "machine", "compute")
        for name, value in report[section].items()
    ]
    models = [
        ("models", name, model["problem"] or ("whole" if model["on_disk"] else "not on disk"))
        for name, model in report["models"].items()
    ]
    for line in columns([(section, name, _text(value)) for section, name, value in [*plain, *models]]):
        typer.echo(line)


def _text(value: Any) -> str:
    if value is None:
        return "not installed"
    return ", ".join(value) if isinstance(value, list) else str(value)
