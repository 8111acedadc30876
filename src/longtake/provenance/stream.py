"""Check a live stream, segment by segment, as it comes."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import cbor2

from longtake import boxes
from longtake.provenance import content, cose, session
from longtake.provenance.event import Event, is_event
from longtake.provenance.jumbf import Manifest
from longtake.provenance.report import Problem
from longtake.provenance.session import SessionKey

INVALID = "livevideo.segment.invalid"
ORDER = "livevideo.assertion.invalid"


class _WrongError(ValueError):
    """What is wrong with a segment, to follow its number."""


@dataclass(kw_only=True, slots=True)
class StreamVerifier:
    """Checks segments against the keys in the head of their stream; holds a counter, whatever their number."""

    manifest: str
    """Name of the manifest in the head."""
    keys: tuple[SessionKey, ...] = field(repr=False)
    """What may sign segments."""
    timescale: int
    """Ticks a second of the track."""
    last: int | None = None
    """Number of the segment before; None when the first may be any, as for a viewer who joins late."""
    clock: Callable[[], float] = field(default=time.time, repr=False)
    """Seconds since 1970, for segments that do not say when they were signed."""

    @classmethod
    def of(cls, manifest: Manifest, init: bytes, *, late: bool = False) -> Self:
        """For the stream of a head whose manifest is valid; with `late` it may begin at any segment.

        Raises:
            ValueError: its session keys are missing, damaged, or bound to another signer.
        """
        keys = tuple(SessionKey.read(manifest.assertion(session.LABEL), manifest.leaf()))
        return cls(
            manifest=manifest.label,
            keys=keys,
            timescale=boxes.timescale(init),
            last=None if late else min(key.first for key in keys) - 1,
        )

    def check(self, segment: bytes) -> list[Problem]:
        """What is wrong with the next segment, `emsg moof mdat`, and with its place."""
        try:
            number = self._number(segment)
        except _WrongError as wrong:
            return self._fault(str(wrong))
        except (ValueError, struct.error):
            return self._fault("has a damaged signature")
        problems = self._order(number)
        self.last = number if self.last is None else max(number, self.last)
        return problems

    def _fault(self, what: str) -> list[Problem]:
        """A segment that is wrong takes the place of the next."""
        self.last = None if self.last is None else self.last + 1
        return [Problem(code=INVALID, what=f"segment {self.last or '?'} {what}", segment=self.last)]

    def _order(self, number: int) -> list[Problem]:
        if self.last is None or number == self.last + 1:
            return []
        if number <= self.last:
            what = f"segment {number} came again, or after a later one"
        elif number == self.last + 2:
            what = f"segment {number - 1} is missing"
        else:
            what = f"segments {self.last + 1} to {number - 1} are missing"
        return [Problem(code=ORDER, what=what, segment=number)]

    def _number(self, segment: bytes) -> int:
        """The signed number of a segment that is as it was signed. Raises when it is not."""
        inside = list(boxes.boxes(segment))
        if not inside or inside[-1].end != len(segment):
            raise _WrongError("is not whole")
        places = [box for box in inside if is_event(segment, box)]
        if len(places) != 1:
            raise _WrongError("has no signature" if not places else "has more than one signature")
        event = Event.read(segment, places[0])
        signed = cose.Signed.read(cose.decode(event.message))
        key = self._key(signed)
        if signed.payload is None or not signed.is_by(key.public, signed.payload):
            raise _WrongError("has a signature that is not by the key of this stream")
        number = self._covered(cose.decode(signed.payload), segment)
        if number < key.first:
            raise _WrongError("has a number from before the first of its key")
        if not key.covers(session.signed_at(signed.header(), self.clock())):
            raise _WrongError("was signed when its key was not valid")
        written = Event(
            timescale=self.timescale,
            duration=boxes.ticks(segment),
            number=number - key.first + 1,
            message=cbor2.dumps(replace(signed, unprotected={cose.KEY_ID: key.key_id}).to_cbor()),
        )
        if written != event:
            raise _WrongError("has a signature whose frame was changed")
        return number

    def _key(self, signed: cose.Signed) -> SessionKey:
        key_id = signed.unprotected.get(cose.KEY_ID)
        for key in self.keys:
            if key.key_id == key_id:
                return key
        raise _WrongError("is signed by a key that is not of this stream")

    def _covered(self, said: Any, segment: bytes) -> int:
        match said:
            case {"sequenceNumber": int() as number, "bmffHash": found, "manifestId": str() as manifest}:
                if manifest != self.manifest:
                    raise _WrongError("belongs to another stream")
                if found != content.segment_map(content.segment_digest(segment)):
                    raise _WrongError("was changed after it was signed")
                if number != boxes.sequence(segment):
                    raise _WrongError("is signed with another number than its own")
                return number
        raise _WrongError("has a signature that does not say what it covers")
