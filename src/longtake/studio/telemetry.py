"""Figures for Prometheus, and logs a machine can read. No prompt, token, path or address of a user is in either."""

from __future__ import annotations

import json
import logging
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from longtake.studio.admission import Admission

LOG = logging.getLogger("longtake.studio")
_SECONDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 15, 30, 60)
_SMALL = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Metrics:
    """The figures of one server."""

    def __init__(self, admission: Admission) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"longtake_{name}", what, registry=self.registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"longtake_{name}", what, labels, registry=self.registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"longtake_{name}", what, buckets=buckets, registry=self.registry)

        gauge("sessions_active", "Live takes being made.").set_function(lambda: admission.running)
        gauge("sessions_capacity", "Live takes that there is room for.").set_function(lambda: admission.takes)
        gauge("videos_queued", "Videos that wait or are being made.").set_function(lambda: admission.queued)
        self.viewers = gauge("viewers_active", "Connections that watch a take.")
        self.memory = gauge(
            "kv_cache_bytes", "Of key-value caches, and what else takes remember of their past."
        )
        self.first_chunk = histogram("time_to_first_chunk_seconds", "From the order to the first chunk.")
        self.interval = histogram("chunk_interval_seconds", "Between two chunks of a live take.")
        self.compute = histogram("chunk_compute_seconds", "Of the machine, that a chunk cost.")
        self.delivery = histogram("chunk_delivery_seconds", "From a chunk that is there to a socket.", _SMALL)
        self.direction = histogram("direction_media_seconds", "From a direction to its first picture.")
        self.chunks = counter("chunks_total", "Chunks made.")
        self.missed = counter("chunk_deadline_missed_total", "Chunks that came after playback needed them.")
        self.stall = counter("playback_stall_seconds_total", "Seconds that playback stood still for chunks.")
        self.skipped = counter("viewer_chunks_skipped_total", "Chunks that slow viewers did not get.")
        self.dropped = counter("viewers_dropped_total", "Viewers that took nothing any more.")
        self.ended = counter("sessions_ended_total", "Takes let go, by reason.", "reason")
        self.refused = counter("refused_total", "Requests and connections refused, by reason.", "reason")

    def text(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the fields that were given as `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            values["trace"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False)


def log(event: str, **fields: Any) -> None:
    """Write one line of the log."""
    LOG.info(event, extra={"fields": fields})


def log_to_stderr() -> None:
    """Send the log of this server, and what goes wrong in its HTTP library, to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("longtake.studio", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    LOG.setLevel(logging.INFO)
