"""Set before anything is imported: no progress bars of the libraries below us, and how many threads they use."""

import os

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: workers that share their threads wait for one another
    os.environ["OMP_NUM_THREADS"] = "1"
