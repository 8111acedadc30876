"""As many threads as a take was begun with: a sum that is shared among another number of them may round otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from longtake.journal.facts import Facts


@contextmanager
def as_begun(facts: Facts) -> Iterator[None]:
    """Compute in this thread with the take's number of threads, as far as the machine has cores for them."""
    own = torch.get_num_threads()
    torch.set_num_threads(min(facts.fingerprint.get("threads", own), os.cpu_count() or own))
    try:
        yield
    finally:
        torch.set_num_threads(own)
