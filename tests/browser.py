"""Debian's Chromium, driven by Playwright. Where there is none a test is skipped, in CI it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

FLAGS = ("--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage")


def executable() -> str:
    """Path of the browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        message = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; root has no sandbox."""
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


def complaints(page: Page) -> list[str]:
    """Filled with what the page's console reports as errors or warnings, and with what it fails to load.

    A player that has enough of a file, or another page to show, aborts its request: that is no failure.
    """
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))

    def failed(request: Request) -> None:
        if (request.resource_type, request.failure) != ("media", "net::ERR_ABORTED"):
            heard.append(f"{request.url}: {request.failure}")

    page.on("requestfailed", failed)
    return heard
