"""Fetching the parts of a model from the Hub: once, resumed where it broke off, and checked against its hash.

Files come through `huggingface_hub` (its mirrors, tokens and proxies apply) and land in the models folder, see
`home.py`. What has arrived is kept when the line breaks, here or in the next call. A file with the wrong hash is
deleted.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.errors import UserError
from longtake.models.hub import Checkpoint, Preset, find, look_up
from longtake.models.parts import File, Part, PartName
from longtake.models.places import is_whole, repository_folder

ATTEMPTS = 5
"""How often a line may break, one file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """How to reach the Hub, and whom to tell."""

    endpoint: str | None = None
    """Address of the Hub; None for `$HF_ENDPOINT`, or the public one."""
    progress: Any = None
    """A class like `tqdm.tqdm`, one bar a file; None for the Hub client's own."""
    say: Callable[[str], None] = lambda message: None
    """Is told the licence before anything is fetched, and what is fetched."""


def obtain(model: str | Path, line: Line | None = None, *, also: Iterable[PartName] = ()) -> Checkpoint:
    """The checkpoint, whole and on disk: `hub.find`, after fetching what a model on the Hub lacks.

    also: parts that it can do without and that are wanted. Raises UserError when something cannot be fetched: which
    file, from where, into which folder, and what to run on a machine that can.
    """
    checkpoint = look_up(model)
    wanted = dict.fromkeys((*checkpoint.missing, *(name for name in also if name not in checkpoint.parts)))
    if checkpoint.folder is None and wanted:
        fetch(checkpoint.preset, wanted, line or Line())
    return find(model)


def fetch(preset: Preset, names: Iterable[PartName], line: Line) -> None:
    """Fetch parts of a model on the Hub; says the licence first. Raises UserError as `obtain` does."""
    parts = [preset.part(name) for name in names]
    _check_room(preset, parts)
    line.say(preset.notice)
    for part in parts:
        fetch_part(part, line, who=preset.name)


def fetch_part(part: Part, line: Line, *, who: str) -> None:
    """Fetch what is not there of a part, for `who`; Raises UserError as `obtain` does."""
    for file in part.files:
        if not is_whole(repository_folder(part) / file.path, file):
            line.say(f"fetching {file.path} of {part.page}{_size(file)}")
            _fetch(who, part, file, line)


def command(part: Part) -> str:
    """What fetches a part on any machine, into the folder where longtake looks for it."""
    paths = " ".join(f"'{file.path}'" for file in part.files)
    pinned = "" if part.revision == "main" else f" --revision {part.revision}"
    return f"hf download {part.repo} {paths}{pinned} --local-dir '{repository_folder(part)}'"


def _fetch(who: str, part: Part, file: File, line: Line) -> None:
    from httpx import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    url = hf_hub_url(part.repo, file.path, revision=part.revision, endpoint=line.endpoint)
    for attempt in range(ATTEMPTS):
        try:
            hub_hash = get_hf_file_metadata(url, endpoint=line.endpoint).etag
            path = hf_hub_download(
                part.repo,
                file.path,
                revision=part.revision,
                local_dir=repository_folder(part),
                endpoint=line.endpoint,
                tqdm_class=line.progress,
            )
            return _verify(Path(path), file, hub_hash, part)
        except (HTTPError, OSError) as reason:
            if attempt + 1 == ATTEMPTS or not _may_pass(reason):
                raise _unreachable(who, part, file, reason) from None


def _may_pass(reason: Exception) -> bool:
    """Whether a failure is of the kind that trying again mends: a line that broke while it was delivering."""
    from httpx import ConnectError, TransportError

    broken = isinstance(reason, TransportError) and not isinstance(reason, ConnectError)
    return broken or "onsistency check" in str(reason)


def _unreachable(who: str, part: Part, file: File, reason: Exception) -> UserError:
    status = getattr(getattr(reason, "response", None), "status_code", None)
    if status in (401, 403):
        why = f"asks for a login: accept its terms on {part.page}, then run `hf auth login`"
    elif status == 404:
        why = "is not there any more; look for it on its page"
    elif isinstance(reason, OSError) and reason.errno is not None and isinstance(reason.filename, str):
        why = f"cannot be written here ({reason.strerror})"
    else:
        first = str(reason).strip().splitlines() or [type(reason).__name__]
        why = f"cannot be reached from here ({first[0]})"
    return UserError(
        f"{who} needs {file.path} of {part.page} in {repository_folder(part)}, and it {why}; "
        f"where there is a network run: {command(part)} (what has arrived is kept)"
    )


def _verify(path: Path, file: File, hub_hash: str | None, part: Part) -> None:
    """Delete and refuse a file that is not what was published."""
    expected = file.sha256 or hub_hash
    if expected is None or expected == _hash(path, like=expected):
        return
    path.unlink()
    raise UserError(
        f"{file.path} of {part.page} is not the published file or arrived damaged (its hash is not {expected[:12]}…); "
        "it has been deleted: fetch it again"
    )


def _hash(path: Path, *, like: str) -> str:
    """SHA-256 of a large file; the Hub names small ones by their git object, a SHA-1."""
    digest = hashlib.sha256() if len(like) == 64 else hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as opened:
        while piece := opened.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def _check_room(preset: Preset, parts: Iterable[Part]) -> None:
    """Refuse before the first byte when the disk is too small for what is known of the sizes."""
    wanted = {repository_folder(part) / file.path: file.bytes or 0 for part in parts for file in part.files}
    needed = sum(size for path, size in wanted.items() if not path.is_file())
    there = next(folder for path in wanted for folder in path.parents if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{preset.name} needs {needed / 1e9:.1f} GB on disk and {there} has {free / 1e9:.1f} GB free; make room, "
            "or set LONGTAKE_HOME to a folder on a larger disk"
        )


def _size(file: File) -> str:
    return "" if file.bytes is None else f", {file.bytes / 1e9:.2f} GB"
