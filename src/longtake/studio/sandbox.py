"""Runs the decoder process: with limits, a deadline, and nothing of this process's environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from longtake.studio.config import Limits
from longtake.studio.decoder import HEADER, PICTURE
from longtake.studio.errors import Reason, Refused
from longtake.studio.pictures import Picture

AT_ONCE = 2
"""Decoders that run at the same time."""
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
_FILE_BYTES = 2 * 2**30
_GRACE = 10.0  # seconds to start, beside the processor time


def _messages(limits: Limits) -> dict[str, tuple[Reason, str]]:
    return {
        "damaged": (Reason.INVALID, "the file is damaged, or not what it looks like; give a whole file"),
        "codec": (
            Reason.UNSUPPORTED,
            "the video's codec is not taken; use H.264, HEVC, VP8, VP9, AV1, MPEG-4 or MJPEG",
        ),
        "pixels": (
            Reason.TOO_LARGE,
            f"the picture is too large; the most is {limits.upload_pixels // 10**6} million pixels",
        ),
        "length": (
            Reason.TOO_LARGE,
            f"the video is too long; the most is {limits.upload_seconds:g} seconds and "
            f"{limits.upload_frames} frames",
        ),
        "too_much": (Reason.TOO_LARGE, "decoding the file takes too much time or memory; make it smaller"),
    }


class Sandbox:
    """Decodes files and pictures in processes of their own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages = _messages(limits)
        self._free = asyncio.Semaphore(AT_ONCE)

    async def decode(self, kind: str, source: Path, out: Path) -> dict[str, Any]:
        """Write a file anew; says what it is. Raises Refused for what will not do."""
        async with self._free:
            process = await self._start("file", kind, str(source), str(out))
            try:
                async with asyncio.timeout(self._limits.decode_seconds + _GRACE):
                    output, _ = await process.communicate()
            except TimeoutError:
                output = b""
            finally:
                await _end(process)
        try:
            answer: dict[str, Any] = json.loads(output)
        except ValueError:  # it was stopped by a limit, or crashed
            answer = {"refused": "too_much" if process.returncode and process.returncode < 0 else "damaged"}
        if "refused" in answer:
            self.refuse(answer["refused"])
        return answer

    def refuse(self, code: str) -> None:
        """Raises Refused with the words for a code of the decoder's."""
        reason, message = self._messages[code]
        raise Refused(reason, message)

    async def open_pictures(self, width: int, height: int) -> PictureDecoder:
        """A decoder for the pictures of one connection."""
        return PictureDecoder(await self._start("pictures", str(width), str(height)))

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        limits = self._limits
        bounds = {
            "pixels": limits.upload_pixels,
            "frames": limits.upload_frames,
            "seconds": limits.upload_seconds,
            "memory": limits.decode_bytes,
            "cpu": limits.decode_seconds if arguments[0] == "file" else round(limits.lifetime_seconds),
            "file": _FILE_BYTES,
        }
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "longtake.studio.decoder",
            *arguments,
            json.dumps(bounds),
            stdin=asyncio.subprocess.PIPE if arguments[0] == "pictures" else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            close_fds=True,
        )


class PictureDecoder:
    """Decodes one connection's pictures, one after the other, to one size."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def decode(self, data: bytes) -> Picture:
        """`uint8 [H, W, 3]`. Raises Refused for what is no picture, or when the decoder broke over it."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with asyncio.timeout(_GRACE):
                stdin.write(HEADER.pack(len(data)) + data)
                await stdin.drain()
                flag, width, height = PICTURE.unpack(await stdout.readexactly(PICTURE.size))
                pixels = await stdout.readexactly(3 * width * height)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            flag = 0
            await self.close()
        if not flag:
            raise Refused(Reason.INVALID, "that is no picture; send JPEG, PNG or WebP")
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    @property
    def is_open(self) -> bool:
        """Whether it can decode more."""
        return self._process.returncode is None

    async def close(self) -> None:
        """End the process."""
        await _end(self._process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
