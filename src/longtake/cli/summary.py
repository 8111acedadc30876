"""What `generate` says at the end, for people and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from longtake.timeline import Cue, Receipt


class ReceiptBook:
    """The latest receipt of every cue, in the order in which they first came."""

    def __init__(self) -> None:
        self._latest: dict[Cue, Receipt] = {}

    def add(self, receipts: Iterable[Receipt]) -> None:
        self._latest |= {receipt.cue: receipt for receipt in receipts}

    def __iter__(self) -> Any:
        return iter(self._latest.values())

    def missing(self, cues: Iterable[Cue]) -> list[Cue]:
        """The cues that no receipt was given for."""
        return [cue for cue in cues if cue not in self._latest]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One take, measured. Seconds are wall-clock unless said otherwise."""

    out: str
    """The file."""
    take_id: str | None
    """The take in `longtake takes list`; None when it is not recorded."""
    model: str
    """Name of the model."""
    licence: str
    """Of the model's weights, and what it forbids."""
    seed: int
    """With it, the take can be made again."""
    complete: bool
    """False when the take was stopped before its end."""
    enhanced: bool
    """Whether the file holds the take as its enhancer made it."""
    frames: int
    """Frames in the file."""
    chunks: int
    """Chunks in the file."""
    fps: int
    """Frames a second of the file."""
    seconds: float
    """Media seconds in the file."""
    width: int
    """Pixels of the file's picture."""
    height: int
    """Pixels of the file's picture."""
    native_width: int
    """Pixels of the picture that the model made."""
    startup_s: float
    """From the start of the command until the model was ready."""
    time_to_first_frame_s: float
    """From the prompt, with the model ready, until the first frames were encoded and written."""
    chunk_seconds_p50: float
    """Median time a chunk, with text, denoising, decoding and encoding."""
    chunk_seconds_p95: float
    """The same for the slowest twentieth."""
    journal_seconds_p50: float | None
    """Median time a chunk of that which recording it took; None when the take is not recorded."""
    rtf: float
    """Media seconds made in a second; above 1 is faster than playback."""
    peak_rss_mb: float
    """The most memory held."""
    dtype: str
    """What the networks compute in."""
    attention: str
    """The kernel that computed attention, and why this one."""
    threads: int
    """Threads that they use."""
    drift_alarms: list[dict[str, Any]] | None
    """Every drift that `--watch` saw; None when nobody watched."""
    receipts: list[dict[str, Any]]
    """What became of every cue."""
    inputs: list[str]
    """What was done to the image or the video that was given."""
    signed_by: str | None
    """Name in the certificate that the file is signed with; None when it is not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; measured times to the millisecond's tenth."""
        return {
            key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()
        }

    def lines(self) -> list[str]:
        """For people."""
        size = f"{self.width}x{self.height}"
        made = f"{self.out}: {self.frames} frames, {self.seconds:g} s at {self.fps} fps, {size}"
        made += "" if self.complete else ", stopped before its end"
        if self.take_id is not None and not self.complete:
            how = " --out FILE` as it is before it is enhanced" if self.enhanced else "`"
            made += f"; finish it with `longtake takes resume {self.take_id}{how}"
        speed = f"first frame after {self.time_to_first_frame_s:.2f} s, then {self.rtf:.2f}x real time"
        model = f"model {self.model} ({self.licence}), seed {self.seed}"
        receipts = map(_receipt_line, self.receipts[1:])
        signed = [f"signed by {self.signed_by}"] if self.signed_by else []
        return [
            made,
            speed,
            model,
            *signed,
            *self.inputs,
            *map(_alarm_line, self.drift_alarms or ()),
            *receipts,
        ]


def _alarm_line(alarm: dict[str, Any]) -> str:
    return f"drift of {alarm['figure']} {alarm['value']:+.3g} at {alarm['seconds']:.1f} s"


def _receipt_line(receipt: dict[str, Any]) -> str:
    prompt = receipt["cue"]["prompt"]
    if receipt["first_time"] is None:
        return f'"{prompt}": {receipt["status"]}, never seen'
    line = f'"{prompt}": {receipt["status"]}, seen from {receipt["first_time"]:g} s'
    applied = receipt["applied_time"]
    return line if applied is None else f"{line}, fully from {applied:g} s"
