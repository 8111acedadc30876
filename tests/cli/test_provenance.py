"""`longtake provenance`, and the signature that `generate` leaves in its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import longtake
from longtake.media import FragmentedMp4Writer, VideoFormat
from tests.provenance.certificates import DAY, NOW, issue, new_key, write_chain, write_key

PROMPT = "a red sphere rolls"
FILM = ("generate", PROMPT, "--frames", 9, "--seed", 7, "--quiet")


def segments(path: Path | str) -> bytes:
    data = Path(path).read_bytes()
    return data[data.index(b"moof") - 4 :]


def test_what_generate_writes_is_signed(run, tiny: Path) -> None:
    made = json.loads(run(*FILM, "--model", tiny, "--json").stdout)
    assert made["signed_by"] == "longtake development certificate"
    outcome = run("provenance", "take.mp4")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        "take.mp4: as it was signed",
        "signed by longtake development certificate (development certificate: anyone can make one, "
        "so it shows that nothing was changed, not who made it)",
        f"made by longtake {longtake.__version__} with tiny, seed 7",
        f'"{PROMPT}" from 0 s',
    ]
    report = json.loads(run("provenance", "take.mp4", "--json").stdout)
    assert (report["valid"], report["trust"], report["problems"]) == (True, "development certificate", [])
    assert report["take"] == {"model": "tiny", "seed": 7, "prompts": [{"at": 0.0, "prompt": PROMPT}]}


def test_a_signature_changes_nothing_but_the_head(run, tiny: Path) -> None:
    run(*FILM, "--model", tiny)
    plain = json.loads(run(*FILM, "--model", tiny, "--no-provenance", "--out", "plain.mp4", "--json").stdout)
    assert plain["signed_by"] is None
    assert segments("take.mp4") == segments("plain.mp4")


@pytest.mark.parametrize("switch", ["option", "environment"])
def test_the_switch_leaves_the_file_unsigned(
    run, tiny: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    if switch == "environment":
        monkeypatch.setenv("LONGTAKE_PROVENANCE", "off")
    outcome = run(*FILM, "--model", tiny, *(["--no-provenance"] if switch == "option" else []))
    assert "signed by" not in outcome.stdout
    outcome = run("provenance", "take.mp4")
    assert (outcome.code, outcome.stderr) == (1, "")
    assert outcome.stdout == "take.mp4: it is not signed, or its manifest was removed\n"


def test_the_switch_counts_when_a_recorded_take_is_exported(
    run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = json.loads(run(*FILM, "--model", tiny, "--json").stdout)["take_id"]
    run("takes", "export", take, "--out", "signed.mp4")
    assert run("provenance", "signed.mp4").code == 0
    run("takes", "export", take, "--out", "plain.mp4", "--no-provenance")
    assert run("provenance", "plain.mp4").code == 1
    monkeypatch.setenv("LONGTAKE_PROVENANCE", "off")
    run("takes", "export", take, "--out", "off.mp4")
    assert run("provenance", "off.mp4").code == 1
    assert segments("signed.mp4") == segments("plain.mp4") == segments("off.mp4")


def test_prompts_can_be_kept_private(run, tiny: Path) -> None:
    assert "signed by" in run(*FILM, "--model", tiny, "--private").stdout
    assert PROMPT.encode() not in Path("take.mp4").read_bytes()
    assert run("provenance", "take.mp4").code == 0


def test_the_video_that_was_made_anew_is_named(run, tiny: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (22, 16, 32, 3), np.uint8)
    with FragmentedMp4Writer("input.mp4", VideoFormat(width=32, height=16, fps=8)) as writer:
        writer.write(noise)
    run("generate", PROMPT, "--video", "input.mp4", "--model", tiny, "--quiet")
    assert "made from input.mp4\n" in run("provenance", "take.mp4").stdout


def test_a_changed_file_is_one_plain_line(run, tiny: Path) -> None:
    run(*FILM, "--model", tiny)
    data = bytearray(Path("take.mp4").read_bytes())
    data[-1] ^= 1
    Path("take.mp4").write_bytes(data)
    outcome = run("provenance", "take.mp4")
    assert (outcome.code, outcome.stdout) == (1, "take.mp4: it was changed after it was signed\n")
    outcome = run("provenance", "take.mp4", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.stdout)["problems"][0]["code"] == "assertion.bmffHash.mismatch"


def test_what_cannot_be_read_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert refused("provenance", "none.mp4") == (
        "error: none.mp4 cannot be read: No such file or directory; give an MP4 file\n"
    )
    assert "text.mp4 is not an MP4 file" in refused("provenance", "text.mp4")
    assert "empty.mp4 is not an MP4 file" in refused("provenance", "empty.mp4")
    assert "Is a directory" in refused("provenance", ".")
    assert "holds no certificates" in refused("provenance", "text.mp4", "--trust", "text.mp4")
    assert "see `longtake provenance --help`" in refused("provenance")


def test_my_own_certificate_signs(run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    leaf, root = issue(key)
    write_chain(tmp_path / "root.pem", root)
    monkeypatch.setenv("LONGTAKE_C2PA_CERT", str(write_chain(tmp_path / "mine.pem", leaf, root)))
    monkeypatch.setenv("LONGTAKE_C2PA_KEY", str(write_key(tmp_path / "key.pem", key)))
    assert "signed by Ada" in run(*FILM, "--model", tiny).stdout
    assert "signed by Ada (nobody you trust" in run("provenance", "take.mp4").stdout
    assert "signed by Ada (trusted)" in run("provenance", "take.mp4", "--trust", "root.pem").stdout


def test_a_bad_certificate_is_refused_before_anything_is_made(
    refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    expired = write_chain(tmp_path / "old.pem", *issue(key, end=NOW - DAY))
    monkeypatch.setenv("LONGTAKE_C2PA_CERT", str(expired))
    assert "LONGTAKE_C2PA_KEY is not set" in refused("generate", PROMPT)
    monkeypatch.setenv("LONGTAKE_C2PA_KEY", str(write_key(tmp_path / "key.pem", key)))
    assert "old.pem expired on 2026-10-31" in refused("generate", PROMPT)
    monkeypatch.setenv("LONGTAKE_PROVENANCE", "no")
    assert "says neither on nor off" in refused("generate", PROMPT)


def test_a_take_that_cannot_be_signed_is_kept_with_a_warning(
    run, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "provenance").write_text("not a folder")
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path / "home"))
    outcome = run(*FILM, "--model", tiny, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.stdout)["signed_by"] is None
    assert "warning: " in outcome.stderr
    assert "set LONGTAKE_HOME to a folder" in outcome.stderr


def test_nothing_is_imported_for_it_before_the_first_frame() -> None:
    heavy = "bool({'c2pa', 'cryptography'} & set(sys.modules))"
    code = f"import sys, longtake.cli.generate, longtake.cli.signing; sys.exit({heavy})"
    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ)
    assert done.returncode == 0
