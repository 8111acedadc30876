"""The user's own certificate, and the one for development."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from longtake.errors import UserError
from longtake.provenance.credentials import PrivateKey, profile_fault, read
from longtake.provenance.development import development, make
from longtake.provenance.identity import given, identity, is_on
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim
from longtake.provenance.report import Trust
from longtake.provenance.sign import sign_file
from longtake.provenance.verify import verify
from tests.provenance.certificates import DAY, NOW, issue, new_key, write_chain, write_key
from tests.provenance.parts import Parts

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_algorithm_of_c2pa_signs_files_and_streams(
    film: Path, tmp_path: Path, unsigned: Parts, claim: Claim, algorithm: str
) -> None:
    key = KEYS[algorithm]()
    leaf, root = issue(key)
    chain = write_chain(tmp_path / "chain.pem", leaf, root)
    mine = read(chain, write_key(tmp_path / "key.pem", key))
    assert mine.algorithm == algorithm
    live = LiveSigner(unsigned.init, claim, mine)
    stream = tmp_path / "stream.mp4"
    stream.write_bytes(live.init + b"".join(map(live.sign, unsigned.segments)))
    sign_file(film, claim, mine)
    anchors = write_chain(tmp_path / "root.pem", root)
    for path in (film, stream):
        unknown, known = verify(path), verify(path, anchors=anchors)
        assert (unknown.problems, unknown.trust, unknown.signer) == ((), Trust.UNKNOWN, "Ada")
        assert (known.problems, known.trust) == ((), Trust.TRUSTED)
        assert known.lines()[1] == "signed by Ada (trusted)"


def test_a_root_of_others_makes_nobody_trusted(film: Path, tmp_path: Path, claim: Claim) -> None:
    key = new_key()
    leaf, root = issue(key)
    mine = read(write_chain(tmp_path / "c.pem", leaf, root), write_key(tmp_path / "k.pem", key))
    sign_file(film, claim, mine)
    other = write_chain(tmp_path / "other.pem", issue(new_key())[1])
    assert verify(film, anchors=other).trust is Trust.UNKNOWN


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"end": NOW - DAY}, "expired on 2026-10-31; give one that is valid"),
        ({"start": NOW + DAY}, "is not valid before 2026-11-02; give one that is valid"),
        ({"alone": True}, "signed by itself, which C2PA refuses"),
        ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "not for emailProtection or documentSigning"),
        ({"purposes": None}, "lacks the extension extendedKeyUsage"),
        ({"authority": False}, "lacks the extension authorityKeyIdentifier"),
        ({"sign": False}, "not for signatures"),
    ],
)
def test_a_certificate_that_c2pa_refuses_is_refused_in_plain_words(
    tmp_path: Path, wrong: dict, line: str
) -> None:
    key = new_key()
    chain = write_chain(tmp_path / "chain.pem", *issue(key, **wrong))
    with pytest.raises(UserError) as refused:
        read(chain, write_key(tmp_path / "key.pem", key), now=NOW)
    assert line in str(refused.value)
    assert str(chain) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_hold_no_certificate_or_no_key_are_refused(tmp_path: Path) -> None:
    key = new_key()
    chain, good = write_chain(tmp_path / "c.pem", *issue(key)), write_key(tmp_path / "k.pem", key)
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"\xff\xfe" * 50)
    half = tmp_path / "half.pem"
    half.write_bytes(chain.read_bytes()[:200])
    small = write_key(tmp_path / "small.pem", rsa.generate_private_key(65537, 1024))
    for given_chain, given_key, line in (
        (garbage, good, "garbage.pem holds no certificate"),
        (half, good, "half.pem holds no certificate"),
        (good, good, "k.pem holds no certificate"),
        (tmp_path / "none.pem", good, "none.pem cannot be read: No such file"),
        (chain, garbage, "garbage.pem is not a key that C2PA signs with"),
        (chain, chain, "c.pem is not a key that C2PA signs with"),
        (chain, small, "2048 bits or more"),
        (chain, tmp_path / "none.pem", "none.pem cannot be read: No such file"),
        (chain, write_key(tmp_path / "l.pem", key, passphrase=b"x"), "l.pem is locked by a passphrase"),
        (chain, write_key(tmp_path / "other.pem", new_key()), "other.pem is not the key of"),
    ):
        with pytest.raises(UserError, match=line):
            read(given_chain, given_key, now=NOW)


def test_the_development_certificate_is_made_once_and_its_owner_alone_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "provenance"
    first, second = development(folder), development(folder)
    assert first.chain == second.chain
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_development_certificate_meets_the_profile(tmp_path: Path) -> None:
    made = make(NOW)
    assert profile_fault(made.chain[0], NOW) == ""
    made.chain[0].verify_directly_issued_by(made.chain[1])
    assert not any("root" in line.decode() for line in made.key_pem.splitlines())


def test_of_many_that_make_one_together_the_first_wins(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: development(tmp_path), range(16)))
    assert len({each.chain[0].serial_number for each in made}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["development.pem"]


def test_an_expired_development_certificate_is_made_anew(tmp_path: Path) -> None:
    old = development(tmp_path, now=datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC))
    new = development(tmp_path, now=NOW)
    assert new.chain != old.chain
    assert new.chain[0].not_valid_after_utc > NOW
    assert development(tmp_path, now=NOW).chain == new.chain


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_damaged_development_certificate_is_not_replaced_in_silence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "development.pem").write_bytes(data)
    with pytest.raises(UserError, match=r"development\.pem is damaged; delete it"):
        development(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used: Not a directory"):
        development(tmp_path / "file" / "provenance")


def test_the_environment_decides_who_signs(tmp_path: Path) -> None:
    key = new_key()
    chain, secret = write_chain(tmp_path / "c.pem", *issue(key)), write_key(tmp_path / "k.pem", key)
    mine = {"LONGTAKE_C2PA_CERT": str(chain), "LONGTAKE_C2PA_KEY": str(secret)}
    assert identity(tmp_path / "home", mine).name == "Ada"
    assert not (tmp_path / "home").exists()
    assert identity(tmp_path / "home", {}).name == "longtake development certificate"
    assert given({}) is None
    for left_out in mine:
        with pytest.raises(UserError, match=f"{left_out} is not set"):
            given({name: value for name, value in mine.items() if name != left_out})


def test_the_switch_knows_two_words() -> None:
    assert is_on({})
    assert is_on({"LONGTAKE_PROVENANCE": "on"})
    assert not is_on({"LONGTAKE_PROVENANCE": "off"})
    with pytest.raises(UserError, match="LONGTAKE_PROVENANCE=0 says neither on nor off"):
        is_on({"LONGTAKE_PROVENANCE": "0"})


def test_an_expired_certificate_is_said_when_a_file_is_checked(
    film: Path, claim: Claim, unsigned: Parts, tmp_path: Path
) -> None:
    """Signed while it was valid, which nothing but a time stamp of others could prove."""
    old = make(datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC))
    live = LiveSigner(unsigned.init, claim, old)
    film.write_bytes(live.init + b"".join(map(live.sign, unsigned.segments)))
    report = verify(film)
    assert report.lines() == [
        f"{film}: the signer's certificate has expired, so its signature cannot be checked"
    ]
