"""pingstate and its peers as processes: how each is started, asked and read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINGSTATE, ORIGINAL, GUNICORN, BLACKBOX = "pingstate", "original", "gunicorn", "blackbox"
PYTHONS = {
    PINGSTATE: "/opt/pingstate/bin/python",
    ORIGINAL: "/opt/peers/pingstate/bin/python",
}
HEALTH = {PINGSTATE: "/healthz", ORIGINAL: "/healthz", GUNICORN: "/", BLACKBOX: "/-/healthy"}
LIMIT = 20.0  # seconds; who takes as long has failed


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def command(name: str, api: int, protocol: str, port: int, interval: float) -> list[str]:
    """The command line of a subject."""
    if name == PINGSTATE:
        return [str(Path(PYTHONS[name]).with_name("pingstate"))]
    if name == GUNICORN:
        gunicorn = "/opt/peers/gunicorn/bin/gunicorn"
        plain = ["--no-control-socket", "--chdir", str(HERE), "constant:app"]
        return [gunicorn, "-b", f"127.0.0.1:{api}", "--log-level", "error", *plain]
    if name == BLACKBOX:
        address = f"--web.listen-address=127.0.0.1:{api}"
        return [
            "/usr/bin/prometheus-blackbox-exporter", "--config.file=/etc/prometheus/blackbox.yml", address,
            "--log.level=error",
        ]  # fmt: skip
    flags = settings(api, protocol, port, interval).items()
    program = str(Path(PYTHONS[name]).with_name("pingstate"))
    return [program, *(part for flag, value in flags for part in (f"--{flag}", value))]


def settings(api: int, protocol: str, port: int, interval: float) -> dict[str, str]:
    """What both pingstates are told: the original by flags, this one as in a container."""
    return {
        "protocol": protocol, "address": "127.0.0.1", "port": str(port),
        "interval": str(interval), "api-host": "127.0.0.1", "api-port": str(api),
    }  # fmt: skip


@dataclass
class Subject:
    """A peer that runs, with its API's port."""

    name: str
    process: subprocess.Popen[bytes]
    api: int

    def get(self, path: str = "") -> tuple[int, bytes]:
        return get(self.api, path or HEALTH[self.name])

    def pids(self) -> list[int]:
        """Its processes: itself and its children's children."""
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                # A thread that answered a request may be gone by now.
                with suppress(FileNotFoundError, ProcessLookupError):
                    left += map(int, (task / "children").read_text().split())
        return found

    def pss(self) -> int:
        """The memory of all its processes in bytes, shared pages divided among those who map."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu(self) -> float:
        """The CPU time of all its processes in seconds, that of threads which have ended too."""
        # As clock_getcpuclockid(3) makes the clock of a process.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())


def get(port: int, path: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@contextmanager
def running(
    name: str, protocol: str = "tcp", port: int = 1, interval: float = 0.5, *, wait: bool = True
) -> Iterator[Subject]:
    """A subject that has answered 200, ended with the block."""
    api = free_port()
    environ = {**os.environ, "SSL_CERT_FILE": "/tls/ca.pem"}
    environ.pop("PYTHONPATH", None)
    if name == PINGSTATE:
        told = settings(api, protocol, port, interval)
        environ |= {
            f"PINGSTATE_{flag.replace('-', '_').upper()}": value for flag, value in told.items()
        }
    process = subprocess.Popen(
        command(name, api, protocol, port, interval),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    subject = Subject(name, process, api)
    try:
        if wait:
            wait_for_200(subject)
        yield subject
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)


def wait_for_200(subject: Subject) -> None:
    until = time.monotonic() + LIMIT
    while True:
        try:
            if subject.get()[0] == 200:
                return
        except (OSError, IndexError):
            pass
        if time.monotonic() > until or subject.process.poll() is not None:
            sys.exit(f"{subject.name} does not answer 200: {subject.process.args}")
        time.sleep(0.001)


@contextmanager
def target(protocol: str, delay: float = 0.0) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A target's port, and its process, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "targets.py"), protocol, str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()
