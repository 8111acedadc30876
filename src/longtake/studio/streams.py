"""What viewers get of takes while these are made: heads and segments, signed unless that is off.

A take has a stream for each course that it takes: after a rewind chunks have numbers that others had, and a number must
not be signed twice for different pictures. All who watch a course get the same bytes. The key of a stream is in the
memory of this process alone, so a server that comes back begins streams anew.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable

from longtake.provenance.live import LiveSigner
from longtake.provenance.manifest import Claim
from longtake.studio.signing import Signing

KEPT = 256
"""Streams that are kept for who asks again."""


class Stream:
    """One course of one take. signer: None leaves everything as it is."""

    def __init__(self, init: bytes, signer: LiveSigner | None) -> None:
        self._signer = signer
        self.id = uuid.uuid4().hex[:12] if signer else ""
        """A name for links; empty where nothing is signed."""
        self.head = signer.init if signer else init
        """`ftyp moov`, with the manifest between them."""

    def sign(self, segment: bytes) -> bytes:
        """`moof mdat`, with its signature in front. Safe from any thread; the same segment may be signed again."""
        return self._signer.sign(segment) if self._signer else segment


class Streams:
    """The streams of one server; safe from any thread."""

    def __init__(self, signing: Signing) -> None:
        self._signing, self._lock = signing, threading.Lock()
        self._known: OrderedDict[tuple[str, int], Stream] = OrderedDict()

    def of(self, take_id: str, course: int, init: bytes, claim: Callable[[], Claim]) -> Stream:
        """The stream of a take that was rewound or cut `course` times. claim: what is said, if it is a new one."""
        with self._lock:
            stream = self._known.get((take_id, course))
            if stream is None:
                stream = Stream(init, self._signing.live(take_id, init, claim))
                self._known[take_id, course] = stream
                if len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end((take_id, course))
            return stream
