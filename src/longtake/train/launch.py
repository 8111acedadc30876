"""A command as several processes on this machine, by torchrun's own launcher."""

from __future__ import annotations

import logging
import os
import re
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

__all__ = ["launch", "without_nproc"]

_SIGNALLED = 128


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `longtake ARGUMENTS` in so many processes; the exit code of the first that failed, or 0.

    A process says itself why it fails: the launcher's trace-back and log would only hide it.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "longtake", *without_nproc(arguments))
    except ChildFailedError as failed:
        code = int(failed.get_first_failure()[1].exitcode)
        return code if code > 0 else _SIGNALLED - code
    except SignalException as heard:
        return _SIGNALLED + heard.sigval
    return 0


def without_nproc(arguments: Sequence[str]) -> list[str]:
    """The arguments of each process, which must not start others."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [given for before, given in pairs if before != "--nproc" and not re.match("--nproc(=|$)", given)]
