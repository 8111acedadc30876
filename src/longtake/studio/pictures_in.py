"""From a connection's binary messages to the pictures of its take."""

from __future__ import annotations

from longtake.studio.config import Limits
from longtake.studio.errors import Reason, Refused
from longtake.studio.sandbox import PictureDecoder, Sandbox
from longtake.studio.screening import Screening


class PicturesIn:
    """Decodes pictures apart, at the take's size; the decoder starts with the first."""

    def __init__(
        self, sandbox: Sandbox, screening: Screening, width: int, height: int, limits: Limits
    ) -> None:
        self._sandbox, self._screening, self._limits = sandbox, screening, limits
        self._size = width, height
        self._decoder: PictureDecoder | None = None

    async def take(self, data: bytes) -> None:
        """One picture. Raises Refused for one that will not do; the next is taken all the same."""
        if len(data) > self._limits.picture_bytes:
            raise Refused(
                Reason.TOO_LARGE,
                f"the picture has more than {self._limits.picture_bytes // 1024} KiB; send smaller",
            )
        if self._decoder is None or not self._decoder.is_open:
            self._decoder = await self._sandbox.open_pictures(*self._size)
        picture = await self._decoder.decode(data)
        assert self._screening.pictures is not None
        self._screening.pictures.add(picture)
        self._screening.picture_came()

    async def close(self) -> None:
        """End the decoder."""
        if self._decoder is not None:
            await self._decoder.close()
