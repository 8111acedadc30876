"""Many viewers, three of them bad: what do the others see, what does the server hold, what is left at the end?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx

from longtake.measure.provenance import provenance
from longtake.measure.results import Figure, Result
from longtake.studio.bench.process import Held, ServerProcess, server
from longtake.studio.bench.viewers import Troublemaker, Watcher, raves, stalls, vanishes

PROMPT = "a red sphere rolls to the right on a wooden floor"
VIEWERS = 8
SHARE = 0.7
"""Part of what the machine makes in real time that the takes may use."""
CALIBRATION = 8.0
"""Seconds in which the speed is measured."""
CALM_SECONDS = 300.0
"""Most that the run without trouble takes; memory is watched in the other, which may be long."""
SETTLE = 5.0
"""Seconds after the start that are not counted."""
POOL = 16
"""Requests at once that fill the server's pools of threads before they are counted."""
RELEASE = 45.0
"""Seconds in which everything has to be let go."""

Progress = Callable[[str], None]


@dataclass(kw_only=True, slots=True)
class Leg:
    """One run."""

    on_time: list[float] = field(default_factory=list)
    """Deadline attainment of each viewer that behaves."""
    chunks: int = 0
    """Chunks that they had to get in time."""
    stall_seconds: float = 0.0
    """How long their pictures stood still, together."""
    held: list[Held] = field(default_factory=list)
    """What the server held, each second."""
    failures: list[str] = field(default_factory=list)
    """Viewers that lost their take."""

    @property
    def attainment(self) -> float:
        """Of all of them."""
        return statistics.fmean(self.on_time)

    @property
    def growth_mb(self) -> float:
        """Memory of the last fifth over that of the second fifth of the run: medians."""
        rss, fifth = [held.rss_mb for held in self.held], max(1, len(self.held) // 5)
        return statistics.median(rss[-fifth:]) - statistics.median(rss[fifth : 2 * fifth] or rss)


def crowd(
    model: str, *, seconds: float, takes: int | None, progress: Progress, name: str = "viewers"
) -> Result:
    """Two runs on one server, without and with three that make trouble.

    seconds: of the run with trouble; the other takes `CALM_SECONDS` at most. takes: as the machine allows unless given.
    """
    began = time.monotonic()
    with server(model, "--idle-seconds", "2", "--max-takes", str(VIEWERS)) as running:
        about = running.model()
        progress("measuring the speed")
        speed = _speed(running)
        count = takes or max(2, int(SHARE * speed))
        _fill_pools(running)
        before = _rest(running)
        progress(f"{count} takes, {VIEWERS - 3} viewers")
        calm = _leg(running, count, min(seconds, CALM_SECONDS), trouble=False)
        _rest(running)
        progress(f"{count} takes, {VIEWERS - 3} viewers and three that make trouble")
        rough = _leg(running, count, seconds, trouble=True)
        progress("letting go")
        after, left = _rest(running), running.figures()
    return Result(
        name=name,
        title=f"{VIEWERS} viewers on {count} live takes; one stalls, one vanishes, one sends garbage",
        definition=(
            "A server in a process of its own; viewers in another, over loopback, each with a simulated player that "
            "starts with its first chunk, shows frames at their rate and tells the server what is on screen. Deadline "
            "attainment: share of a player's chunks after the first that were there when their first frame was due; "
            f"mean of the {VIEWERS - 3} that behave. The first {SETTLE:g} s of a run are not counted. Troublemakers "
            "come back as soon as they are let go. Memory: median of the server's resident memory in the last fifth "
            "of the run less that in the second fifth. Left: what /metrics says once all are gone. Speed: media "
            "seconds a second, of one take or two, whichever is more, while viewers ask for all they can get."
        ),
        config={
            "model": about["id"],
            "size": f"{about['width']}x{about['height']}",
            "fps": about["fps"],
            "takes": count,
            "speed": round(speed, 2),
            "load": round(count / speed, 2),
            "seconds without trouble": min(seconds, CALM_SECONDS),
            "seconds with trouble": seconds,
        },
        figures=tuple(_figures(calm, rough, before, after, left, long=seconds >= 600)),
        provenance=provenance("float32"),
        seconds=time.monotonic() - began,
        notes=tuple(sorted({*calm.failures, *rough.failures})),
    )


def _figures(
    calm: Leg, rough: Leg, before: Held, after: Held, left: dict[str, float], *, long: bool
) -> Iterator[Figure]:
    count = len(rough.on_time)
    yield Figure(
        name="deadline attainment, without trouble", value=calm.attainment, unit="share", count=calm.chunks
    )
    yield Figure(
        name="deadline attainment, with trouble",
        value=rough.attainment,
        unit="share",
        count=rough.chunks,
        asked=">= 0.99",
    )
    yield Figure(
        name="worst viewer, with trouble", value=min(rough.on_time), unit="share", count=rough.chunks // count
    )
    lost = 100 * (calm.attainment - rough.attainment)
    yield Figure(name="lost by the trouble", value=lost, unit="points", asked="<= 1")
    yield Figure(name="pictures stood still, with trouble", value=rough.stall_seconds, unit="s", count=count)
    yield Figure(name="viewers that lost their take", value=float(len(rough.failures)), asked="<= 0")
    yield Figure(
        name="growth of memory, with trouble",
        value=rough.growth_mb,
        unit="MB",
        count=len(rough.held),
        asked="<= 20" if long else None,
        note="" if long else "the bound is for half an hour",
    )
    for name in ("sessions_active", "viewers_active", "kv_cache_bytes"):
        yield Figure(name=f"left: {name}", value=left[name], asked="<= 0")
    yield Figure(name="left: open files", value=float(after.files - before.files), asked="<= 2")
    yield Figure(name="left: threads", value=float(after.threads - before.threads), asked="<= 2")
    yield Figure(name="viewers that were dropped", value=left["viewers_dropped_total"])
    yield Figure(name="chunks that slow viewers did not get", value=left["viewer_chunks_skipped_total"])


def _speed(running: ServerProcess) -> float:
    """Media seconds a second that the machine makes: of one take or of two, whichever is more."""
    return max(_speed_of(running, takes) for takes in (1, 2))


def _speed_of(running: ServerProcess, takes: int) -> float:
    with ExitStack() as ending:
        watchers = [
            Watcher(running, {"prompt": PROMPT, "seed": seed}, is_greedy=True) for seed in range(takes)
        ]
        for watcher in watchers:
            ending.callback(watcher.stop)
            watcher.watch()
        time.sleep(SETTLE)
        for watcher in watchers:
            watcher.reset()
        time.sleep(CALIBRATION)
        chunks = sum(len(watcher.arrivals) for watcher in watchers)
    _rest(running)
    return float(running.model()["chunk_seconds"]) * chunks / CALIBRATION


def _fill_pools(running: ServerProcess) -> None:
    """Many requests at once, so that the server's two pools of threads are as large as they get."""
    with running.client() as http, ThreadPoolExecutor(POOL) as many:
        take_id = http.get("/v1/takes").json()["data"][0]["id"]

        def ask(number: int) -> httpx.Response:
            if number % 2:
                return http.get("/v1/takes")
            return http.post("/v1/tokens", json={"take_id": take_id})

        for answer in many.map(ask, range(8 * POOL)):
            answer.raise_for_status()


def _leg(running: ServerProcess, takes: int, seconds: float, *, trouble: bool) -> Leg:
    """So many seconds of all viewers together."""
    with ExitStack() as ending:

        def watch(start: dict[str, object]) -> Watcher:
            watcher = Watcher(running, start)
            ending.callback(watcher.stop)
            watcher.watch()
            return watcher

        watchers = [watch({"prompt": PROMPT, "seed": seed}) for seed in range(takes)]
        ids = [watcher.take_id for watcher in watchers]
        for number in range(max(0, VIEWERS - 3 - takes)):
            watchers.append(watch({"take_id": ids[number % takes], "role": "watch"}))
        for nuisance in (stalls, vanishes, raves) if trouble else ():
            troublemaker = Troublemaker(running, ids[0], nuisance)
            ending.callback(troublemaker.stop)
            troublemaker.start()
        time.sleep(SETTLE)
        for watcher in watchers:
            watcher.reset()
        return _observe(running, watchers, seconds)


def _observe(running: ServerProcess, watchers: Sequence[Watcher], seconds: float) -> Leg:
    leg, end = Leg(), time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        leg.held.append(running.held())
        time.sleep(min(1.0, end - now))
    for watcher in watchers:
        player = watcher.player
        leg.on_time.append(player.on_time)
        leg.chunks += player.chunks
        leg.stall_seconds += player.stall_seconds
        leg.failures += [watcher.failure] if watcher.failure else []
    return leg


def _rest(running: ServerProcess) -> Held:
    """What the server holds once nobody is there any more."""
    end = time.monotonic() + RELEASE
    while time.monotonic() < end:
        figures = running.figures()
        if not figures["sessions_active"] and not figures["viewers_active"]:
            break
        time.sleep(0.2)
    time.sleep(0.5)
    return running.held()
