"""kill -9 at random moments; the file becomes byte for byte that of the unbroken run."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from longtake.journal import Library
from tests.journal import zygote
from tests.journal.takes import contents


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.journal.zygote"])
    return context


def run(processes: ForkServerContext, work, *args: object) -> None:  # type: ignore[no-untyped-def]
    process = processes.Process(target=work, args=args)
    process.start()
    process.join(300)
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def unbroken(processes: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A take that nobody disturbed, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("unbroken")
    run(processes, zygote.make, tmp_path_factory.mktemp("warm"))
    began = time.monotonic()
    run(processes, zygote.make, folder)
    return folder, time.monotonic() - began


def only(folder: Path) -> str:
    (record,) = Library(folder / "takes").list()
    return record.id


@pytest.mark.parametrize(
    "kill", [*range(6), *(pytest.param(kill, marks=pytest.mark.soak) for kill in range(6, 100))]
)
def test_a_killed_take_is_finished_to_the_same_bytes(
    processes: ForkServerContext, unbroken: tuple[Path, float], tmp_path: Path, kill: int
) -> None:
    whole, seconds = unbroken
    heard, say = processes.Pipe(duplex=False)
    process = processes.Process(target=zygote.make, args=(tmp_path, say))
    process.start()
    say.close()
    time.sleep(random.Random(kill).uniform(0, seconds))
    process.kill()
    process.join()
    announced = []
    while True:
        try:
            announced.append(heard.recv())
        except (EOFError, OSError):
            break
    if not (tmp_path / "takes").is_dir() or not Library(tmp_path / "takes").list():
        assert not announced
        return
    with Library(tmp_path / "takes").media(only(tmp_path)) as media:
        recorded = [segment.index for segment in media.segments()]
    assert recorded[: len(announced)] == announced
    run(processes, zygote.finish, tmp_path)
    assert contents(tmp_path / "takes", only(tmp_path)) == contents(whole / "takes", only(whole))
    assert (tmp_path / "take.mp4").read_bytes() == (whole / "take.mp4").read_bytes()
