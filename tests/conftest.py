"""Set before anything is imported: no progress bars of the libraries below us, how many threads they use, and one
number format on every machine, for takes are compared with networks that are made in float32."""

import os
from collections.abc import Iterator

import pytest

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["LONGTAKE_DTYPE"] = "float32"
if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: workers that share their threads wait for one another
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Takes and caches of this run, also of the processes that it starts, are not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAKE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    """A test that computes with another number of threads leaves the next with what it had: sums round otherwise."""
    import torch

    own = torch.get_num_threads()
    yield
    torch.set_num_threads(own)
