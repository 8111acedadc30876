"""The page in a real browser, against the real server and mini."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from longtake.media import read_video
from tests.browser import chromium, complaints

PROMPT = "a red sphere rolls to the right on a wooden floor"
THIRD = "a green cube slides to the left on sand"
SECOND = "a blue sphere rolls to the right on a wooden floor"
PLAYING = (
    "document.getElementById('video').readyState >= 2 && document.getElementById('video').currentTime > 0.1"
)
SAID = "[...document.querySelectorAll('#receipts .said')].map(node => node.textContent).join('|')"
LAST_RECEIPT = "[...document.querySelectorAll('#receipts li')].at(-1)?.dataset.status"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def studio(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`longtake studio`, ready; what it says goes into a file beside the takes."""
    command = [sys.executable, "-m", "longtake", "studio", "--no-open", "--port", str(port)]
    environment = os.environ | {"LONGTAKE_HOME": str(home)}
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_ready(process, port)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not get ready")


def until(page: Page, expression: str, seconds: float = 60) -> None:
    """Wait without `wait_for_function`, which the page's content security policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never came true: {expression}\n{page.inner_text('body')}"
        page.wait_for_timeout(50)


def roll(page: Page, port: int) -> None:
    page.goto(f"http://127.0.0.1:{port}/")
    until(page, "document.getElementById('server').textContent.includes('takes running')")
    page.fill("#start-prompt", PROMPT)
    page.keyboard.press("Enter")
    until(page, PLAYING)


def seek(page: Page, seconds: float) -> None:
    page.evaluate(f"document.getElementById('video').currentTime = {seconds}")
    page.wait_for_timeout(300)


def made(page: Page) -> float:
    minutes, seconds = page.inner_text("#made").split("/")[-1].strip().split(":")
    return 60 * int(minutes) + float(seconds)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number = free_port()
    with studio(tmp_path_factory.mktemp("home"), number):
        yield number


def test_type_watch_steer_branch_rewind_stop_export_and_find_it_again(port: int, tmp_path: Path) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        heard = complaints(page)
        roll(page, port)
        page.fill("#steer", SECOND)
        page.keyboard.press("Enter")
        until(page, f"{LAST_RECEIPT} === 'applied'")
        assert page.locator("#receipts li").count() == 2
        until(page, "document.getElementById('video').currentTime > 3")

        seek(page, 2.0)
        page.click("#branch")
        page.fill("#ask-value", THIRD)
        page.click("#ask-ok")
        until(page, "document.querySelectorAll('#tree a').length === 2")
        until(page, "document.getElementById('video').currentTime > 6.5")
        branch = page.url.rsplit("/", 1)[1]

        before = made(page)
        seek(page, 4.5)
        page.click("#rewind")
        if page.evaluate("document.getElementById('ask').open"):
            page.click("#ask-ok")
        until(page, f"document.getElementById('made').textContent.split(':')[1] < {before}")
        until(page, "document.getElementById('video').currentTime > 5")

        page.click("#enhance")
        until(page, "/Waiting|Enhancing/.test(document.getElementById('enhance').textContent)")
        page.click("#stop")
        until(page, "document.body.dataset.take === 'stopped'")
        until(page, "document.getElementById('enhance').textContent === 'Larger video'", 300)
        with page.expect_download() as larger:
            page.click("#enhance")
        larger.value.save_as(tmp_path / "larger.mp4")
        assert read_video(tmp_path / "larger.mp4")[0].shape[1:] == (192, 192, 3)
        with page.expect_download() as download:
            page.click("#export")
        download.value.save_as(tmp_path / "export.mp4")
        frames, _ = read_video(tmp_path / "export.mp4")
        assert len(frames) / 8 == pytest.approx(made(page), abs=1)

        page.click(".brand")
        until(page, "document.querySelectorAll('.card').length === 2")
        until(page, "[...document.querySelectorAll('.card img')].every(image => image.naturalWidth > 0)")
        page.hover(f".card[data-id='{branch}'] a")
        page.mouse.down()
        page.evaluate(
            "window.dispatchEvent(new Event('hashchange'))"
        )  # the list comes anew in the middle of the press
        page.wait_for_timeout(500)
        page.mouse.up()
        until(page, "document.getElementById('video').readyState >= 2")
        until(page, f"{SAID} === {f'{PROMPT}|{THIRD}'!r}", 20)
        assert heard == []


def test_goes_on_by_itself_when_the_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    number = free_port()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        with studio(tmp_path, number) as process:
            roll(page, number)
            address = page.url
            process.kill()
            process.wait()
            before = made(page)
            until(page, "document.getElementById('waiting').textContent.includes('server is gone')")
        with studio(tmp_path, number):
            until(page, f"document.getElementById('video').currentTime > {before + 1.5}", 120)
            assert page.url == address
            assert page.inner_text("#waiting") == ""


@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180)])
@pytest.mark.parametrize("view", ["#/", "#/game", "#/take"])
def test_fits_small_screens_and_names_its_controls(port: int, width: int, height: int, view: str) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark")
        heard = complaints(page)
        page.goto(f"http://127.0.0.1:{port}/{view}")
        until(page, "document.getElementById('model').options.length > 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        nameless = page.evaluate(
            """[...document.querySelectorAll('button, a, input, select, textarea')]
               .filter(node => node.checkVisibility())
               .filter(node => !(node.innerText || node.getAttribute('aria-label') || node.title || node.placeholder
                                 || node.labels?.length))
               .map(node => node.outerHTML)"""
        )
        assert nameless == []
        assert heard == []


def test_the_game_streams_its_pictures_and_shows_the_delay(port: int) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        heard = complaints(page)
        page.goto(f"http://127.0.0.1:{port}/#/game")
        until(page, "document.getElementById('model').options.length > 0")
        page.click("#game-start")
        until(page, "document.getElementById('game-video').currentTime > 0.1")
        page.keyboard.down("ArrowRight")
        until(
            page, "/key to picture\\n?\\s*[0-9.]+ s/.test(document.getElementById('game-figures').innerText)"
        )
        page.keyboard.up("ArrowRight")
        page.click(".brand")
        assert heard == []
