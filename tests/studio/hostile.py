"""Files that nobody should send, made by code: each a name and its bytes."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import av
import numpy as np
from PIL import Image

Hostile = tuple[str, bytes]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes = b"", colour: int = 2) -> bytes:
    """A PNG whose head says what it likes."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(data, 9))
        + _chunk(b"IEND", b"")
    )


def image(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(target, kind)
    return target.getvalue()


@cache
def video(container: str = "mp4", codec: str = "libx264", frames: int = 8, rate: int = 8) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for index in range(frames):
            picture = np.full((32, 48, 3), index * 7 % 256, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return target.getvalue()


def _bombs() -> Iterator[Hostile]:
    for width, height in (
        (60000, 60000),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (2**31 - 1, 2**31 - 1),
        (0, 0),
        (0, 5),
    ):
        yield f"png that says {width}x{height}", png_of(width, height)
    yield "png bomb", png_of(30000, 30000, bytes(3 * 10**7))
    yield "png whose text is a bomb", _with_text(zlib.compress(bytes(10**7), 9))
    for side in (20000, 65535):
        yield f"bmp that says {side}", _bmp(side, side)
        yield f"gif that says {side}", _gif(side)
    yield "jpeg that says 65500x65500", _jpeg_of(65500)
    yield "video that is too long", video(frames=80)
    yield "avi with a codec that is not taken", video("avi", "ffv1")


def _with_text(packed: bytes) -> bytes:
    whole = png_of(8, 8, bytes(8 * 25))
    return whole[:33] + _chunk(b"zTXt", b"x\x00\x00" + packed) + whole[33:-40]


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def _gif(side: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", side, side)
        + b"\x00\x00\x00,\x00\x00\x00\x00"
        + struct.pack("<HH", side, side)
    )


def _jpeg_of(side: int) -> bytes:
    data = bytearray(image("JPEG"))
    place = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, place + 5, side, side)
    return bytes(data)


def _wrong_types() -> Iterator[Hostile]:
    texts = {
        "nothing": b"",
        "text": b"hello",
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
        "zip": b"PK\x03\x04" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "html": b"<script>alert(1)</script>",
        "pdf": b"%PDF-1.7\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd)(r) file\n",
        "tiff": b"II*\x00" + bytes(60),
        "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(60),
        "psd": b"8BPS\x00\x01" + bytes(60),
        "mp3": b"ID3\x03" + bytes(60),
        "matroska head alone": b"\x1aE\xdf\xa3" + bytes(60),
        "sdp": b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    }
    yield from texts.items()


def _playlists() -> Iterator[Hostile]:
    for address in (
        "http://127.0.0.1/x.ts",
        "file:///etc/passwd",
        "/etc/passwd",
        "concat:a|b",
        "data:,x",
        "../x",
    ):
        yield f"hls of {address}", f"#EXTM3U\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n".encode()
        yield f"concat of {address}", f"ffconcat version 1.0\nfile '{address}'\n".encode()
        yield f"dash of {address}", f'<?xml version="1.0"?><MPD><BaseURL>{address}</BaseURL></MPD>'.encode()
        yield f"mp4 that points to {address}", _pointing(address)


def _pointing(address: str) -> bytes:
    """A film whose data are said to lie elsewhere (`dref` with an address)."""
    whole = bytearray(video())
    place = whole.index(b"url ")
    entry = struct.pack(">I4sI", 12 + len(address) + 1, b"url ", 0) + address.encode() + b"\x00"
    whole[place - 4 : place + 8] = entry
    return bytes(whole)


def _damaged(count: int) -> Iterator[Hostile]:
    """Cut short, bits turned, and heads of one kind on bodies of another."""
    whole = {kind: image(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")}
    whole |= {"MP4": video(), "MATROSKA": video("matroska"), "AVI": video("avi", "mpeg4")}
    draw = random.Random(7)
    kinds = [*whole]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        data = whole[kind]
        if number % 3 == 0:
            yield f"{kind} cut short {number}", data[: draw.randrange(1, len(data))]
        elif number % 3 == 1:
            spoilt = bytearray(data)
            for _ in range(draw.randrange(1, 40)):
                spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            yield f"{kind} with other bytes {number}", bytes(spoilt)
        else:
            other = whole[draw.choice(kinds)]
            yield f"{kind} on another's body {number}", data[:16] + other[16:]


def hostile(damaged: int) -> list[Hostile]:
    """All of them, with so many damaged ones."""
    return [*_bombs(), *_wrong_types(), *_playlists(), *_damaged(damaged)]
