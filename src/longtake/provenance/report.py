"""What was found about where a video comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Trust(StrEnum):
    """What is known of the signer."""

    TRUSTED = "trusted"
    """The certificate leads to one that was given as trusted."""
    DEVELOPMENT = "development certificate"
    """longtake made the certificate on somebody's machine."""
    UNKNOWN = "unknown signer"
    """Nobody that was given as trusted vouches for the certificate."""


_SHOWS = "it shows that nothing was changed, not who made it"
_MEANING = {
    Trust.TRUSTED: "trusted",
    Trust.DEVELOPMENT: f"development certificate: anyone can make one, so {_SHOWS}",
    Trust.UNKNOWN: f"nobody you trust vouches for it, so {_SHOWS}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that is wrong."""

    code: str
    """C2PA's status code, or one of ours where it has none."""
    what: str
    """In plain words, to follow the name of the file."""
    segment: int | None = None
    """Number of the live segment, from 1; None for the file as a whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the manifest of a file says, and whether the file is what was signed."""

    path: str
    """The file."""
    kind: str
    """"file", "live" for a stream that was signed segment by segment, or "none" without a manifest."""
    checked: tuple[str, ...] = ()
    """What was compared with what was signed."""
    problems: tuple[Problem, ...] = ()
    """Everything that is wrong; empty for a file that is as it was signed."""
    trust: Trust | None = None
    """What is known of the signer; None when no signature could be read."""
    signer: str = ""
    """Name in the signer's certificate."""
    generator: str = ""
    """Program that made the claim."""
    take: Mapping[str, Any] = field(default_factory=dict)
    """Model, seed and prompts, as far as the manifest says."""
    made_from: tuple[str, ...] = ()
    """Names of the pictures and videos that were used."""
    segments: int | None = None
    """Segments of a live stream that are in the file."""

    @property
    def valid(self) -> bool:
        """Whether there is a signature and nothing was changed since."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"valid": self.valid, **asdict(self)}

    def lines(self) -> list[str]:
        """For people; one line when something is wrong. What a file says of itself cannot add lines of its own."""
        return ["".join(each if each.isprintable() else " " for each in line) for line in self._lines()]

    def _lines(self) -> list[str]:
        if self.problems:
            first, *more = self.problems
            return [f"{self.path}: {first.what}" + (f", and {len(more)} more" if more else "")]
        assert self.trust is not None
        live = "" if self.segments is None else f", {self.segments} live segments"
        made = f"made by {self.generator}" + (f" with {self.take['model']}" if "model" in self.take else "")
        made += f", seed {self.take['seed']}" if "seed" in self.take else ""
        prompts = [f'"{each["prompt"]}" from {each["at"]:g} s' for each in self.take.get("prompts", ())]
        return [
            f"{self.path}: as it was signed{live}",
            f"signed by {self.signer} ({_MEANING[self.trust]})",
            made,
            *(f"made from {name}" for name in self.made_from),
            *prompts,
        ]
