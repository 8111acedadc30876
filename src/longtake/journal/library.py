"""All takes of this machine."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.journal.record import TakeRecord

if TYPE_CHECKING:
    from longtake.chunk import Observer
    from longtake.footage import ImageInput, VideoInput
    from longtake.journal.media import Media
    from longtake.journal.recorded import RecordedTake
    from longtake.journal.replay import ReplayReport
    from longtake.media import VideoFormat
    from longtake.pipeline import Pipeline
    from longtake.settings import Settings
    from longtake.timeline import Timeline


class Library:
    """The takes in a folder. Wherever an `id` is asked for, a prefix that only one take has will do.

    home: the folder; `takes` in `LONGTAKE_HOME` or the user's data folder unless given. retention_bytes: what media,
    latents and snapshots of all takes may have together; `LONGTAKE_RETENTION` or 16 GiB unless given.
    Methods raise UserError for an unknown id.
    """

    def __init__(self, home: Path | None = None, *, retention_bytes: int | None = None) -> None:
        raise NotImplementedError

    def list(self) -> builtins.list[TakeRecord]:
        """Every take, newest first."""
        raise NotImplementedError

    def get(self, id: str) -> TakeRecord:
        """One take."""
        raise NotImplementedError

    def media(self, id: str) -> Media:
        """The recorded video of a take, also while another thread or process makes it."""
        raise NotImplementedError

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
        form: VideoFormat | None = None,
        out: Path | None = None,
        loading: Mapping[str, Any] | None = None,
        observers: Sequence[Observer] = (),
        decode_beside: bool | None = None,
    ) -> RecordedTake:
        """A new take; the arguments of `Pipeline.stream`, and those of its record.

        form: of the video; the take's own size unless given. out: a file that the caller writes beside the journal.
        loading: what is needed to open `pipe` again; its name unless given.
        """
        raise NotImplementedError

    def resume(self, id: str, pipe: Pipeline, *, video: VideoInput | None = None) -> RecordedTake:
        """Go on with a take, with the same bytes as if it had never stopped, where the build is the same.

        The iteration begins after the last recorded chunk; what is recorded is in `media`. A damaged tail is cut, and
        another build goes on with what it computes: both are in the take's `notes`. A finished take yields nothing
        more, and can be rewound.

        video: a live source, from where it is now. Raises UserError when another process owns the take, when `pipe` is
        another model, and when the model makes a whole video at once and it is not finished.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def replay(self, id: str, pipe: Pipeline) -> ReplayReport:
        """Make a take again from its record alone, and compare latents, frames and segments byte for byte.

        Raises UserError when the record does not suffice, and says why.
        """
        raise NotImplementedError

    def export(self, id: str, out: Path, *, force: bool = False) -> Path:
        """Write the recorded video of a take into one MP4 file. Raises UserError when it cannot be written."""
        raise NotImplementedError

    def delete(self, id: str) -> None:
        """Remove a take and all its files. Raises UserError while a process owns it."""
        raise NotImplementedError
