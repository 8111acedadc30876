"""Where longtake keeps its files on this machine.

$LONGTAKE_HOME, or $XDG_CACHE_HOME/longtake, or ~/.cache/longtake
  text/                       embeddings of prompts, made again when lost
  provenance/                 the development certificate, made again when lost
  models/OWNER/REPOSITORY/    files of a Hub repository, under the paths that they have there
  models/PRESET/PART/         a part in diffusers' layout, as `longtake convert` writes it; goes before the above

$LONGTAKE_HOME, or $XDG_DATA_HOME/longtake, or ~/.local/share/longtake
  takes/                      what was made, and cannot be fetched again
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where longtake keeps what it can make or fetch again: `$LONGTAKE_HOME`, or the user's cache folder."""
    home = os.environ.get("LONGTAKE_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "longtake"


def takes_folder() -> Path:
    """Where takes are recorded."""
    home = os.environ.get("LONGTAKE_HOME")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "longtake"
    return (Path(home) if home else data) / "takes"


def models_folder() -> Path:
    """Where weights lie that are not part of the package."""
    return cache_folder() / "models"
