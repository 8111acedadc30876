"""What all screenings of a server share."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.studio.admission import Admission
from longtake.studio.config import Limits
from longtake.studio.streams import Streams
from longtake.studio.telemetry import Metrics
from longtake.studio.worker import Worker


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """See the module's text."""

    worker: Worker
    """Makes the takes."""
    admission: Admission
    """Gives places, and counts what they cost."""
    metrics: Metrics
    """Figures for Prometheus."""
    limits: Limits
    """How much of everything."""
    streams: Streams
    """What viewers get."""
