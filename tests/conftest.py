"""Set before anything is imported: the libraries below us draw no progress bars of their own."""

import os

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
