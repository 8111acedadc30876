"""What a worker tells of a take that it makes. Plain values: an event can travel between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from longtake.journal import SourceKind
from longtake.timeline import Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A take is open and durable; chunks follow."""

    take_id: str
    """A UUID in lower case."""
    init: bytes
    """`ftyp moov`."""
    model: str
    width: int
    height: int
    fps: int
    num_frames: int | None
    """Length that was asked for."""
    seed: int
    parent: str | None
    """Take that it branched from."""
    branched_at: float | None
    """Media second where it did."""
    prompt: str
    """What it began with."""
    prompts: tuple[tuple[float, str], ...]
    """What was to be seen until now, each with the media second of its first picture."""
    has_image: bool
    """Whether it begins with a picture that was given."""
    source: SourceKind | None
    """What it is made from, beside words."""
    course: int
    """How often it was rewound or cut."""
    media_time: float
    """Media second where the next chunk starts."""
    next_index: int
    """Number of the next chunk."""
    can_be_steered: bool
    unknown_words: tuple[str, ...]
    """Words of its prompts that the model does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A chunk is durable."""

    index: int
    """Number of the chunk in the journal."""
    chunk: int
    """Number of the chunk in its receipts."""
    media_time: float
    """Media second where it starts."""
    num_frames: int
    fps: int
    segment: bytes
    """`moof mdat`."""
    receipts: tuple[Receipt, ...]
    """Receipts that changed at it."""
    timings: Mapping[str, float]
    """Seconds by part."""
    took: float
    """Seconds from when it could have been begun until it was there, waiting for other takes included."""
    compute: float
    """Seconds of the machine that it cost."""
    ready_at: float
    """When it was there, on the monotonic clock."""
    drift: Mapping[str, float] | None
    """Figures against the beginning of the take; None while there are none."""
    source_frames: tuple[int, int] | None
    """The client's pictures in it: the first, and the one after the last."""
    late: float
    """Seconds that playback had to wait for it."""
    anchors: tuple[int, ...]
    """Pixel frames that the take held on to while it was made, where its model does that."""
    memory_bytes: int
    """What the take remembers of its past: the key-value cache, where the model has one."""

    @property
    def end(self) -> float:
        """Media second where it ends."""
        return self.media_time + self.num_frames / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewound:
    """The take goes on from an earlier moment; chunks told of before that come after it are dropped."""

    media_time: float
    """Where it goes on."""
    next_index: int
    """Number of the next chunk."""
    course: int
    """How often it was rewound or cut, this time included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The take is let go; nothing follows."""

    is_complete: bool
    """Whether it has come to its end; otherwise it can be resumed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The take broke and is let go; nothing follows."""

    code: str
    """`invalid_request`, `out_of_memory`, `not_finite`, `not_recorded` or `model_error`."""
    message: str
    """For the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A piece of something that is made of a take is done."""

    share: float
    """Of all of it."""


Event = Begun | Made | Rewound | Progressed | Ended | Failed
Listener = Callable[[Event], None]
"""Called from a thread of the worker, one at a time; returns at once."""
