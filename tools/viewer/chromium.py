"""The Chromium of the machine, driven by Playwright, for tests and measurements. It draws WebGL in software."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, sync_playwright

_FLAGS = (
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--disable-sync",
)
MILLISECONDS = 60_000
"""What a busy machine may need for a page."""


def executable() -> str | None:
    """Where Chromium is; None if it is not installed."""
    return shutil.which("chromium")


@contextmanager
def browser() -> Iterator[BrowserContext]:
    """A browser without a window, its profile new."""
    with sync_playwright() as playwright:
        process = playwright.chromium.launch(executable_path=executable(), args=list(_FLAGS))
        context = process.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(MILLISECONDS)
        try:
            yield context
        finally:
            process.close()
