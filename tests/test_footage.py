"""Pictures and video that a user gives: what is opened, what is refused before it is decoded."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from longtake import UserError, footage
from longtake.footage import VideoFile, cover, read_frames, read_image

RAMP = np.linspace(0, 255, 24 * 32 * 3).astype(np.uint8).reshape(24, 32, 3)


def write_video(path: Path, count: int, fps: int | Fraction = 8, size: tuple[int, int] = (32, 24)) -> Path:
    """Frame k is grey of level 8·k."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(count):
            picture = np.full((size[1], size[0], 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def levels(frames) -> list[int]:  # type: ignore[no-untyped-def]
    return [round(float(frame.mean()) / 8) for frame in frames]


def test_an_image_is_read_from_a_file_pil_or_an_array(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    given = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(RAMP), RAMP, RAMP / 255]
    assert all(np.array_equal(read_image(image), RAMP) for image in given)
    Image.fromarray(RAMP).convert("L").save(tmp_path / "grey.jpg")
    assert read_image(tmp_path / "grey.jpg").shape == RAMP.shape


def test_an_image_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.fromarray(RAMP).save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png").shape == (32, 24, 3)


def bomb(path: Path) -> Path:
    """A PNG of a few bytes whose head says 60000x60000."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"0")))
    return path


def test_a_picture_that_would_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"60000x60000|decompression bomb"):
        read_image(bomb(tmp_path / "bomb.png"))


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 200, 1000])
def test_a_damaged_image_is_refused(tmp_path: Path, cut: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, RAMP.shape, np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:cut])
    with pytest.raises(UserError, match=r"cut\.png cannot be read"):
        read_image(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("http://example.org/a.png", "nothing is fetched"),
        ("none.png", r"none\.png cannot be read: No such file"),
        (".", "is not a file"),
        ("a\0b.png", "cannot be read"),
        (np.zeros((4, 4), np.uint8), r"\[4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), "4x0 pixels"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.full((4, 4, 3), np.nan), "floats from 0 to 1"),
        (np.full((4, 4, 3), 255.0), "floats from 0 to 1"),
        (7, "type int"),
    ],
)
def test_what_is_no_image_is_refused(image: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_image(image)  # type: ignore[arg-type]


def test_cover_fills_the_size_and_cuts_evenly() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 10:30] = 255
    assert cover(wide, 20, 20).shape == (20, 20, 3)
    assert cover(wide, 10, 10).min() > 200
    assert cover(RAMP, 32, 24) is RAMP


def test_a_video_is_read_at_its_own_rate_frame_by_frame(tmp_path: Path) -> None:
    file = VideoFile.open(write_video(tmp_path / "a.mp4", 12))
    assert (file.width, file.height, file.fps) == (32, 24, 8)
    assert levels(file.frames(8)) == list(range(12))
    assert levels(file.frames(8, start=5)) == list(range(5, 12))


@pytest.mark.parametrize(
    ("rate", "wanted", "expected"),
    [
        (16, 8, [0, 2, 4, 6, 8, 10]),
        (4, 8, [k // 2 for k in range(24)]),
        (12, 8, [0, 1, 3, 4, 6, 7, 9, 10]),
        (Fraction(24000, 1001), 24, list(range(12))),
    ],
)
def test_a_video_is_brought_to_the_rate_of_the_model(tmp_path: Path, rate, wanted: int, expected) -> None:  # type: ignore[no-untyped-def]
    file = VideoFile.open(write_video(tmp_path / "a.mp4", 12, rate))
    found = levels(file.frames(wanted))
    assert found[: len(expected)] == expected
    assert len(found) - len(expected) in (0, 1)


def test_a_broken_video_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", 12).read_bytes()
    for name, data in {"cut": whole[:200], "empty": b"", "text": b"a red sphere" * 99}.items():
        (tmp_path / f"{name}.mp4").write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}\.mp4 cannot be read"):
            VideoFile.open(tmp_path / f"{name}.mp4")


def test_a_playlist_cannot_reach_other_files(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", 4)
    for text in ("#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile a.ts\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(UserError, match=r"list\.mp4 cannot be read"):
            VideoFile.open(tmp_path / "list.mp4")


@pytest.mark.parametrize("video", ["https://example.org/a.mp4", "rtsp://camera/1"])
def test_addresses_are_refused(video: str) -> None:
    with pytest.raises(UserError, match="nothing is fetched"):
        VideoFile.open(video)


def test_limits_hold_before_and_while_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    for name, value, message in (
        ("MAX_VIDEO_BYTES", 100, "the most is"),
        ("MAX_PIXELS", 700, "32x24 pixels"),
        ("MAX_VIDEO_FRAMES", 11, "12 frames"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(footage, name, value)
            with pytest.raises(UserError, match=message):
                VideoFile.open(path)
    file = VideoFile.open(path)
    monkeypatch.setattr(footage, "MAX_VIDEO_FRAMES", 20)
    with pytest.raises(UserError, match="goes on after 20 frames"):
        list(file.frames(80))


def test_live_frames_come_one_by_one_or_in_groups() -> None:
    group = np.stack([RAMP] * 3)
    frames = list(read_frames([RAMP, group, Image.fromarray(RAMP), RAMP / 255]))
    assert len(frames) == 6
    assert all(np.array_equal(frame, RAMP) for frame in frames)
    with pytest.raises(UserError, match="keep one"):
        list(read_frames([RAMP, RAMP[:8]]))
    with pytest.raises(UserError, match="type str"):
        list(read_frames(["a.png"]))  # type: ignore[list-item]
