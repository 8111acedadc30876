"""Does the reader see what a person sees? Contact sheets without prompts, and the agreement with a person's
labels.

`sheets` makes takes of held-out prompts, writes one picture of each without its prompt, and a `labels.yaml`
to fill in. `agreement` compares what was filled in with what the reader read: over clips, all that the person
was sure of must agree for the clip to count. Unit: share of clips; higher is better. A blank field is not
compared, nor is how many solids there are where a colour is blank; a solid whose colour is `unknown` says that there is
nothing to be made out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from longtake.errors import UserError
from longtake.measure.adherence import reading_from_dict
from longtake.measure.cases import held_out_cases
from longtake.measure.filming import about_takes, film
from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Ledger, Result
from longtake.measure.stats import share_of
from longtake.pipeline import Pipeline
from longtake.world.reader import Reader
from longtake.world.reading import UNKNOWN, Reading

__all__ = ["Label", "agreement", "agrees", "read_labels", "sheet", "sheets"]

SEED = 9_000_000
FIELDS = ("colour", "shape", "motion")
LEAST = 0.90
Word = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""What was filled in; nothing is blank."""


class LabelledSolid(BaseModel):
    """What a person saw of a solid."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    colour: Word = ""
    shape: Word = ""
    motion: Word = ""


class Label(BaseModel):
    """What a person saw of a clip."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    solids: tuple[LabelledSolid, ...] = Field(min_length=1)
    ground: Word = ""

    @property
    def is_filled(self) -> bool:
        """Whether the person was sure of anything."""
        return bool(self.ground or any(solid.colour for solid in self.solids))


_LABELS = TypeAdapter(dict[str, Label])


def sheet(frames: np.ndarray, count: int = 8, times: int = 2) -> np.ndarray:
    """`count` frames spread over a clip uint8 [T, H, W, 3], side by side, enlarged."""
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return np.concatenate(list(frames[chosen]), 1).repeat(times, 0).repeat(times, 1)


def sheets(
    pipe: Pipeline,
    reader: Reader,
    level: int,
    clips: int,
    out: Path,
    progress: Callable[[int, int, str], None],
    *,
    fresh: bool = False,
) -> None:
    """Make `clips` takes of four seconds; pictures, readings and empty labels go into `out`.

    fresh: make those anew that are there already. Labels that are there stay.
    """
    from PIL import Image

    frames = 4 * pipe.fps
    out.mkdir(parents=True, exist_ok=True)
    about = {**about_takes(pipe, reader), "level": level, "frames": frames}
    ledger = Ledger(out / "readings.jsonl", about, fresh=fresh)
    cases = held_out_cases(level, clips, first=SEED)
    for number, case in enumerate(cases):
        name = f"{number:03d}"
        if name not in ledger:
            made = film(pipe, case, frames)
            Image.fromarray(sheet(made)).save(out / f"{name}.png")
            ledger.add(name, reading=reader.read(made, pipe.fps).to_dict())
        progress(number + 1, clips, name)
    labels = out / "labels.yaml"
    if not labels.exists():
        blank = {
            f"{number:03d}": {"solids": [dict.fromkeys(FIELDS, "")], "ground": ""} for number in range(clips)
        }
        labels.write_text(yaml.safe_dump(blank, sort_keys=False))


def agrees(label: Label, reading: Reading) -> bool:
    """Whether everything that a person filled in is what the reader read."""
    named = [solid for solid in label.solids if solid.colour not in ("", UNKNOWN)]
    for solid in named:
        seen = reading.solid(solid.colour)
        filled = ((getattr(solid, name), getattr(seen, name, None)) for name in FIELDS)
        if any(own and own != read for own, read in filled):
            return False
    is_counted = all(solid.colour for solid in label.solids)
    counts = not is_counted or len(named) == len(reading.objects)
    return counts and label.ground in ("", reading.ground)


def read_labels(folder: Path) -> dict[str, Label]:
    """What `labels.yaml` has of every clip. Raises UserError for a file that cannot be used, with its field."""
    path = folder / "labels.yaml"
    try:
        return _LABELS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        raise UserError(f"{folder} has no labels.yaml; make sheets first: longtake bench sheets") from None
    except (UnicodeDecodeError, yaml.YAMLError) as reason:
        raise UserError(f"{path} is not YAML ({str(reason).splitlines()[0]}); mend it") from None
    except ValidationError as reason:
        error = reason.errors()[0]
        field = ".".join(map(str, error["loc"])) or "the file"
        raise UserError(f"{path}: {field}: {error['msg']}; fill in the fields that are there") from None


def agreement(folder: Path) -> Result:
    """How often `labels.yaml` and the readings agree, over the clips that were labelled."""
    labels = read_labels(folder)
    ledger = Ledger.existing(folder / "readings.jsonl")
    unread = [key for key in labels if key not in ledger]
    if unread:
        raise UserError(f"{folder / 'labels.yaml'}: {unread[0]}: no such clip was read; take it out")
    filled = {key: label for key, label in labels.items() if label.is_filled}
    outcomes = {
        key: agrees(label, reading_from_dict(ledger.rows[key]["reading"])) for key, label in filled.items()
    }
    wrong = ", ".join(key for key, right in outcomes.items() if not right)
    return Result(
        name="by-eye",
        title="The reader against a person's labels of generated clips",
        definition=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        config=ledger.about,
        figures=(Figure.share("clips on which both agree", share_of(list(outcomes.values())), asked=LEAST),),
        provenance=provenance("float32"),
        notes=(f"disagreed on: {wrong}",) if wrong else (),
    )
