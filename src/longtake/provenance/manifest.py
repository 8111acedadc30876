"""What a manifest says of a take: who made it, with what, of what (C2PA Technical Specification 2.x, Assertions)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

TAKE = "longtake.take"
"""Label of our own assertion: model, seed, prompts."""
FTYP = "ftypSha256"
"""In it, the hash of the box that C2PA's hash of a file leaves out."""
ACTIONS = "c2pa.actions.v2"
INGREDIENT = "c2pa.ingredient.v3"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


class Relationship(StrEnum):
    """What a picture or a video that was given is to the take; C2PA's words."""

    INPUT = "inputTo"
    """The take begins with it, or follows it."""
    PARENT = "parentOf"
    """The take is that video, made anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A picture or a video that a take was made from."""

    path: Path
    """The file."""
    relationship: Relationship
    """What it is to the take."""

    @property
    def format(self) -> str:
        """Its media type, by its name."""
        return mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What is said about a take."""

    model: str
    """Name of the model."""
    seed: int | None = None
    """With it, the take can be made again."""
    prompts: tuple[tuple[float, str], ...] = ()
    """Prompts, each with the second from which it counts."""
    source: Source | None = None
    """What the take was made from, if not from words alone."""
    private: bool = False
    """Leave out the prompts and the name of the source."""

    @property
    def source_title(self) -> str:
        """What the source is called in the manifest."""
        assert self.source is not None
        return "source" if self.private else self.source.path.name

    def take(self, ftyp: bytes) -> dict[str, Any]:
        """Our own assertion, with the hash of the one box that C2PA's hash of the file leaves out."""
        said: dict[str, Any] = {"model": self.model, FTYP: hashlib.sha256(ftyp).hexdigest()}
        if self.seed is not None:
            said["seed"] = self.seed
        if self.prompts and not self.private:
            said["prompts"] = [{"at": float(at), "prompt": prompt} for at, prompt in self.prompts]
        return said

    def actions(self, parameters: dict[str, Any] | None) -> dict[str, Any]:
        """How the take came to be; `parameters` point to the source, if there is one."""
        made = {"digitalSourceType": _SOURCE_TYPE, "softwareAgent": {"name": self.model}}
        anew = self.source is not None and self.source.relationship is Relationship.PARENT
        first: dict[str, Any] = {"action": "c2pa.opened"} if anew else {"action": "c2pa.created", **made}
        if parameters is not None:
            first["parameters"] = parameters
        rest = [{"action": "c2pa.edited", **made}] if anew else []
        return {"actions": [first, *rest], "allActionsIncluded": True}


def read_take(assertion: object) -> dict[str, Any]:
    """What our own assertion says, from somebody's file: fields that are known, of the types that they have."""
    said = assertion if isinstance(assertion, Mapping) else {}
    model, seed, prompts = said.get("model"), said.get("seed"), said.get("prompts")
    read: dict[str, Any] = {"model": model} if isinstance(model, str) else {}
    if isinstance(seed, int):
        read["seed"] = seed
    if isinstance(prompts, list):
        read["prompts"] = [prompt for each in prompts for prompt in _read_prompt(each)]
    return read


def _read_prompt(each: object) -> list[dict[str, Any]]:
    match each:
        case {"at": float() | int() as at, "prompt": str() as prompt}:
            return [{"at": float(at), "prompt": prompt}]
    return []


def generator() -> dict[str, str]:
    """Who makes the claim."""
    return {"name": "longtake", "version": importlib.metadata.version("longtake")}
