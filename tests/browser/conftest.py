from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pingstate import Monitor, ProbeResult, serve
from tests.container.conftest import image, network, server_image
from tests.provision.environment import CHROMIUMS
from tests.support.waiting import TIMEOUT

# Fixtures of the container tests that are needed here too.
__all__ = ["image", "network", "server_image"]

# Milliseconds.
PATIENCE = TIMEOUT * 1000
HERE = Path(__file__).resolve().parent
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


class Scripted:
    """A probe whose every result a test gives."""

    def __init__(self, name: str, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self.result = ProbeResult(ok=True, latency_ms=12.3, detail="HTTP 200")

    def check(self) -> ProbeResult:
        return self.result


class Desk:
    """A Monitor that checks when a test says so, and its API on loopback.

    `timeout` is the probe's, in seconds: a second and the interval after it the verdict is stale.
    """

    def __init__(
        self,
        name: str = "https://target.test:443/",
        *,
        port: int = 0,
        timeout: float = 600.0,
        **options,
    ) -> None:
        self.probe = Scripted(name, timeout)
        self.monitor = Monitor(self.probe, **{"interval": 0.5} | options)
        self.server = serve(self.monitor, port=port)
        self.port = self.server.port
        self.url = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def passes(self, latency_ms: float = 12.3, **fields) -> None:
        self.check(ProbeResult(ok=True, latency_ms=latency_ms, **{"detail": "HTTP 200"} | fields))

    def fails(self, detail: str = "connect: connection refused", phase: str = "connect") -> None:
        self.check(ProbeResult(ok=False, latency_ms=1.5, detail=detail, phase=phase))

    def check(self, result: ProbeResult) -> None:
        self.probe.result = result
        self.monitor.check_now()

    def become(self, word: str) -> None:
        """Lead the Monitor from its start to one of the states."""
        {
            "unknown": lambda: None,
            "up": lambda: [self.passes(40 + turn % 7) for turn in range(20)],
            "degraded": lambda: [self.passes(), self.fails()],
            "down": lambda: [self.passes(), self.fails(), self.fails()],
        }[word]()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def start(*arguments, **options) -> Desk:
        opened.append(Desk(*arguments, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        pytest.fail("no Chromium is here: the package chromium has it")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=QUIET)


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page as a person of such a screen and such preferences; hold what holds for each.

    Nothing may be loaded from elsewhere, no script may fail and nothing may break the policy.
    """
    contexts = []
    complaints: list[str] = []

    def open_page(url: str, *, wait: bool = True, **preferences) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB"} | preferences)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        # A script that fails, an alert that a target's text has opened, a policy that is broken.
        page.on("pageerror", lambda error: complaints.append(error.stack))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if "Security Policy" in message.text else None
            ),
        )
        home = urlsplit(url)
        folder = home.path.rpartition("/")[0] + "/"

        def note(request) -> None:
            asked = urlsplit(request.url)
            inside = asked.netloc == home.netloc and asked.path.startswith(folder)
            if asked.scheme != "data" and not inside:
                complaints.append(f"asked for {request.url}")

        page.on("request", note)
        page.goto(url)
        if wait and preferences.get("java_script_enabled", True):
            # What the script writes first; the server's own words are UTC.
            expect(page.locator("#graph:not([hidden])")).to_be_attached()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
