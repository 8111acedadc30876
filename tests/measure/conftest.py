"""What tests of benchmarks share."""

from __future__ import annotations

import pytest
import torch

from longtake.world.reader import Reader
from longtake.world.reader_config import ReaderConfig
from longtake.world.reader_net import ReaderNet
from longtake.world.reading import Trust


@pytest.fixture
def reader() -> Reader:
    """Untrained, and sure of everything that it says."""
    torch.manual_seed(0)
    return Reader(ReaderNet(ReaderConfig()), Trust(legible=0.0, solid=0.0, answer=0.0))
