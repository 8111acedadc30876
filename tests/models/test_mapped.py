"""Pages of a mapped file are given back, and nothing but those."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longtake.models.mapped import MappedPages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where files are mapped")
MEGABYTES = 64


def file_mb() -> int:
    """Memory of this process that holds pages of files."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssFile"))
    return int(line.split()[1]) // 1024


def test_the_pages_of_a_file_are_given_back_and_come_again(tmp_path: Path) -> None:
    save_file({"x": torch.ones(MEGABYTES, 2**18), "y": torch.full((7,), 3.0)}, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    pages = MappedPages([tmp_path / "a.safetensors"])
    before = file_mb()
    assert tensors["x"].sum() == MEGABYTES * 2**18
    assert file_mb() - before > 0.9 * MEGABYTES
    pages.forget(tensors["x"])
    assert file_mb() - before < 0.1 * MEGABYTES
    assert tensors["x"].sum() == MEGABYTES * 2**18
    pages.forget(tensors["y"])
    assert tensors["y"].tolist() == [3.0] * 7


def test_memory_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    own = torch.ones(2**18)
    MappedPages([tmp_path / "a.safetensors"]).forget(own)
    assert own.sum() == 2**18
    assert tensors["x"].sum() == 2
