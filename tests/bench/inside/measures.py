"""Each measure once: what it returns is one round's figures, by row and subject."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from .subjects import (
    BLACKBOX,
    GUNICORN,
    HEALTH,
    HERE,
    LIMIT,
    ORIGINAL,
    PINGSTATE,
    PYTHONS,
    Subject,
    running,
    target,
)

Figures = Iterator[tuple[str, str, float]]
RAW, METER = "raw", "meter"
PROTOCOLS = ("tcp", "http", "https")
BOTH = (PINGSTATE, ORIGINAL)
MEGABYTE = 1e6


def script(name: str, python: str, *arguments: object) -> list[float]:
    """The numbers that a script of this folder prints."""
    command = [PYTHONS.get(python, sys.executable), str(HERE / name), *map(str, arguments)]
    environ = {**os.environ, "SSL_CERT_FILE": "/tls/ca.pem"}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)}:\n{ended.stderr}")
    return [float(word) for word in ended.stdout.split()]


def by_turns(
    times: int, names: Sequence[str], measure: Callable[[str], Iterator[tuple[str, float]]]
) -> Figures:
    """The median of so many times, each subject once a turn: a machine's speed changes in seconds."""
    seen = defaultdict(list)
    for _ in range(times):
        for name in names:
            for row, value in measure(name):
                seen[row, name].append(value)
    for (row, name), values in seen.items():
        yield row, name, statistics.median(values)


def starts(
    *, times: int = 5, protocols: tuple[str, ...] = PROTOCOLS, peers: bool = True
) -> Figures:
    """Time and CPU time of a start until it answers 200."""

    def measure(protocol: str, name: str) -> Iterator[tuple[str, float]]:
        with target(protocol) as (port, _):
            began = time.perf_counter()
            with running(name, protocol, port, interval=0.1) as subject:
                yield f"start {protocol}", (time.perf_counter() - began) * 1000
                yield f"CPU of a start {protocol}", subject.cpu() * 1000

    for protocol in protocols:
        names = (*BOTH, GUNICORN, BLACKBOX) if protocol == "tcp" and peers else BOTH
        yield from by_turns(times, names, partial(measure, protocol))


def life(
    *, settle: float = 1.0, protocols: tuple[str, ...] = PROTOCOLS, second: bool = True
) -> Figures:
    """Memory after some checks and requests, and end, of each subject and protocol."""
    for protocol in protocols:
        names = (*BOTH, GUNICORN, BLACKBOX) if protocol == "tcp" and second else BOTH
        for name in names:
            with (
                target(protocol) as (port, _),
                running(name, protocol, port, interval=0.1) as subject,
            ):
                load(subject, "", 8, settle)
                first = subject.pss()
                yield f"memory {protocol}", name, first / MEGABYTE
                if second:
                    with running(name, protocol, port, interval=0.1) as copy:
                        load(copy, "", 8, settle / 2)
                        added = subject.pss() + copy.pss() - first
                    yield f"memory of a second {protocol}", name, added / MEGABYTE
                began = time.perf_counter()
                subject.process.send_signal(signal.SIGTERM)
                subject.process.wait(LIMIT)
                if protocol == "tcp":
                    yield "stop", name, (time.perf_counter() - began) * 1000


def checks(*, times: int = 5, count: int = 1000) -> Figures:
    """CPU time of a check, the mean of so many in a process that does nothing else."""

    def measure(protocol: str, name: str) -> Iterator[tuple[str, float]]:
        many = count // 4 if protocol in ("tls", "https") else count
        python, how = (ORIGINAL, "raw") if name == RAW else (name, "probe")
        # A target of its own for each: the kernel looks the longer for a port to connect from, the
        # more connections to the same target have just ended.
        with target(protocol) as (port, _):
            figures = script("checks.py", python, protocol, port, many, how)
            yield f"check {protocol}", figures[0]

    for protocol in (*PROTOCOLS, "tls"):
        # The original has no check of TLS alone.
        names = (PINGSTATE, RAW) if protocol == "tls" else (*BOTH, RAW)
        yield from by_turns(times, names, partial(measure, protocol))


def healthcheck(*, times: int = 10) -> Figures:
    """CPU time of `pingstate healthcheck`, beside an interpreter that does nothing."""
    with target("tcp") as (port, _), running(PINGSTATE, "tcp", port) as subject:
        commands = {
            PINGSTATE: ["/opt/pingstate/bin/pingstate", "healthcheck"],
            RAW: [PYTHONS[PINGSTATE], "-c", "pass"],
        }
        environ = {**os.environ, "PINGSTATE_API_PORT": str(subject.api)}

        def measure(name: str) -> Iterator[tuple[str, float]]:
            before = children_cpu()
            subprocess.run(commands[name], env=environ, stdout=subprocess.DEVNULL, check=True)
            yield "healthcheck", (children_cpu() - before) * 1000

        yield from by_turns(times, tuple(commands), measure)


def children_cpu() -> float:
    """The CPU time of all children that have ended, in seconds, to the microsecond."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def idle(*, seconds: float = 10.0) -> Figures:
    """CPU time of an hour with a check every 5 s that nobody asks, the health check apart.

    `seconds` is a multiple of 5, or chance says how many checks are in it.
    """
    with ExitStack() as stack:
        port, _ = stack.enter_context(target("tcp"))
        subjects = [
            stack.enter_context(running(name, "tcp", port, interval=5.0))
            for name in (*BOTH, GUNICORN, BLACKBOX)
        ]
        time.sleep(1.0)
        before = {subject.name: subject.cpu() for subject in subjects}
        time.sleep(seconds)
        for subject in subjects:
            spent = subject.cpu() - before[subject.name]
            yield "idle hour", subject.name, spent / seconds * 3600


def down() -> Figures:
    """From the kill of a target to the state `down`, a check every 0.5 s."""
    for name in BOTH:
        with target("tcp") as (port, process), running(name, "tcp", port, 0.5) as subject:
            time.sleep(1.0)
            process.kill()
            process.wait()
            began = time.perf_counter()
            until = began + LIMIT
            while subject.get("/state")[1].strip() != b"down":
                if time.perf_counter() > until:
                    sys.exit(f"{name} does not see its target go")
                time.sleep(0.002)
            yield "down", name, (time.perf_counter() - began) * 1000


def load(subject: Subject, path: str, clients: int, seconds: float) -> list[float]:
    where = path or HEALTH[subject.name]
    return script("load.py", METER, subject.api, where, clients, seconds)


def requests(
    *,
    seconds: float = 0.6,
    clients: tuple[int, ...] = (1, 8, 64),
    names: tuple[str, ...] = (*BOTH, GUNICORN, BLACKBOX),
    status: bool = True,
) -> Figures:
    """Answers per second and the 99th percentile of their times."""
    with target("tcp") as (port, _):
        for count in clients:
            for name in names:
                with running(name, "tcp", port) as subject:
                    before = subject.cpu()
                    rate, late = load(subject, "", count, seconds)
                    spent = (subject.cpu() - before) / (rate * seconds)
                    yield f"/healthz, {count} clients", name, rate
                    yield f"CPU of a /healthz, {count} clients", name, spent * 1e6
                    yield f"/healthz p99, {count} clients", name, late
                    if name in BOTH and status:
                        rate, late = load(subject, "/status", count, seconds)
                        yield f"/status, {count} clients", name, rate
                        yield f"/status p99, {count} clients", name, late


def latency(*, seconds: float = 1.5, delay: float = 0.02) -> Figures:
    """What is reported beyond the 20 ms that the target takes: idle, and while 8 clients ask."""
    with target("http", delay) as (port, _):
        for name in BOTH:
            for row in ("idle", "under load"):
                with running(name, "http", port, interval=0.05) as subject:
                    busy = threading.Thread(target=load, args=(subject, "", 8, seconds + 1))
                    if row != "idle":
                        busy.start()
                        time.sleep(0.5)
                    seen = {}
                    until = time.monotonic() + seconds
                    while time.monotonic() < until:
                        snapshot = json.loads(subject.get("/status")[1])
                        seen[snapshot["recent"][-1]["ts"]] = snapshot.get("last_latency_ms")
                        time.sleep(0.02)
                    if row != "idle":
                        busy.join()
                    values = sorted(value - delay * 1000 for value in seen.values() if value)
                    yield f"latency error, {row}", name, values[len(values) // 2]


def monitors(*, counts: tuple[int, ...] = (10, 100, 1000), seconds: float = 3.0) -> Figures:
    """What each of so many Monitors in one process adds, and how late their checks come."""
    with target("tcp") as (port, _):
        for count in counts:
            for name in BOTH:
                memory, late = script("monitors.py", name, port, count, seconds)
                yield f"memory of each of {count} Monitors", name, memory
                yield f"check late, p99 of {count} Monitors", name, late


def everything() -> Figures:
    for measure in (starts, life, checks, healthcheck, idle, down, requests, latency, monitors):
        yield from measure()


def short() -> Figures:
    """What can be told in a few seconds a round, for ratios."""
    yield from starts(times=3, protocols=("tcp", "http"), peers=False)
    yield from life(settle=0.5, protocols=("tcp", "http"), second=False)
    yield from checks(times=3, count=400)
    yield from healthcheck(times=5)
    yield from requests(seconds=0.5, clients=(8,), names=(PINGSTATE, GUNICORN), status=False)
