"""pingstate as a process, started as a person starts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support import ROOT
from tests.support.client import free_port, get
from tests.support.waiting import TIMEOUT, wait_until


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
        assert self.process.stdout is not None
        self._stdout = self.process.stdout
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def get(self, path: str) -> tuple[int, str]:
        return get(f"http://127.0.0.1:{self.port}{path}")

    def status(self) -> dict[str, Any]:
        snapshot: dict[str, Any] = json.loads(self.get("/status")[1])
        return snapshot

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.output}")
        try:
            self.get("/state")
        except OSError:
            return False
        return True

    def wait_for_state(self, state: str) -> None:
        wait_until(self.answers)
        wait_until(lambda: self.get("/state")[1] == state)

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def wait(self) -> int:
        code = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return code

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        self._stdout.close()


def clean_environ(**environ: str) -> dict[str, str]:
    """This process's environment with no setting but the given ones, and a loopback target."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PINGSTATE_", "WEB_CONC"))}
    return kept | {"PINGSTATE_ADDRESS": "127.0.0.1"} | environ


def run_pingstate(
    *arguments: str, timeout: float = TIMEOUT, **environ: str
) -> subprocess.CompletedProcess[str]:
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
