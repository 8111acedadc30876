"""A short film, a signer, and the film as a signed stream."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from longtake.media import FragmentedMp4Writer, VideoFormat
from longtake.provenance.credentials import Credentials
from longtake.provenance.development import make
from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim
from tests.provenance.parts import Parts, cut

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="session")
def signer() -> Credentials:
    return make(NOW)


@pytest.fixture(scope="session")
def claim() -> Claim:
    return Claim(model="mini", seed=7, prompts=((0.0, "a red sphere"), (2.5, "a blue cube")))


@pytest.fixture(scope="session")
def film_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Five chunks of two frames, unsigned."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(0)
    with FragmentedMp4Writer(path, VideoFormat(width=16, height=16, fps=8)) as writer:
        for _ in range(5):
            writer.write(noise.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    return path.read_bytes()


@pytest.fixture
def film(film_bytes: bytes, tmp_path: Path) -> Path:
    """The film in a file of its own."""
    path = tmp_path / "film.mp4"
    path.write_bytes(film_bytes)
    return path


@pytest.fixture(scope="session")
def unsigned(film_bytes: bytes) -> Parts:
    return cut(film_bytes)


@pytest.fixture(scope="session")
def stream(unsigned: Parts, claim: Claim, signer: Credentials) -> Parts:
    """The film, signed segment by segment."""
    live = LiveSigner(unsigned.init, claim, signer)
    return Parts(init=live.init, segments=tuple(map(live.sign, unsigned.segments)))
