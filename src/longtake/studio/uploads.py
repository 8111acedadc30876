"""Files that users send: looked at, decoded apart, kept for a while under a name that the server made."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused
from longtake.studio.sandbox import Sandbox

_SNIFFED = 64
_ACCEPTED = "PNG, JPEG, WebP, BMP, GIF, MP4, MOV, WebM, Matroska or AVI"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that has passed."""

    id: str
    """Made by the server."""
    kind: Literal["image", "video"]
    width: int
    """As it was sent; what is kept may be smaller."""
    height: int
    frames: int
    fps: float | None
    seconds: float | None
    created: float
    """Seconds since 1970."""

    def to_dict(self, keep: float) -> dict[str, Any]:
        """Its form on the wire."""
        values = asdict(self)
        del values["created"]
        return values | {"object": "upload", "expires_at": round(self.created + keep)}


class Uploads:
    """A folder of this server's own, with files that were decoded and written anew.

    clock: seconds since 1970.
    """

    def __init__(self, folder: Path, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._limits, self._clock = folder, limits, clock
        self._sandbox = Sandbox(limits)
        self._known: dict[str, Upload] = {}
        self._arriving = 0

    async def add(self, file: BinaryIO) -> Upload:
        """Take a file. Raises Refused for what will not do, or when too many are kept."""
        self._forget_old()
        if len(self._known) + self._arriving >= self._limits.uploads:
            raise Refused(Reason.FULL, "too many uploads are kept; delete one, or wait", retry_after=60)
        self._arriving += 1
        try:
            return await self._add(file)
        finally:
            self._arriving -= 1

    async def _add(self, file: BinaryIO) -> Upload:
        kind = sniff(file.read(_SNIFFED))
        file.seek(0)
        id = str(uuid.uuid4())
        self._folder.mkdir(parents=True, exist_ok=True)
        raw, done = self._folder / f"{id}.raw", self._folder / f"{id}.done"
        try:
            await asyncio.to_thread(_copy, file, raw, self._limits.upload_bytes)
            found = await self._sandbox.decode(kind, raw, done)
            upload = Upload(id=id, created=self._clock(), **found)
            done.rename(self._file(upload))
        except BaseException:
            done.unlink(missing_ok=True)
            raise
        finally:
            raw.unlink(missing_ok=True)
        self._known[id] = upload
        return upload

    def get(self, id: str) -> Upload:
        """Raises Refused when there is none of that name."""
        self._forget_old()
        if id not in self._known:
            raise Refused(Reason.NOT_FOUND, "no such upload; it may be over, send the file again")
        return self._known[id]

    def path(self, id: str, kind: Literal["image", "video"]) -> Path:
        """The file that the server made of it. Raises Refused when it is of the other kind."""
        upload = self.get(id)
        if upload.kind != kind:
            raise Refused(Reason.INVALID, f"the upload is {_a(upload.kind)}; {_a(kind)} is needed here")
        return self._file(upload)

    def delete(self, id: str) -> None:
        """Remove one. Raises Refused when there is none of that name."""
        self._file(self.get(id)).unlink(missing_ok=True)
        del self._known[id]

    def to_dict(self, upload: Upload) -> dict[str, Any]:
        """Its form on the wire."""
        return upload.to_dict(self._limits.upload_keep_seconds)

    def close(self) -> None:
        """Remove all."""
        self._known.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def sandbox(self) -> Sandbox:
        """Where pictures of live sources are decoded too."""
        return self._sandbox

    def _file(self, upload: Upload) -> Path:
        return self._folder / f"{upload.id}{'.png' if upload.kind == 'image' else '.mp4'}"

    def _forget_old(self) -> None:
        before = self._clock() - self._limits.upload_keep_seconds
        for upload in [upload for upload in self._known.values() if upload.created < before]:
            self._file(upload).unlink(missing_ok=True)
            del self._known[upload.id]


def sniff(head: bytes) -> str:
    """What the first bytes of a file say: "image", "video" or "gif". Raises Refused for anything else.

    Names and types that a client gives are not looked at.
    """
    if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")):
        return "image"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return "image" if head[8:12] == b"WEBP" else "video"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") or head.startswith(
        b"\x1aE\xdf\xa3"
    ):
        return "video"
    raise Refused(Reason.UNSUPPORTED, f"the file is none that is taken; send {_ACCEPTED}")


def _copy(file: BinaryIO, target: Path, most: int) -> None:
    with target.open("xb") as out:
        while part := file.read(2**20):
            if out.tell() + len(part) > most:
                raise Refused(
                    Reason.TOO_LARGE, f"the file has more than {most // 2**20} MiB; make it smaller"
                )
            out.write(part)


def _a(kind: str) -> str:
    return "an image" if kind == "image" else "a video"
