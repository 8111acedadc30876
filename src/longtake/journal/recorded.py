"""A take that writes everything down: what it yields is on disk already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from longtake.chunk import Chunk
from longtake.timeline import Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A chunk that is durable."""

    chunk: Chunk
    """The chunk, as the take made it."""
    segment: bytes
    """`moof mdat`: its frames as they lie in the take's media and in its file."""
    index: int
    """Number of the chunk in the record, from 0 without gaps (`chunk.index` may skip some)."""

    @property
    def start_time(self) -> float:
        """Media seconds of its first frame."""
        return self.chunk.start_time


class RecordedTake:
    """A take and its journal; owned by this process until `close`. Made by `Library`.

    Iterate it in one thread; `steer`, `pause`, `resume` and `rewind` are safe from any other.
    """

    id: str
    """A UUID in lower case."""
    init_segment: bytes
    """`ftyp moov`: what a player needs before the first segment."""
    notes: tuple[str, ...]
    """What was found when the take was opened: damage that was cut, another build. Empty for a new one."""

    def __iter__(self) -> Iterator[Recorded]:
        return self

    def __next__(self) -> Recorded:
        """The next chunk, once it is durable. Raises UserError where it cannot be written down (disk full).

        What is committed stays then, and the next call tries again.
        """
        raise NotImplementedError

    def steer(self, prompt: str, *, transition: float = 0.0) -> Receipt:
        """Change the prompt from the next chunk on. When this returns, the direction survives a kill.

        Raises UserError for an empty prompt, and for a method that cannot be steered.
        """
        raise NotImplementedError

    def pause(self) -> None:
        """Hold before the next chunk: `next()` waits until `resume()`."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on after `pause`."""
        raise NotImplementedError

    def rewind(self, seconds: float, prompt: str | None = None, *, transition: float = 0.0) -> float:
        """Go on from an earlier moment, under another prompt where one is given; returns the media second it is.

        That is the end of the last chunk that ends at or before `seconds`. What came after is dropped from the take
        (its rows and files stay until retention takes them). Waits for the chunk that is being made.

        Raises UserError when that moment is not kept any more, or the method cannot be steered.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let the take go: it can be resumed, here or in another process."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
