"""Real servers on loopback, and the options that choose how much is run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# Never the default address, whatever a test forgets to say.
os.environ["PINGSTATE_ADDRESS"] = "127.0.0.1"

ROOT = Path(__file__).parent.parent
LONG = 30.0


def pytest_addoption(parser):
    parser.addoption("--soak-seconds", type=float, default=20.0, help="how long the load test runs")


def until(condition: Callable[[], object], timeout: float = LONG) -> object:
    """Wait for a condition to be true, and give back what it said."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {timeout} s: {condition}")
        threading.Event().wait(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(url: str, timeout: float = 10.0) -> tuple[int, str]:
    """One GET without proxies; the status and the body of whatever is answered."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Target:
    """An HTTP server whose answer a test chooses, and that remembers what it was asked."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.body = b"OK"
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.hold = threading.Event()
        self.hold.set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                target.requests.append((self.command, self.path, dict(self.headers)))
                target.hold.wait(LONG)
                self.send_response(target.status)
                for name, value in target.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(target.body)))
                self.end_headers()
                if self.command != "HEAD":
                    with contextlib.suppress(OSError):
                        self.wfile.write(target.body)

            do_GET = do_HEAD = do_POST = answer  # noqa: N815  # the standard library's names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()


class Sidecar:
    """A pingstate of its own process group, as a person starts it."""

    def __init__(self, *arguments: str, command: list[str] | None = None, **environ: str) -> None:
        self.port = int(environ.setdefault("PINGSTATE_API_PORT", str(free_port())))
        self.process = subprocess.Popen(
            command or [sys.executable, "-m", "pingstate", *arguments],
            env=clean_environ(**environ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def get(self, path: str) -> tuple[int, str]:
        return get(f"http://127.0.0.1:{self.port}{path}")

    def status(self) -> dict:
        return json.loads(self.get("/status")[1])

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.output}")
        try:
            self.get("/state")
        except OSError:
            return False
        return True

    def wait_for_state(self, state: str) -> None:
        until(self.answers)
        until(lambda: self.get("/state")[1] == state)

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def wait(self) -> int:
        code = self.process.wait(LONG)
        self._reader.join(LONG)
        return code

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        self.process.stdout.close()


def clean_environ(**environ: str) -> dict[str, str]:
    """This process's environment with no setting but the given ones, and a loopback target."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PINGSTATE_", "WEB_CONC"))}
    return kept | {"PINGSTATE_ADDRESS": "127.0.0.1"} | environ


@pytest.fixture
def sidecar() -> Iterator[Callable[..., Sidecar]]:
    started: list[Sidecar] = []

    def start(*arguments: str, **options) -> Sidecar:
        started.append(Sidecar(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def run(*arguments: str, timeout: float = LONG, **environ: str) -> subprocess.CompletedProcess:
    """Run `pingstate` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pingstate", *arguments],
        env=clean_environ(**environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
