"""`longtake provenance`: is a video what its maker signed, and what does it say of itself?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option


def provenance(
    file: Annotated[
        Path, Argument(metavar="FILE", help="An MP4 file, exported or a live stream written down.")
    ],
    trust: Annotated[
        Path | None,
        Option(metavar="FILE", help="PEM file of certificates that you trust; none is trusted by itself."),
    ] = None,
    late: Annotated[
        bool,
        Option("--late", help="A live stream that was joined while it ran: its beginning may be missing."),
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Check who signed a video, and that nothing was changed since.

    Exit code 0 when it is as it was signed, 1 when it was changed or never signed, 2 when it cannot be read.

    Nothing is fetched from anywhere.

    \b
    longtake provenance take.mp4
    """
    from longtake.provenance.verify import verify

    report = verify(file, anchors=trust, late=late)
    typer.echo(json.dumps(report.to_dict(), ensure_ascii=False) if as_json else "\n".join(report.lines()))
    if not report.valid:
        raise typer.Exit(1)
