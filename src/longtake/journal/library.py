"""All takes of this machine."""

from __future__ import annotations

import builtins
import os
import re
import secrets
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.errors import UserError
from longtake.journal import retention
from longtake.journal.lock import Ownership
from longtake.journal.media import Media
from longtake.journal.output import export_file
from longtake.journal.reading import read_record
from longtake.journal.record import TakeRecord
from longtake.journal.store import NAME, Store
from longtake.models.home import takes_folder

if TYPE_CHECKING:
    from longtake.chunk import Observer
    from longtake.footage import ImageInput, VideoInput
    from longtake.journal.recorded import RecordedTake
    from longtake.journal.replay import ReplayReport
    from longtake.media import VideoFormat
    from longtake.pipeline import Pipeline
    from longtake.settings import Settings
    from longtake.timeline import Timeline

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Library:
    """The takes in a folder. Wherever an `id` is asked for, a prefix that only one take has will do.

    home: the folder; `takes` in `LONGTAKE_HOME` or the user's data folder unless given. retention_bytes: what media,
    latents and snapshots of all takes may have together; `LONGTAKE_RETENTION` or 16 GiB unless given.
    Methods raise UserError for an unknown id.
    """

    def __init__(self, home: Path | None = None, *, retention_bytes: int | None = None) -> None:
        self.home = takes_folder() if home is None else home
        self.retention_bytes = retention.limit() if retention_bytes is None else retention_bytes

    def list(self) -> builtins.list[TakeRecord]:
        """Every take, newest first."""
        records = map(read_record, self._folders())
        return sorted(records, key=lambda record: (record.created, record.id), reverse=True)

    def get(self, id: str) -> TakeRecord:
        """One take."""
        return read_record(self._find(id))

    def media(self, id: str) -> Media:
        """The recorded video of a take, also while another thread or process makes it. To be closed."""
        return Media(self._find(id))

    def create(
        self,
        pipe: Pipeline,
        timeline: Timeline,
        *,
        seed: int | None = None,
        num_frames: int | None = None,
        settings: Settings | None = None,
        image: ImageInput | None = None,
        video: VideoInput | None = None,
        strength: float | None = None,
        clip: VideoInput | None = None,
        form: VideoFormat | None = None,
        out: Path | None = None,
        loading: Mapping[str, Any] | None = None,
        observers: Sequence[Observer] = (),
        decode_beside: bool | None = None,
    ) -> RecordedTake:
        """A new take; the arguments of `Pipeline.stream`, and those of its record.

        clip: a video that the take goes on from. form: of the video; the take's own size unless given.
        out: a file that the caller writes beside the journal.
        loading: what is needed to open `pipe` again; its name unless given.
        """
        from longtake.journal.beginning import Beginning

        beginning = Beginning.prepare(
            pipe,
            timeline,
            id=str(uuid.uuid4()),
            seed=secrets.randbits(31) if seed is None else seed,
            num_frames=num_frames,
            settings=settings,
            image=image,
            video=video,
            strength=strength,
            clip=clip,
            form=form,
            out=out,
            loading=loading,
            decode_beside=decode_beside,
        )
        folder = beginning.found(self.home)
        return self._open(folder, pipe, course=beginning.course, observers=observers)

    def resume(
        self,
        id: str,
        pipe: Pipeline,
        *,
        video: VideoInput | None = None,
        observers: Sequence[Observer] = (),
        decode_beside: bool | None = None,
    ) -> RecordedTake:
        """Go on with a take, with the same bytes as if it had never stopped, where the build is the same.

        The iteration begins after the last recorded chunk; what is recorded is in `media`. A damaged tail is cut, and
        another build goes on with what it computes: both are in the take's `notes`. A finished take yields nothing
        more, and can be rewound.

        video: a live source, from where it is now. Raises UserError when another process owns the take, when `pipe` is
        another model, and when the model makes a whole video at once and it is not finished.
        """
        return self._open(self._find(id), pipe, video=video, observers=observers, decode_beside=decode_beside)

    def branch(
        self,
        id: str,
        at_seconds: float,
        prompt: str | None,
        pipe: Pipeline,
        *,
        transition: float = 0.0,
        num_frames: int | None = None,
        out: Path | None = None,
        video: VideoInput | None = None,
    ) -> RecordedTake:
        """Another take that has this one's beginning and goes on by itself, under `prompt` where one is given.

        It leaves its parent at the end of the last chunk that ends at or before `at_seconds`. With a prompt, later
        cues of the parent's timeline are not taken along. num_frames: of the whole branch; the parent's unless given.
        The parent may be running. Raises UserError when that moment is not kept any more, or cannot be steered.
        """
        from longtake.journal.branching import branch

        with closing(Store(self._find(id))) as parent:
            folder = branch(
                self.home,
                parent,
                at_seconds,
                prompt,
                transition=transition,
                num_frames=num_frames,
                out=out,
            )
        return self._open(folder, pipe, video=video)

    def replay(
        self,
        id: str,
        pipe: Pipeline,
        *,
        verify: bool = True,
        on_segment: Callable[[int, bytes], None] = lambda number, segment: None,
    ) -> ReplayReport:
        """Make a take again from its record alone: seed, directions and what it was given.

        verify: compare latents, frames, segments and receipts byte for byte, and stop at the first difference.
        on_segment: called with the number and the segment of each chunk. Raises UserError when the record does not
        suffice, and says why.
        """
        from longtake.journal.replay import replay

        with closing(Store(self._find(id))) as store:
            return replay(store, pipe, verify=verify, on_segment=on_segment)

    def export(self, id: str, out: Path, *, force: bool = False) -> Path:
        """Write the recorded video of a take into one MP4 file. Raises UserError when it cannot be written."""
        folder = self._find(id)
        if out.exists() and not force:
            raise UserError(f"{out} exists; give another name, or force it to be replaced")
        with Media(folder) as media:
            if not media.segments():
                raise UserError(f"take {folder.name} has no chunk yet; resume it first")
            export_file(out, media)
        return out

    def delete(self, id: str) -> None:
        """Remove a take and all its files. Raises UserError while a process owns it."""
        folder = self._find(id)
        ownership = Ownership(folder)
        gone = self.home / f".new-{folder.name}"  # swept where a kill leaves it behind
        os.rename(folder, gone)
        ownership.close()
        shutil.rmtree(gone)

    def _open(
        self,
        folder: Path,
        pipe: Pipeline,
        *,
        course: Any = None,
        video: VideoInput | None = None,
        observers: Sequence[Observer] = (),
        decode_beside: bool | None = None,
    ) -> RecordedTake:
        from longtake.journal.opening import open_take

        return open_take(
            folder,
            pipe,
            course=course,
            video=video,
            observers=observers,
            decode_beside=decode_beside,
            others=self._least_recent_first,
            retention_bytes=self.retention_bytes,
        )

    def _folders(self) -> builtins.list[Path]:
        if not self.home.is_dir():
            return []
        return [path for path in self.home.iterdir() if _ID.fullmatch(path.name)]

    def _least_recent_first(self) -> builtins.list[Path]:
        def used(folder: Path) -> float:
            record = folder / NAME
            return record.stat().st_mtime if record.exists() else 0.0

        return sorted(self._folders(), key=used)

    def _find(self, id: str) -> Path:
        found = [folder for folder in self._folders() if id and folder.name.startswith(id.lower())]
        if not found:
            raise UserError(f"no take {id!r} here; `longtake takes list` shows those that there are")
        if len(found) > 1:
            names = ", ".join(sorted(folder.name for folder in found)[:3])
            raise UserError(f"{len(found)} takes begin with {id!r} ({names}…); give more of the id")
        return found[0]
