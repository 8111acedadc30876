"""Whatever is done to a signed video is reported; at the right segment, where it is a stream."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtake import boxes
from longtake.errors import UserError
from longtake.provenance.credentials import Credentials
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim
from longtake.provenance.sign import sign_file
from longtake.provenance.verify import verify
from tests.provenance.parts import Parts, cut, flipped
from tests.provenance.receiver import receiver

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tampered") / "film.mp4"


@pytest.fixture(scope="module")
def signed(path: Path, film_bytes: bytes, claim: Claim, signer: Credentials) -> bytes:
    """The film, signed as a whole."""
    path.write_bytes(film_bytes)
    sign_file(path, claim, signer)
    return path.read_bytes()


def problem(path: Path, data: bytes) -> str:
    """The line that `longtake provenance` prints about these bytes; empty when they are as they were signed."""
    path.write_bytes(data)
    try:
        report = verify(path)
    except UserError as error:
        return str(error)
    assert report.valid or len(report.lines()) == 1
    return "" if report.valid else report.lines()[0]


def test_both_are_valid_before_they_are_changed(path: Path, signed: bytes, stream: Parts) -> None:
    assert problem(path, signed) == ""
    assert problem(path, stream.film()) == ""


@MANY
@given(data=st.data())
def test_a_flipped_bit_of_a_file_is_reported(data: st.DataObject, path: Path, signed: bytes) -> None:
    where = data.draw(st.integers(0, len(signed) - 1)), data.draw(st.integers(0, 7))
    assert problem(path, flipped(signed, *where)), f"position and bit {where} of {len(signed)} bytes"


@MANY
@given(data=st.data())
def test_a_flipped_bit_in_the_head_of_a_stream_is_reported(
    data: st.DataObject, path: Path, stream: Parts
) -> None:
    where = data.draw(st.integers(0, len(stream.init) - 1)), data.draw(st.integers(0, 7))
    assert problem(path, flipped(stream.film([0]), *where)), f"position and bit {where}"


def test_every_flipped_byte_of_a_segment_is_reported_there(stream: Parts) -> None:
    """Every byte of `emsg` and `moof`, and some of `mdat`, each bit of a byte in turn."""
    first, good, third, *_ = stream.segments
    pictures = next(box.body for box in boxes.boxes(good) if box.kind == b"mdat")
    verifier = receiver(stream.init)
    assert not verifier.check(first)
    for position in [*range(pictures), *range(pictures, len(good), 41)]:
        found = verifier.check(flipped(good, position, position % 8))
        assert [each.segment for each in found] == [2], f"byte {position} of {len(good)}"
        verifier.last = 1
    assert verifier.check(flipped(good, len(good) - 1))
    assert not verifier.check(third), "the next one is judged by itself"


@pytest.mark.parametrize("kind", [b"ftyp", b"uuid", b"moov", b"moof", b"mdat"])
def test_every_box_of_a_file_counts(path: Path, signed: bytes, kind: bytes) -> None:
    box = next(box for box in boxes.boxes(signed) if box.kind == kind)
    for position in (box.start + 3, box.body, (box.body + box.end) // 2, box.end - 1):
        assert problem(path, flipped(signed, position)), f"{kind!r} at {position - box.start}"


def test_bits_that_mean_nothing_count_too(path: Path, signed: bytes, stream: Parts) -> None:
    """Bytes of the manifest's frame, which the library goes over: versions, toggles, padding, the Merkle offset."""
    for film in (signed, stream.film()):
        start = film.index(b"uuid") - 4
        label = film.index(b"c2pa.hash.bmff.v3\0", film.index(b"c2pa.assertions\0"))
        places = [
            film.index(b"ftyp") + 8,
            start + 24,
            start + 37,
            label - 1,
            film.index(b"c2pa.claim.v2\0") - 2,
        ]
        for place in places:
            assert problem(path, flipped(film, place, 7)), f"byte {place - start} of the box"
    padding = signed.rindex(b"cpad", 0, signed.index(b"moov"))
    for place in (padding + 3, signed.index(b"moov") - 5):  # its name, and what fills it
        assert problem(path, flipped(signed, place)), f"byte {place - padding} of the padding"


def test_a_dropped_segment_is_named(path: Path, stream: Parts) -> None:
    assert problem(path, stream.film([0, 1, 3, 4])) == f"{path}: segment 3 is missing"
    assert problem(path, stream.film([0, 4])) == f"{path}: segments 2 to 4 are missing"
    assert problem(path, stream.film([2, 3, 4])) == f"{path}: segments 1 to 2 are missing"


def test_segments_in_another_order_are_named(path: Path, stream: Parts) -> None:
    path.write_bytes(stream.film([0, 2, 1, 3, 4]))
    missing, late = verify(path).problems
    assert (missing.segment, missing.what) == (3, "segment 2 is missing")
    assert (late.segment, late.what) == (2, "segment 2 came again, or after a later one")
    assert "came again" in problem(path, stream.film([0, 1, 1, 2, 3, 4]))


def test_dropped_and_moved_segments_of_a_file_are_reported(path: Path, signed: bytes) -> None:
    parts = cut(signed)
    for order in ([0, 1, 2, 3], [1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 0, 1, 2, 3, 4]):
        assert problem(path, parts.film(order)) == f"{path}: it was changed after it was signed", order


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_reported(path: Path, signed: bytes, stream: Parts, share: float) -> None:
    assert problem(path, signed[: int(len(signed) * share)])
    assert problem(path, stream.film()[: int(len(stream.film()) * share)])


def test_bytes_after_the_end_are_reported(path: Path, signed: bytes, stream: Parts) -> None:
    for extra in (b"\0", b"\0\0\0\x09mdat!", cut(signed).segments[0]):
        assert problem(path, signed + extra), extra[:20]
        assert problem(path, stream.film() + extra), extra[:20]


def test_a_segment_that_is_not_whole_is_reported(stream: Parts) -> None:
    first, *_ = stream.segments
    for segment in (b"", first[:-1], first[:100], first + b"\0", first + b"\0\0\0\x09mdat"):
        (found,) = receiver(stream.init).check(segment)
        assert found.what == "segment 1 is not whole", len(segment) - len(first)


def test_a_second_signature_is_reported(stream: Parts) -> None:
    first, *_ = stream.segments
    event = first[: next(boxes.boxes(first)).end]
    (found,) = receiver(stream.init).check(event + first)
    assert found.what == "segment 1 has more than one signature"


def test_a_damaged_signature_is_said_in_plain_words(stream: Parts) -> None:
    first, *_ = stream.segments
    tag = first.index(b"\xd2\x84")  # COSE_Sign1
    (found,) = receiver(stream.init).check(flipped(first, tag))
    assert found.what == "segment 1 has a damaged signature"


def test_a_segment_of_another_take_is_reported(
    path: Path, unsigned: Parts, stream: Parts, claim: Claim, signer: Credentials
) -> None:
    """By the same signer, with the same pictures and the same number."""
    other = LiveSigner(unsigned.init, claim, signer)
    _, second, *_ = map(other.sign, unsigned.segments)
    spliced = [stream.segments[0], second, *stream.segments[2:]]
    assert problem(path, stream.init + b"".join(spliced)) == (
        f"{path}: segment 2 is signed by a key that is not of this stream"
    )
    assert problem(path, other.init + b"".join(stream.segments)).endswith(", and 4 more")


def test_a_key_that_signs_two_streams_does_not_mix_them(
    path: Path, unsigned: Parts, claim: Claim, signer: Credentials
) -> None:
    key = Ed25519PrivateKey.generate()
    one, other = (LiveSigner(unsigned.init, claim, signer, key=key) for _ in range(2))
    segments = [one.sign(unsigned.segments[0]), other.sign(unsigned.segments[1])]
    assert problem(path, one.init + b"".join(segments)) == f"{path}: segment 2 belongs to another stream"


def test_the_signature_of_one_segment_does_not_fit_another(path: Path, stream: Parts) -> None:
    first, second = (segment[: next(boxes.boxes(segment)).end] for segment in stream.segments[:2])
    moved = first + stream.segments[1][len(second) :]
    spliced = [stream.segments[0], moved, *stream.segments[2:]]
    assert problem(path, stream.init + b"".join(spliced)).startswith(f"{path}: segment 2 was changed")


def test_a_renumbered_segment_is_reported(path: Path, unsigned: Parts, stream: Parts) -> None:
    """A copy of an earlier one with the number of the next, as somebody would loop a stream."""
    event = next(boxes.boxes(stream.segments[0])).end
    copy = boxes.place(unsigned.segments[0], sequence=2, decode_time=0)
    spliced = [stream.segments[0], stream.segments[0][:event] + copy, *stream.segments[2:]]
    assert problem(path, stream.init + b"".join(spliced)).startswith(f"{path}: segment 2 was changed")


def test_an_unsigned_segment_is_reported(path: Path, unsigned: Parts, stream: Parts) -> None:
    spliced = [*stream.segments[:3], unsigned.segments[3], stream.segments[4]]
    assert problem(path, stream.init + b"".join(spliced)) == f"{path}: segment 4 has no signature"


def test_a_removed_manifest_is_not_mistaken_for_a_valid_one(
    path: Path, unsigned: Parts, stream: Parts, film_bytes: bytes
) -> None:
    for data in (film_bytes, unsigned.init + b"".join(stream.segments)):
        path.write_bytes(data)
        report = verify(path)
        assert (report.valid, report.kind) == (False, "none")
        assert report.lines() == [f"{path}: it is not signed, or its manifest was removed"]


def test_a_stream_in_the_head_of_a_file_is_reported(path: Path, signed: bytes, stream: Parts) -> None:
    """Two manifests, of which a reader may take either."""
    assert "more than one manifest" in problem(path, stream.init + signed)


def test_a_late_viewer_may_join_anywhere(stream: Parts) -> None:
    verifier = receiver(stream.init, late=True)
    assert [verifier.check(segment) for segment in stream.segments[2:]] == [[], [], []]
    assert verifier.check(stream.segments[2])[0].what == "segment 3 came again, or after a later one"
