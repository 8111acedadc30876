"""Signing a finished file, and reading what was signed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtake.errors import UserError
from longtake.provenance.credentials import Credentials
from longtake.provenance.manifest import Claim, Relationship, Source, read_take
from longtake.provenance.report import Trust
from longtake.provenance.sign import sign_file
from longtake.provenance.verify import verify
from tests.provenance.parts import cut, pictures


def test_a_signed_file_is_valid_and_says_what_it_is(film: Path, claim: Claim, signer: Credentials) -> None:
    before = film.stat().st_size
    signed = sign_file(film, claim, signer)
    assert film.stat().st_size == before + signed.bytes_added
    assert 1_000 < signed.bytes_added < 6_000
    report = verify(film)
    assert report.valid
    assert report.problems == ()
    assert (report.kind, report.trust, report.segments) == ("file", Trust.DEVELOPMENT, None)
    assert report.generator.startswith("longtake ")
    assert report.signer == "longtake development certificate"
    assert report.take == {
        "model": "mini",
        "seed": 7,
        "prompts": [{"at": 0.0, "prompt": "a red sphere"}, {"at": 2.5, "prompt": "a blue cube"}],
    }
    assert report.lines()[0] == f"{film}: as it was signed"
    assert "not who made it" in report.lines()[1]
    assert '"a blue cube" from 2.5 s' in report.lines()


def test_pictures_and_segments_are_as_before(
    film: Path, film_bytes: bytes, claim: Claim, signer: Credentials
) -> None:
    before = pictures(film)
    sign_file(film, claim, signer)
    assert np.array_equal(pictures(film), before)
    assert cut(film.read_bytes()).segments == cut(film_bytes).segments


def test_prompts_and_names_are_left_out_when_private(
    film: Path, film_bytes: bytes, tmp_path: Path, signer: Credentials
) -> None:
    source = tmp_path / "grandmother.mp4"
    source.write_bytes(film_bytes)
    sign_file(source, Claim(model="mini", prompts=((0.0, "a secret prompt"),)), signer)
    claim = Claim(
        model="mini",
        prompts=((0.0, "another secret"),),
        source=Source(path=source, relationship=Relationship.PARENT),
        private=True,
    )
    sign_file(film, claim, signer)
    report = verify(film)
    assert report.valid
    assert report.take == {"model": "mini"}
    assert report.made_from == ("source",)
    data = film.read_bytes()
    assert not any(word in data for word in (b"secret", b"grandmother"))


@pytest.mark.parametrize("name", ["start.png", "start.bmp", "broken.jpg", "unheard.of", "gone.png"])
def test_a_picture_that_was_given_is_an_ingredient(
    film: Path, tmp_path: Path, signer: Credentials, name: str
) -> None:
    path = tmp_path / name
    if name.startswith("start"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    elif name != "gone.png":
        path.write_bytes(b"no picture at all")
    source = Source(path=path, relationship=Relationship.INPUT)
    sign_file(film, Claim(model="mini", source=source), signer)
    report = verify(film)
    assert report.problems == ()
    assert report.made_from == (name,)


def test_a_video_made_anew_carries_the_manifest_of_its_source(
    film: Path, film_bytes: bytes, tmp_path: Path, claim: Claim, signer: Credentials
) -> None:
    path = tmp_path / "source.mp4"
    path.write_bytes(film_bytes)
    sign_file(path, claim, signer)
    source = Source(path=path, relationship=Relationship.PARENT)
    sign_file(film, Claim(model="mini", source=source), signer)
    report = verify(film)
    assert report.problems == ()
    assert report.made_from == ("source.mp4",)
    assert b"a red sphere" in film.read_bytes()


def test_what_a_file_says_of_itself_cannot_add_lines(film: Path, signer: Credentials) -> None:
    claim = Claim(model="mini\x1b[2J", prompts=((0.0, "a\nfilm.mp4: trusted\r\x07"),))
    sign_file(film, claim, signer)
    lines = verify(film).lines()
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert verify(film).take["prompts"][0]["prompt"] == "a\nfilm.mp4: trusted\r\x07", (
        "the report has it as it is"
    )


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        [],
        {},
        {"model": b"\0", "seed": "x", "prompts": 3},
        {"prompts": [1, {"at": "x"}, {"prompt": "x"}]},
    ],
)
def test_an_assertion_of_ours_by_others_is_read_with_care(said: object) -> None:
    assert read_take(said) in ({}, {"prompts": []})


def test_mode_and_link_are_kept(film: Path, tmp_path: Path, claim: Claim, signer: Credentials) -> None:
    film.chmod(0o640)
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    sign_file(link, claim, signer)
    assert link.is_symlink()
    assert film.stat().st_mode & 0o777 == 0o640
    assert verify(film).valid


def test_signing_again_signs_what_is_there(film: Path, claim: Claim, signer: Credentials) -> None:
    sign_file(film, claim, signer)
    sign_file(film, Claim(model="other"), signer)
    report = verify(film)
    assert report.valid
    assert report.take["model"] == "other"


@pytest.mark.parametrize("data", [b"", b"not a video", b"\0\0\0\x10ftypisom\0\0\0\0"])
def test_what_is_no_video_stays_as_it_is(
    tmp_path: Path, claim: Claim, signer: Credentials, data: bytes
) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"text\.mp4"):
        sign_file(path, claim, signer)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"


def test_what_is_not_there_or_no_file_is_refused(tmp_path: Path, claim: Claim, signer: Credentials) -> None:
    with pytest.raises(UserError, match="No such file"):
        sign_file(tmp_path / "none.mp4", claim, signer)
    with pytest.raises(UserError, match="not a file that can be replaced"):
        sign_file(Path("/dev/null"), claim, signer)


def test_a_failing_disk_leaves_the_video_as_it_was(
    film: Path, film_bytes: bytes, claim: Claim, signer: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; the video is as it was"):
        sign_file(film, claim, signer)
    assert film.read_bytes() == film_bytes
    assert list(film.parent.iterdir()) == [film]


KILLED = """
import os, sys
from pathlib import Path
from longtake.provenance import sign
from longtake.provenance.development import development
from longtake.provenance.manifest import Claim

def die(*_):
    os._exit(9)

setattr(os, sys.argv[2], die)
sign.sign_file(Path(sys.argv[1]), Claim(model="mini"), development(Path(sys.argv[1]).parent / "home"))
"""


def test_a_killed_signing_leaves_the_unsigned_video(film: Path, film_bytes: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(film), "replace"], check=False)
    assert done.returncode == 9
    assert film.read_bytes() == film_bytes
