"""The modes without a server, `--once` and `--wait`: the exit code is the answer."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import time
from dataclasses import replace

from pingstate.factory import monitor_of, probe_of
from pingstate.probes.base import ProbeResult
from pingstate.settings import LoadedSettings


def check_here(loaded: LoadedSettings) -> int:
    """The modes without a server: check in this process, and say by the exit code what came."""
    settings = loaded.settings
    # As PID 1 a process ignores a signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    # What there is to say is printed here, each thing once.
    logging.disable()
    for warning in loaded.warnings:
        print(f"pingstate: {warning}", file=sys.stderr)
    if settings.once:
        monitor = monitor_of(settings)
        result = monitor.check_now()
        print(_line(monitor.name, monitor.state, result))
        return 0 if result.ok else 1

    seconds = settings.wait or 0.0
    if settings.probe is None and getattr(probe_of(settings), "timeout", 0.0) >= seconds:
        # So that the last check ends before the time is over, and its reason can be told.
        settings = replace(settings, timeout=seconds * 0.9)
    changes: queue.SimpleQueue[tuple[str, str, ProbeResult]] = queue.SimpleQueue()
    monitor = monitor_of(settings, on_transition=lambda *change: changes.put(change))
    ready = " or ".join(settings.ready_states)
    if sys.stderr.isatty():
        print(f"waiting {seconds:g} s for {monitor.name} to be {ready}", file=sys.stderr)
    until = time.monotonic() + seconds
    state = monitor.state
    monitor.start()
    while state not in settings.ready_states:
        try:
            _, state, result = changes.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            last = monitor.stats().last
            late = f"not {ready} after {seconds:g} s: "
            print(late + _line(monitor.name, monitor.state, last))
            return 124
        print(_line(monitor.name, state, result), flush=True)
    return 0


def _line(name: str, state: str, result: ProbeResult | None) -> str:
    if result is None:
        return f"{name} is {state}: no check has ended"
    took = "" if result.latency_ms is None else f" ({result.latency_ms:g} ms)"
    return f"{name} is {state}: {result.reason}{took}"
