"""One check in a process of its own, and what it cost."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import re
import ssl
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pingstate.values import PROTOCOLS
from tests.hostile.catalogue import Case, MakeProbe, Target, load
from tests.hostile.connects import speaks_in_any_protocol
from tests.hostile.names import measure_in_namespace
from tests.hostile.peers import INSIDE, LEAKS, LONG_S, ca_file, server_context, serving
from tests.support.details import JARGON

# Here, so that no forked process need do it.
for module in ("http", "open_condition", "pattern_conditions", "text_conditions"):
    importlib.import_module(f"pingstate.probes.{module}")

# Forked from a process that has all imported already: a case costs milliseconds and starts clean.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])

CASES = tuple(load())

LATE_S = 0.1  # how long after its timeout a check may come back
GROWTH_KIB = 2048
DETAIL_CHARS = 200
PHASES = ("dns", "connect", "tls", "send", "response", "body", "check", "timeout")


@dataclass(frozen=True)
class Measured:
    """What one case came to, and what it left behind."""

    ok: bool | None
    phase: str | None
    timeout_phase: str | None
    detail: str
    name: str
    seconds: float
    cpu_seconds: float  # of all checks and threads together
    grown_kib: int
    threads_left: int
    descriptors_left: int
    complaints: tuple[str, ...]  # warnings, and whatever escaped from check()


@dataclass(frozen=True)
class Job:
    """What a process is to measure; `warm` is the port of a good server."""

    make: MakeProbe
    protocol: str
    target: Target
    timeout: float
    options: Mapping[str, Any]
    warm: int
    repeat: int
    workers: int


@dataclass(frozen=True)
class Timeouts:
    """The probes' timeouts, in seconds: where the target hangs, and where it answers.

    The second may be longer, for a verdict must not depend on how busy the machine is.
    """

    hanging: float
    answering: float
    repeated: float = 0.2

    def of(self, case: Case) -> float:
        """The timeout for one case."""
        if case.repeat > 1:
            return self.repeated
        phases = case.expected.phases
        hangs = case.expected.ok is False and (not phases or "timeout" in phases)
        return self.hanging if hangs else self.answering


def status_kib(key: str) -> int:
    """A line of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise LookupError(key)


def count(folder: str) -> int:
    """How many entries a folder of /proc has."""
    return sum(1 for _ in Path(folder).iterdir())


def threads() -> int:
    return count("/proc/self/task")


def descriptors() -> int:
    return count("/proc/self/fd")


def check(job: Job) -> Measured:
    """Check, `repeat` times over by `workers` threads; the result is that of the last check."""
    gc.freeze()  # a collection of what was inherited would copy its pages, and take its time
    os.environ.update(job.target.environ)
    arguments = {**job.target.options, **job.options}
    complaints: list[str] = []
    results: list[Any] = []
    slowest = 0.0

    def several(times: int) -> None:
        nonlocal slowest
        target = job.target
        made = job.make(job.protocol, target.address, target.port, timeout=job.timeout, **arguments)
        for _ in range(times):
            begun = time.monotonic()
            try:
                results.append((made.check(), made.name))
            except BaseException:  # that anything escapes is what is to be seen
                complaints.append(traceback.format_exc())
            slowest = max(slowest, time.monotonic() - begun)

    # What the first redirect to https takes once for a process: OpenSSL itself, and the bundle of
    # authorities where this names one. Without it they are looked up in a directory one at a time.
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    os.environ.pop("SSL_CERT_FILE", None)
    # Once on a good server first, so that imports, caches and contexts are not taken for growth.
    job.make(job.protocol, "127.0.0.1", job.warm, timeout=LONG_S, **job.target.options).check()
    gc.collect()
    threads_before, descriptors_before = threads(), descriptors()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    resident = status_kib("VmRSS")
    worked = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if job.workers == 1:
            several(job.repeat)
        else:
            _spread(several, job)
        grown = status_kib("VmHWM") - resident
        worked = time.process_time() - worked
        gc.collect()
    _let_threads_end(threads_before)
    complaints += [str(warning.message) for warning in caught]
    result, name = results[-1] if results else (None, "")
    return Measured(
        ok=getattr(result, "ok", None),
        phase=getattr(result, "phase", None),
        timeout_phase=getattr(result, "timeout_phase", None),
        detail=str(getattr(result, "detail", "")),
        name=name,
        seconds=slowest,
        cpu_seconds=worked,
        grown_kib=max(grown, 0),
        threads_left=threads() - threads_before,
        descriptors_left=descriptors() - descriptors_before,
        complaints=tuple(complaints),
    )


def _spread(several: Callable[[int], None], job: Job) -> None:
    with ThreadPoolExecutor(job.workers) as pool:
        times = [job.repeat // job.workers] * job.workers
        for _ in pool.map(several, times):
            pass


def _let_threads_end(before: int) -> None:
    # Python has joined a thread a little before the kernel is done with it.
    patience = time.monotonic() + 0.5
    while threads() > before and time.monotonic() < patience:
        time.sleep(0.01)


def _report(pipe: Connection, job: Job) -> None:
    pipe.send(check(job))


_starting = threading.Lock()


def measure(
    case: Case,
    timeout: float,
    warm: Mapping[str, int],
    *,
    make: MakeProbe | None = None,
    patience: float = LONG_S,
) -> Measured:
    """Serve the case, check it in a fresh process, and return what that took.

    `timeout` is the probe's, in seconds; `warm` has the port of a good server for each protocol;
    `make` makes another probe than the case's own. Raises TimeoutError if the check is not back
    `patience` seconds after its deadline, EOFError if its process died. Thread-safe.
    """
    with case.open(timeout) as target:
        here, there = PROCESSES.Pipe(duplex=False)
        job = Job(
            make=make or case.make,
            protocol=case.protocol,
            target=target,
            timeout=timeout,
            options=case.options,
            warm=warm[case.protocol],
            repeat=case.repeat,
            workers=case.workers,
        )
        process = PROCESSES.Process(target=_report, args=(there, job), daemon=True)
        with _starting:
            process.start()
        there.close()
        try:
            limit = patience + timeout * case.repeat / case.workers
            if not here.poll(limit):
                raise TimeoutError(f"{case.id}: no verdict after {limit} s")
            measured: Measured = here.recv()
            return measured
        finally:
            process.kill()
            process.join()
            here.close()


def on_time(case: Case, timeouts: Timeouts, warm: Mapping[str, int]) -> Measured:
    """`measure`, again if it was late: on a busy machine one of three may be, but not all."""
    timeout = timeouts.of(case)
    for _ in range(3 if case.repeat == 1 else 1):
        measured = measure(case, timeout, warm)
        if measured.seconds <= timeout + LATE_S:
            break
    return measured


def good_servers(stack: contextlib.ExitStack) -> dict[str, int]:
    """Good servers to warm up on, until the stack is closed: the port for each protocol."""
    # Here, before there are threads that would each make their own.
    ca_file()
    server_context()
    return {
        protocol: stack.enter_context(
            serving(speaks_in_any_protocol, protocol=protocol, tls=protocol in INSIDE)
        )
        for protocol in PROTOCOLS
    }


def faults(case: Case, measured: Measured, timeouts: Timeouts) -> list[str]:
    """What is wrong with a measurement, each in one line; nothing if all is as promised."""
    return [
        *_costs(case, measured, timeouts.of(case)),
        *(f"complained: {complaint}" for complaint in measured.complaints),
        *_verdict(case, measured),
        *_words(case, measured),
    ]


def _costs(case: Case, measured: Measured, timeout: float) -> Iterator[str]:
    if case.repeat == 1:
        if measured.seconds > timeout + LATE_S:
            yield f"took {measured.seconds:.3f} s with a timeout of {timeout} s"
        elif case.expected.soon and measured.seconds > timeout / 2:
            yield f"could have been told at once, and took {measured.seconds:.3f} s"
        if measured.cpu_seconds > timeout + LATE_S:
            yield f"worked for {measured.cpu_seconds:.3f} s with a timeout of {timeout} s"
        if measured.grown_kib > GROWTH_KIB:
            yield f"grew by {measured.grown_kib} KiB"
    hung = case.family == "Names"  # a resolver that hangs may hold one thread, and that its socket
    if measured.threads_left > hung:
        yield f"left {measured.threads_left} threads"
    if measured.descriptors_left > hung:
        yield f"left {measured.descriptors_left} descriptors"


def _verdict(case: Case, measured: Measured) -> Iterator[str]:
    expected, phase = case.expected, measured.phase
    seen = f"{measured.detail!r} ({phase})"
    if expected.ok is not None and measured.ok is not expected.ok:
        yield f"is {'up' if measured.ok else 'down'}: {seen}"
    elif measured.ok and phase is not None:
        yield f"is up, and names a phase: {seen}"
    elif not measured.ok:
        if phase not in PHASES or (phase == "timeout" and measured.timeout_phase not in PHASES):
            yield f"failed in no known phase: {seen}"
        elif expected.phases and phase not in expected.phases:
            yield f"failed, but not in {' or '.join(expected.phases)}: {seen}"
        elif expected.alone:
            if not measured.detail.startswith(expected.alone):
                yield f"does not begin with {expected.alone!r}: {seen}"
        elif not {phase, measured.timeout_phase or phase} <= set(re.split("[ :]", measured.detail)):
            yield f"does not say the phase in words: {seen}"
        if expected.says not in measured.detail:
            yield f"does not say {expected.says!r}: {seen}"


def _words(case: Case, measured: Measured) -> Iterator[str]:
    detail = measured.detail
    # Only a user's own code is named as Python names it.
    if not case.family.endswith("of users") and JARGON.search(detail):
        yield f"is not for people: {detail!r}"
    if not detail.isprintable() or not 0 < len(detail) <= DETAIL_CHARS:
        yield f"has no printable line of at most {DETAIL_CHARS} characters: {detail!r}"
    if any(leak in detail + measured.name for leak in LEAKS):
        yield f"tells a secret: {measured.name!r}, {detail!r}"


@contextlib.contextmanager
def measuring(
    cases: Sequence[Case], timeouts: Timeouts, workers: int
) -> Iterator[dict[str, Callable[[], Measured]]]:
    """Measure the cases, `workers` at a time: for each id, what waits for its measurement."""
    with contextlib.ExitStack() as stack:
        warm = good_servers(stack)
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)
        waits: dict[str, Callable[[], Measured]] = {}
        if any(case.namespace for case in cases):
            named = pool.submit(measure_in_namespace, timeouts.hanging, timeouts.answering)
        # What is done a thousand times comes last: its neighbours' times would suffer.
        for case in sorted(cases, key=lambda case: case.repeat):
            if case.namespace:
                waits[case.id] = partial(_named, named, case.id)
            else:
                waits[case.id] = pool.submit(on_time, case, timeouts, warm).result
        yield waits


def _named(results: Future[dict[str, dict[str, Any]]], case_id: str) -> Measured:
    return Measured(**results.result()[case_id])
