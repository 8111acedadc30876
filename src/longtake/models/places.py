"""Where on this machine the parts of a model are; see `home.py` for the layout. Nothing is fetched here."""

from __future__ import annotations

from pathlib import Path

from longtake.models.data import Data
from longtake.models.home import models_folder
from longtake.models.parts import FOLDER_NAMES, File, Part, PartName


class Located(Data):
    """A part on disk."""

    path: Path
    """A folder in diffusers' (transformers') layout, or the published container (the first file, if several)."""
    files: tuple[Path, ...] = ()
    """The files of a published container; empty for a folder."""
    part: Part | None = None
    """What the preset says about it; None for a folder of the user's own."""

    @classmethod
    def in_folder(cls, folder: Path, name: PartName, called: str | None = None) -> Located | None:
        """The part `name` in a model's folder, or None. called: the name of its own folder, where it is another."""
        names = FOLDER_NAMES.get(name, (name,)) if called is None else (called,)
        return next((cls(path=folder / each) for each in names if (folder / each).is_dir()), None)

    @classmethod
    def of(cls, part: Part, root: Path) -> Located:
        """A part whose repository lies in `root`."""
        if part.folder is not None:
            return cls(path=root / part.folder, part=part)
        paths = tuple(root / file.path for file in part.files)
        return cls(path=paths[0], files=paths, part=part)

    @property
    def num_bytes(self) -> int:
        """Bytes on disk."""
        inside = (path for path in self.path.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in self.files or inside)


def repository_folder(part: Part) -> Path:
    """Where the files of a part's repository are kept."""
    return models_folder() / part.repo


def locate(preset: str, name: PartName, part: Part) -> Located | None:
    """A part of a Hub model: the user's own folder first, then fetched files, then the cache that Hub clients share."""
    own = Located.in_folder(models_folder() / preset, name)
    if own is not None:
        return own
    root = repository_folder(part)
    if all(is_whole(root / file.path, file) for file in part.files):
        return Located.of(part, root)
    snapshot = _hub_snapshot(part)
    return Located.of(part, snapshot) if snapshot is not None else None


def is_whole(path: Path, file: File) -> bool:
    """Whether a file is there, in its published size where that is known to the byte (its hash is given)."""
    exact = file.bytes if file.sha256 is not None else None
    return path.is_file() and exact in (None, path.stat().st_size)


def _hub_snapshot(part: Part) -> Path | None:
    """The folder of a snapshot in the Hub's own cache that holds every file of the part, or None."""
    from huggingface_hub import try_to_load_from_cache

    roots = set()
    for file in part.files:
        path = try_to_load_from_cache(part.repo, file.path, revision=part.revision)
        if not isinstance(path, str) or not is_whole(Path(path), file):
            return None
        roots.add(Path(path).parents[file.path.count("/")])
    return roots.pop() if len(roots) == 1 else None
