"""More is asked than the machine can make: is that refused at once, and do those that run feel nothing of it?"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.measure.stats import percentile
from longtake.studio.bench.crowd import PROMPT, SETTLE
from longtake.studio.bench.process import ServerProcess, server
from longtake.studio.bench.viewers import Watcher

ASKED_A_SECOND = 4
TOKENS = ("the-token-of-those-that-run", "the-token-of-those-that-come-later")
QUEUE = 16
"""Videos that fill the server's queue, so that more of them are refused too."""


class Rush(threading.Thread):
    """Asks for live takes and videos, one after the other; counts how it is answered."""

    def __init__(self, running: ServerProcess) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._going, self._stopping = threading.Event(), threading.Event()
        self.answered: list[float] = []
        """Seconds until each answer."""
        self.refused = self.with_time = self.others = 0
        """Refusals, those that say when to come again, and other answers."""

    def go(self, *, is_on: bool) -> None:
        """Ask, or hold."""
        (self._going.set if is_on else self._going.clear)()

    def stop(self) -> None:
        """No more."""
        self._stopping.set()
        self.join(30)

    def run(self) -> None:
        """Until it is stopped."""
        asks = (self._live_of_theirs, self._live, self._video)
        while not self._stopping.is_set():
            if not self._going.wait(0.1):
                continue
            for ask in asks:
                began = time.monotonic()
                kind, seconds = ask()
                self.answered.append(time.monotonic() - began)
                self.refused += kind in ("full", "over_budget")
                self.with_time += kind in ("full", "over_budget") and bool(seconds and seconds >= 1)
                self.others += kind not in ("full", "over_budget")
                self._stopping.wait(1 / ASKED_A_SECOND)

    def _live_of_theirs(self) -> tuple[str, float | None]:
        return self._ask_live(TOKENS[0])  # whose share is used up: 429

    def _live(self) -> tuple[str, float | None]:
        return self._ask_live(TOKENS[1])  # the machine is full: 503

    def _ask_live(self, token: str) -> tuple[str, float | None]:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with connect(self._running.live_address, additional_headers=headers, compression=None) as wire:
                wire.send(json.dumps({"type": "session.start", "prompt": PROMPT}))
                message = json.loads(wire.recv(timeout=20))
        except (WebSocketException, OSError):
            return "broken", None
        if message["type"] != "error":
            return message["type"], None
        return message["error"]["type"], message["error"]["retry_after"]

    def _video(self) -> tuple[str, float | None]:
        answer = ask_video(self._running)
        if answer.status_code not in (429, 503):
            return str(answer.status_code), None
        return answer.json()["error"]["type"], float(answer.headers.get("retry-after", 0))


def ask_video(running: ServerProcess) -> httpx.Response:
    """Ask for a video that takes long."""
    headers = {"Authorization": f"Bearer {TOKENS[1]}"}
    return running.http.post("/v1/videos", json={"prompt": PROMPT, "num_frames": 90_000}, headers=headers)


def beyond(
    model: str, *, seconds: float, windows: int, takes: int | None, progress: Callable[[str], None]
) -> Result:
    """Windows without and with a rush, by turns, on one server that is as full as it may be."""
    began = time.monotonic()
    room = takes or _room(model)
    options = ["--max-takes", str(room), "--takes-a-token", str(room)]
    with server(model, *options, tokens=TOKENS) as running, ExitStack() as ending:
        videos = [ask_video(running) for _ in range(QUEUE)]
        watchers = [Watcher(running, {"prompt": PROMPT, "seed": seed}) for seed in range(room)]
        for watcher in watchers:
            ending.callback(watcher.stop)
            watcher.watch()
        rush = Rush(running)
        rush.start()
        ending.callback(rush.stop)
        time.sleep(SETTLE)
        calm, rough = list[float](), list[float]()
        on_time = []
        for number in range(windows):
            for is_on, found in ((False, calm), (True, rough)):
                progress(f"window {2 * number + is_on + 1} of {2 * windows}")
                found += _window(watchers, rush, seconds, is_on=is_on)
                on_time += [watcher.player.on_time for watcher in watchers] if is_on else []
        about, failures = running.model(), [one.failure for one in watchers if one.failure]
    return Result(
        name="admission",
        title="Asked for more than the machine makes",
        definition=(
            "A server in a process of its own with as many live takes as it has room for and a full queue of videos. "
            f"For some windows of {seconds:g} s, by turns with windows of peace, {ASKED_A_SECOND} more are asked for "
            "a second: live takes with the token of those that run (its share is used up), live takes with another, "
            "and videos. A chunk: seconds of the machine that it costs, encoding and recording included, mean over "
            "the takes."
        ),
        config={
            "model": about["id"],
            "size": f"{about['width']}x{about['height']}",
            "takes": room,
            "windows": windows,
            "videos that wait": sum(one.status_code == 201 for one in videos),
        },
        figures=_figures(calm, rough, on_time, failures, rush),
        provenance=provenance("float32"),
        seconds=time.monotonic() - began,
        notes=tuple(failures),
    )


def _figures(
    calm: Sequence[float],
    rough: Sequence[float],
    on_time: Sequence[float],
    failures: Sequence[str],
    rush: Rush,
) -> tuple[Figure, ...]:
    """What the windows without (`calm`) and with a rush (`rough`) cost, and what became of those who came too many."""
    slowed = 100 * (statistics.fmean(rough) / statistics.fmean(calm) - 1)
    answered = rush.answered or [0.0]
    return (
        Figure(name="a chunk, without the rush", value=statistics.fmean(calm), unit="s", count=len(calm)),
        Figure(name="a chunk, with the rush", value=statistics.fmean(rough), unit="s", count=len(rough)),
        Figure(name="slowed by", value=slowed, unit="%", asked="<= 5"),
        Figure(name="deadline attainment, with the rush", value=statistics.fmean(on_time), unit="share"),
        Figure(name="takes that ended", value=float(len(failures)), asked="<= 0"),
        Figure(name="refused", value=float(rush.refused), count=len(rush.answered)),
        Figure(
            name="refused without a time to come again",
            value=float(rush.refused - rush.with_time),
            asked="<= 0",
        ),
        Figure(name="answered in another way", value=float(rush.others), asked="<= 0"),
        Figure(name="a refusal, 95 %", value=percentile(answered, 95), unit="s", count=len(answered)),
    )


def _room(model: str) -> int:
    """Live takes that a server finds room for by itself."""
    with server(model) as running:
        return int(running.http.get("/v1/status").json()["capacity"]["takes"])


def _window(watchers: Sequence[Watcher], rush: Rush, seconds: float, *, is_on: bool) -> list[float]:
    """What chunks cost in a window."""
    rush.go(is_on=is_on)
    for watcher in watchers:
        watcher.reset()
    time.sleep(seconds)
    rush.go(is_on=False)
    return [cost for watcher in watchers for cost in watcher.compute]
