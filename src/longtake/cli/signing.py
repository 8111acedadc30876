"""Sign what a command has written, when it is finished. Nothing heavy is imported before that."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer

from longtake.errors import UserError
from longtake.timeline import Receipt

if TYPE_CHECKING:
    from longtake.provenance.manifest import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Signing:
    """What was asked for."""

    on: bool
    """Whether to sign."""
    private: bool
    """Whether to leave prompts and the names of inputs out."""
    source: Source | None
    """What the take is made from."""

    @classmethod
    def read(cls, *, wanted: bool, private: bool, image: str | None, video: str | None) -> Self:
        """Check options and environment before anything is made. Raises `UserError` for what cannot be used."""
        from longtake.provenance.identity import given, is_on

        on = wanted and is_on(os.environ)
        if on:
            given(os.environ)
        return cls(on=on, private=private, source=_source(image, video) if on else None)

    def sign(self, path: Path, *, model: str, seed: int, receipts: Iterable[Receipt]) -> str | None:
        """Sign a finished file; returns what is known of the signer, None when it is not signed.

        What keeps it from being signed is told as a warning: the video is whole without.
        """
        if not self.on:
            return None
        from longtake.models.home import cache_folder
        from longtake.provenance.identity import identity, is_on
        from longtake.provenance.manifest import Claim
        from longtake.provenance.sign import sign_file

        prompts = [(each.first_time, each.cue.prompt) for each in receipts if each.first_time is not None]
        claim = Claim(
            model=model,
            seed=seed,
            prompts=tuple(prompts),
            source=self.source,
            private=self.private,
        )
        try:
            if not is_on(os.environ):
                return None
            signer = identity(cache_folder() / "provenance", os.environ)
            sign_file(path, claim, signer)
        except UserError as error:
            typer.echo(f"warning: {error}", err=True)
            return None
        return signer.name


def _source(image: str | None, video: str | None) -> Source | None:
    from longtake.provenance.manifest import Relationship, Source

    if image is not None:
        return Source(path=Path(image), relationship=Relationship.INPUT)
    if video is not None:
        return Source(path=Path(video), relationship=Relationship.PARENT)
    return None
