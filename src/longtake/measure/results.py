"""Results of a benchmark: figures with what they mean, and a ledger to go on from after a kill."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from longtake.errors import UserError
from longtake.measure.provenance import Provenance
from longtake.measure.stats import ClipShare, Share, mean_interval

__all__ = ["Figure", "Ledger", "Result"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number with what is asked of it."""

    name: str
    """What was measured."""
    value: float | None
    """The number; None when it does not apply."""
    unit: str = ""
    """Its unit; `share` for shares of 1."""
    interval: tuple[float, float] | None = None
    """95 % interval."""
    count: int | None = None
    """How many it is made from."""
    asked: str | None = None
    """`>= x` or `<= x`, in the figure's unit."""
    note: str = ""
    """Control, caveat, or why there is no number."""

    @property
    def met(self) -> bool | None:
        """Whether what is asked is met; None when nothing is asked."""
        if self.asked is None:
            return None
        if self.value is None:
            return False
        sign, _, bound = self.asked.partition(" ")
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)

    @classmethod
    def share(
        cls, name: str, share: Share | ClipShare, *, asked: float | None = None, note: str = ""
    ) -> Figure:
        """A share with its interval; `asked` is the least."""
        return cls(
            name=name,
            value=share.value,
            unit="share",
            interval=share.interval,
            count=share.total,
            asked=None if asked is None else f">= {asked}",
            note="; ".join(filter(None, (note, share.note))),
        )

    @classmethod
    def mean(cls, name: str, values: Sequence[float | None], unit: str = "", note: str = "") -> Figure:
        """The mean of the values that are known, with its interval by the bootstrap."""
        known = [value for value in values if value is not None]
        found = mean_interval(known)
        if found is None:
            return cls(name=name, value=None, unit=unit, count=0, note=note or "applies to none of the clips")
        return cls(name=name, value=found[0], unit=unit, interval=found[1:], count=len(known), note=note)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A benchmark's outcome."""

    name: str
    """Short name; the file's stem."""
    title: str
    """What was asked, in a line."""
    definition: str
    """What is included and how it is counted."""
    config: Mapping[str, Any]
    """Model, seeds, prompts, frames, settings."""
    figures: tuple[Figure, ...]
    """The numbers."""
    provenance: Provenance
    """Machine, software, command."""
    seconds: float = 0.0
    """Wall-clock time of the measurement, over all legs."""
    notes: tuple[str, ...] = field(default=())
    """Anything a reader of the table must know."""
    columns: bool = False
    """Whether the figures are called "column: row" and belong side by side."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with `met` for every figure."""
        figures = [asdict(figure) | {"met": figure.met} for figure in self.figures]
        return asdict(self) | {"figures": figures}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """What `to_dict` gave."""
        figures = [
            {key: value for key, value in figure.items() if key != "met"} for figure in values["figures"]
        ]
        for figure in figures:
            figure["interval"] = None if figure["interval"] is None else tuple(figure["interval"])
        origin = dict(values["provenance"])
        origin["features"] = tuple(origin["features"])
        return cls(
            **{
                **values,
                "figures": tuple(Figure(**figure) for figure in figures),
                "provenance": Provenance(**origin),
                "notes": tuple(values["notes"]),
            }
        )

    def save(self, folder: Path) -> Path:
        """Write `<name>.json` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what `save` wrote."""
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as reason:
            raise UserError(f"result {path} cannot be read ({reason}); run its benchmark again") from None


class Ledger:
    """One JSON object a line for each clip that is done; opening it again goes on where it ended.

    The first line says what is being measured. A ledger of something else is refused, not mixed in.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        self.about: dict[str, Any] = json.loads(json.dumps(about))
        if fresh:
            path.unlink(missing_ok=True)
        lines = self._opened()
        if lines[0] != {"about": self.about}:
            raise UserError(
                f"{path} holds another measurement ({_difference(lines[0], self.about)}); use --fresh to drop it"
            )
        for row in lines[1:]:
            self.rows[row["key"]] = row

    @classmethod
    def existing(cls, path: Path) -> Ledger:
        """The ledger that is there, whatever it is about."""
        try:
            with path.open(encoding="utf-8") as file:
                about = json.loads(file.readline())["about"]
        except (OSError, json.JSONDecodeError, KeyError) as reason:
            raise UserError(f"{path} is not a ledger ({reason}); run its benchmark first") from None
        return cls(path, about)

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def add(self, key: str, **values: Any) -> None:
        """Note that a clip is done."""
        row = {"key": key, **values}
        with self._alone() as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.rows[key] = json.loads(json.dumps(row))

    @property
    def seconds(self) -> float:
        """Time that the clips took, over all legs."""
        return sum(row.get("seconds", 0.0) for row in self.rows.values())

    def _opened(self) -> list[dict[str, Any]]:
        """Whole lines, the first of which is written where there is none; one cut short by a kill is dropped."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone() as file:
            file.seek(0)
            text, lines = file.read(), []
            for line in text.splitlines():
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError:
                    break
            lines = lines or [{"about": self.about}]
            whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            if whole != text:
                file.truncate(0)
                file.write(whole)
        return lines

    @contextmanager
    def _alone(self) -> Iterator[TextIO]:
        """The file, to read and append, while no other process has it."""
        with self.path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _difference(found: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    old = found.get("about", {})
    return (
        ", ".join(f"{key} {old.get(key)!r} there" for key in about if old.get(key) != about[key])
        or "other fields"
    )
