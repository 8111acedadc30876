"""The growing video file: right, readable at every moment, and continued after any cut."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from longtake import boxes
from longtake.errors import UserError
from longtake.media import FragmentedMp4Writer, VideoFormat, encode_fragment, read_video

FORM = VideoFormat(width=32, height=48, fps=8)
SIZES = (9, 12, 1, 12, 3)  # frames of each chunk


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A moving gradient, [37, 48, 32, 3]."""
    t, y, x = np.ogrid[: sum(SIZES), :48, :32]
    planes = [(5 * x + 3 * t) % 256, (4 * y + 2 * t) % 256, (2 * x + 2 * y + t) % 256]
    return np.stack(np.broadcast_arrays(*planes), axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def chunks(frames: np.ndarray) -> list[np.ndarray]:
    return np.split(frames, np.cumsum(SIZES)[:-1])


@pytest.fixture
def film(tmp_path: Path, chunks: list[np.ndarray]) -> Path:
    """A finished file of all the chunks."""
    with FragmentedMp4Writer(tmp_path / "film.mp4", FORM) as writer:
        for chunk in chunks:
            writer.write(chunk)
    return tmp_path / "film.mp4"


def ends(data: bytes) -> list[int]:
    """Offsets after the head and after each fragment."""
    return [box.end for box in boxes.boxes(data) if box.kind in (b"moov", b"mdat")]


@pytest.mark.parametrize("fps", [8, 16, Fraction(30000, 1001)])
def test_frame_count_rate_and_duration_are_exact(
    tmp_path: Path, chunks: list[np.ndarray], fps: Fraction
) -> None:
    form = VideoFormat(width=32, height=48, fps=fps)
    with FragmentedMp4Writer(tmp_path / "film.mp4", form) as writer:
        for chunk in chunks:
            writer.write(chunk)
        assert (writer.chunks, writer.frames) == (len(SIZES), sum(SIZES))
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.width, stream.codec_context.height) == (32, 48)
        assert stream.average_rate == fps
        assert stream.duration * stream.time_base == sum(SIZES) / Fraction(fps)
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
    assert [packet.pts * packet.time_base * fps for packet in packets] == list(range(sum(SIZES)))
    assert all(packet.dts == packet.pts for packet in packets), "no frame may wait for a later one"
    starts = {0, *np.cumsum(SIZES)[:-1].tolist()}
    assert {index for index, packet in enumerate(packets) if packet.is_keyframe} == starts


def test_the_pictures_come_back(film: Path, frames: np.ndarray) -> None:
    back, fps = read_video(film)
    assert fps == 8
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 6


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (200, 30, 40)])
def test_a_flat_colour_keeps_its_value(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    with FragmentedMp4Writer(tmp_path / "flat.mp4", FORM) as writer:
        writer.write(np.full((2, 48, 32, 3), colour, np.uint8))
    assert np.abs(read_video(tmp_path / "flat.mp4")[0].astype(int) - colour).max() <= 3


def test_a_larger_format_enlarges_the_picture(tmp_path: Path, frames: np.ndarray) -> None:
    with FragmentedMp4Writer(tmp_path / "film.mp4", VideoFormat(width=96, height=144, fps=8)) as writer:
        writer.write(frames[:4])
    back, _ = read_video(tmp_path / "film.mp4")
    assert back.shape == (4, 144, 96, 3)
    assert np.abs(back[:, 1::3, 1::3].astype(int) - frames[:4]).mean() < 8


def test_every_prefix_that_ends_with_a_fragment_plays(film: Path) -> None:
    data = film.read_bytes()
    for count, end in enumerate(ends(data)[1:], start=1):
        with av.open(io.BytesIO(data[:end])) as container:
            assert sum(1 for _ in container.decode(video=0)) == sum(SIZES[:count])


def test_the_file_plays_while_it_grows(tmp_path: Path, chunks: list[np.ndarray]) -> None:
    path = tmp_path / "film.mp4"
    with FragmentedMp4Writer(path, FORM) as writer:
        assert not path.exists(), "a file without a picture does not play"
        for count, chunk in enumerate(chunks, start=1):
            writer.write(chunk)
            assert len(read_video(path)[0]) == sum(SIZES[:count])


def test_same_frames_same_bytes(film: Path, chunks: list[np.ndarray], tmp_path: Path) -> None:
    with FragmentedMp4Writer(tmp_path / "again.mp4", FORM) as writer:
        for chunk in chunks:
            writer.write(chunk)
    assert (tmp_path / "again.mp4").read_bytes() == film.read_bytes()


def test_a_chunk_depends_on_nothing_before_it_but_its_place(film: Path, chunks: list[np.ndarray]) -> None:
    data = film.read_bytes()
    cuts = ends(data)
    ticks = 0
    for index, chunk in enumerate(chunks):
        init, alone = encode_fragment(chunk, FORM, sequence=index + 1, decode_time=ticks)
        assert init == data[: cuts[0]], "the head must be the same for every chunk"
        assert alone == data[cuts[index] : cuts[index + 1]]
        ticks += len(chunk) * 2048  # the muxer's ticks a frame at 8 fps


@pytest.mark.parametrize("inside", [0.0, 0.01, 0.3, 0.9999])
@pytest.mark.parametrize("whole", range(len(SIZES)))
def test_a_file_cut_anywhere_continues_to_the_same_bytes(
    film: Path, chunks: list[np.ndarray], whole: int, inside: float
) -> None:
    data = film.read_bytes()
    cuts = ends(data)
    film.write_bytes(data[: cuts[whole] + int(inside * (cuts[whole + 1] - cuts[whole]))])
    with FragmentedMp4Writer.resume(film, FORM) as writer:
        assert (writer.chunks, writer.frames) == (whole, sum(SIZES[:whole]))
        for chunk in chunks[whole:]:
            writer.write(chunk)
    assert film.read_bytes() == data


@pytest.mark.parametrize("kept", [0, 5, 100])
def test_a_file_cut_in_its_head_continues_from_nothing(
    film: Path, chunks: list[np.ndarray], kept: int
) -> None:
    data = film.read_bytes()
    film.write_bytes(data[:kept])
    with FragmentedMp4Writer.resume(film, FORM) as writer:
        for chunk in chunks:
            writer.write(chunk)
    assert film.read_bytes() == data


def test_only_a_file_of_the_same_format_is_continued(film: Path, tmp_path: Path) -> None:
    data = film.read_bytes()
    with pytest.raises(UserError, match="not a longtake video of 32x48 at 16 fps"):
        FragmentedMp4Writer.resume(film, VideoFormat(width=32, height=48, fps=16))
    assert film.read_bytes() == data
    with pytest.raises(UserError, match="cannot be continued: No such file"):
        FragmentedMp4Writer.resume(tmp_path / "none.mp4", FORM)


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path, chunks: list[np.ndarray]) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError), FragmentedMp4Writer(path, FORM) as writer:
        writer.write(chunks[0])
    assert path.read_bytes() == b"mine"
    with FragmentedMp4Writer(path, FORM, overwrite=True) as writer:
        assert path.read_bytes() == b"mine", "not before there is something to put there"
        writer.write(chunks[0])
    assert len(read_video(path)[0]) == SIZES[0]


def test_an_interrupt_while_writing_leaves_whole_chunks(
    tmp_path: Path, chunks: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    with FragmentedMp4Writer(path, FORM) as writer:
        writer.write(chunks[0])

        class Interrupted(io.FileIO):
            def write(self, data) -> int:
                if self.tell() > whole:
                    raise KeyboardInterrupt
                return super().write(data[:100])

        whole = path.stat().st_size
        writer._file.close()
        writer._file = Interrupted(path, "rb+")
        writer._file.seek(whole)
        with pytest.raises(KeyboardInterrupt):
            writer.write(chunks[1])
    assert path.stat().st_size == whole
    assert len(read_video(path)[0]) == SIZES[0]


FILL_THE_DISK = """
import resource, sys
import numpy as np
from longtake.media import FragmentedMp4Writer, VideoFormat
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = np.random.default_rng(0)
with FragmentedMp4Writer(sys.argv[1], VideoFormat(width=32, height=48, fps=8)) as writer:
    while True:
        writer.write(noise.integers(0, 256, (4, 48, 32, 3), dtype=np.uint8))
"""


@pytest.mark.parametrize("limit", [30_000, 1_000])
def test_a_full_disk_leaves_whole_chunks_or_nothing(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "film.mp4"
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(path), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError: [Errno 27]" in done.stderr
    if limit < 2_000:
        assert not path.exists()
    else:
        assert path.stat().st_size == ends(path.read_bytes())[-1]
        frames, _ = read_video(path)
        assert len(frames) >= 4
        assert len(frames) % 4 == 0


def test_a_full_device_is_an_os_error(chunks: list[np.ndarray]) -> None:
    with (
        pytest.raises(OSError, match="No space left"),
        FragmentedMp4Writer("/dev/full", FORM, overwrite=True) as w,
    ):
        w.write(chunks[0])


@pytest.mark.parametrize(("width", "height"), [(33, 48), (32, 47), (0, 48), (32, -2), (32, 100_000)])
def test_a_size_that_does_not_fit_is_refused(width: int, height: int) -> None:
    with pytest.raises(UserError, match="even number from 2 to 4096"):
        VideoFormat(width=width, height=height, fps=8)


@pytest.mark.parametrize("fps", [0, -8])
def test_a_frame_rate_must_be_above_0(fps: int) -> None:
    with pytest.raises(UserError, match="number above 0"):
        VideoFormat(width=32, height=48, fps=fps)


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    for name, problem in (
        ("text.mp4", "cannot be read as video"),
        ("none.mp4", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(UserError, match=problem):
            read_video(tmp_path / name)
