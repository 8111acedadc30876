"""What a take is, said once when it is created: the plain values from which it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from longtake.errors import UserError
from longtake.media import VideoFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """The file of a source video."""

    path: str
    """Where it lies."""
    size: int
    """Its bytes."""
    changed: int
    """When it was written, in nanoseconds since 1970."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """A file as it is now."""
        state = path.stat()
        return cls(path=str(path.absolute()), size=state.st_size, changed=state.st_mtime_ns)

    def check(self) -> None:
        """Refuse a file that is gone, or another one (UserError)."""
        try:
            now = SourceFile.of(Path(self.path))
        except OSError as reason:
            raise UserError(
                f"the source video {self.path} cannot be read: {reason.strerror}; put it back"
            ) from None
        if now != self:
            raise UserError(f"the source video {self.path} has changed since the take began; put it back")


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """See the module's text."""

    id: str
    """A UUID in lower case."""
    created: float
    """Seconds since 1970."""
    model: str
    """Name of the model."""
    kind: str
    """`Kind` of its method."""
    loading: Mapping[str, Any]
    """How to open the model again."""
    seed: int
    """Decides every random number."""
    settings: Mapping[str, Any]
    """The user's `Settings`."""
    lengths: tuple[tuple[int, int | None], ...]
    """From which chunk on the take is to have how many frames (None: no end); a branch may have another length."""
    form: tuple[int, int, int, int]
    """Width, height and rate (numerator, denominator) of the video."""
    fps: int
    """Frames a second of the take."""
    strength: float | None
    """How much of a source is replaced."""
    has_image: bool
    """Whether it begins with a picture."""
    has_source: bool
    """Whether it is made from a video."""
    clip_frames: int
    """Pictures of the clip that it goes on from; 0 when there is none."""
    source: SourceFile | None
    """The file of the source; None for a live one."""
    out: str | None
    """The file that is written beside the journal."""
    parent: str | None
    """The take that it branched from."""
    branched_at: float | None
    """Media seconds at which it left its parent."""
    fingerprint: Mapping[str, Any]
    """The build that began it."""

    @property
    def num_frames(self) -> int | None:
        """Length that was asked for."""
        return self.lengths[-1][1]

    def length_at(self, number: int) -> int | None:
        """Length that is in force while chunk `number` is made."""
        return [length for first, length in self.lengths if first <= number][-1]

    @property
    def video(self) -> VideoFormat:
        """Size and rate of the video."""
        width, height, top, bottom = self.form
        return VideoFormat(width=width, height=height, fps=Fraction(top, bottom))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` was made of."""
        source = values["source"]
        lengths = tuple((first, length) for first, length in values["lengths"])
        return cls(
            **{
                "clip_frames": 0,  # of records from before there were clips
                **values,
                "form": tuple(values["form"]),
                "lengths": lengths,
                "source": SourceFile(**source) if source else None,
            }
        )
