"""A tiny model, and a library of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtake import Pipeline
from longtake.journal import Library, scribe
from tests.tiny import tiny_pipeline


@pytest.fixture(scope="session")
def pipe() -> Pipeline:
    return tiny_pipeline(first_frame="prefix")


@pytest.fixture(autouse=True)
def snapshots_every_second_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribe, "LEAST_INTERVAL", 2)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "takes"


@pytest.fixture
def library(home: Path) -> Library:
    return Library(home)
