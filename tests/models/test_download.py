"""Fetching from a Hub: resumed, checked, and refused in words that say what to do. The Hub here is a local server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from longtake.errors import UserError
from longtake.models.download import Line, command, fetch
from longtake.models.hub import Preset, presets
from tests.models.fake_hub import FakeHub, serve
from tests.tiny import tiny_preset

CONTENT = bytes(range(256)) * 4096
NAME = "owner/thing"


def preset(**file: object) -> Preset:
    """A model whose parts are all the one file `weights/a.bin`."""
    part = {"repo": NAME, "files": [{"path": "weights/a.bin", **file}]}
    values = tiny_preset().model_dump(mode="json") | {
        "folder": None,
        "licence": "CC-BY-NC-4.0",
        "non_commercial": True,
        "network": {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 8, "num_layers": 1},
        "parts": dict.fromkeys(("transformer", "codec", "text_encoder", "tokenizer"), part),
    }
    return Preset.model_validate(values)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LONGTAKE_HOME", str(tmp_path))
    monkeypatch.setattr(
        constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16
    )  # what a broken line can lose of a small file
    return tmp_path / "models" / NAME / "weights" / "a.bin"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve(FakeHub({f"{NAME}/weights/a.bin": CONTENT})) as hub:
        yield hub


def test_a_file_arrives_once_whole_and_the_licence_is_said_first(home: Path, hub: FakeHub) -> None:
    said: list[str] = []
    line = Line(endpoint=hub.endpoint, say=said.append)
    fetch(preset(), ["transformer", "codec"], line)
    assert home.read_bytes() == CONTENT
    assert hub.ranges == [None], "a file that two parts share is fetched once"
    assert "CC-BY-NC-4.0" in said[0]
    assert "non-commercial" in said[0]
    assert len(said) == 2


def test_a_broken_line_is_taken_up_where_it_broke(home: Path, hub: FakeHub) -> None:
    hub.cut_after = [300_000, 300_000]
    fetch(preset(), ["transformer"], Line(endpoint=hub.endpoint))
    assert home.read_bytes() == CONTENT
    assert len(hub.ranges) == 3
    starts = [int(span.removeprefix("bytes=").split("-")[0]) for span in hub.ranges[1:] if span]
    assert 0 < starts[0] <= 300_000
    assert starts[0] < starts[1] <= 600_000


def test_what_arrived_before_giving_up_is_kept_for_the_next_call(home: Path, hub: FakeHub) -> None:
    hub.cut_after = [300_000, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"what has arrived is kept"):
        fetch(preset(), ["transformer"], Line(endpoint=hub.endpoint))
    assert not home.exists()
    before = len(hub.ranges)
    fetch(preset(), ["transformer"], Line(endpoint=hub.endpoint))
    assert home.read_bytes() == CONTENT
    assert hub.ranges[before] not in (None, "bytes=0-"), "begun anew"


@pytest.mark.parametrize("known", ["by the Hub", "by the preset"])
def test_a_file_with_the_wrong_hash_is_refused_and_deleted(home: Path, hub: FakeHub, known: str) -> None:
    if known == "by the Hub":
        hub.delivered = {f"{NAME}/weights/a.bin": CONTENT[::-1]}
        model = preset()
    else:
        model = preset(sha256=hashlib.sha256(b"another").hexdigest())
    with pytest.raises(UserError, match=r"weights/a\.bin of .*owner/thing .*deleted"):
        fetch(model, ["transformer"], Line(endpoint=hub.endpoint))
    assert not home.exists()


def test_without_a_network_one_line_says_what_is_needed_where_and_how(home: Path) -> None:
    with pytest.raises(UserError) as refused:
        fetch(preset(), ["transformer"], Line(endpoint="http://127.0.0.1:9"))
    message = str(refused.value)
    folder = home.parents[1]
    assert "\n" not in message
    assert "weights/a.bin of https://huggingface.co/owner/thing" in message
    assert str(folder) in message
    assert f"hf download owner/thing 'weights/a.bin' --local-dir '{folder}'" in message


@pytest.mark.parametrize(("status", "words"), [(401, "hf auth login"), (404, "not there any more")])
def test_terms_to_accept_and_files_that_are_gone_are_told_apart(
    home: Path, hub: FakeHub, status: int, words: str
) -> None:
    hub.status = status
    with pytest.raises(UserError, match=words):
        fetch(preset(), ["transformer"], Line(endpoint=hub.endpoint))


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(home: Path, hub: FakeHub) -> None:
    with pytest.raises(UserError, match=r"needs 1000000000\.0 GB on disk"):
        fetch(preset(bytes=10**18), ["transformer"], Line(endpoint=hub.endpoint))
    assert not hub.ranges


def test_the_command_for_another_machine_names_a_pinned_commit() -> None:
    part = presets()["longlive"].part("lora")
    assert f"--revision {part.revision}" in command(part)
