"""The modes without a server, `--once` and `--wait`: the exit code is the answer."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
import traceback
from dataclasses import replace

from pingstate.factory import create_monitor, create_probe
from pingstate.monitor.monitor import Monitor
from pingstate.output import protect_standard_streams
from pingstate.probes.base import ProbeResult
from pingstate.queued_output import create_queued_output
from pingstate.settings import ConfigurationError, LoadedSettings, Settings
from pingstate.text import describe_exception

# sysexits.h: an error inside the program, and so no answer about the target.
EX_SOFTWARE = 70


def run_without_server(loaded: LoadedSettings) -> int:
    """Run `--once` or `--wait` in this process; returns the exit code.

    Blocks until the check, or the waiting, is over. Raises ConfigurationError.
    """
    settings = loaded.settings
    protect_standard_streams(create_queued_output)
    # Everything is printed below, once, instead of logged.
    logging.disable()
    for warning in loaded.warnings:
        print(f"pingstate: {warning}", file=sys.stderr)
    try:
        return _check_once(settings) if settings.once else _wait(loaded)
    except ConfigurationError:
        raise
    except Exception as exc:  # noqa: BLE001  # our own: what a custom probe raises is a result
        traceback.print_exc()
        print(f"the target was not checked: internal error of pingstate: {describe_exception(exc)}")
        return EX_SOFTWARE


def _check_once(settings: Settings) -> int:
    monitor = create_monitor(settings)
    result = monitor.check_now()
    print(_line(monitor.name, monitor.state, result))
    return 0 if result.ok else 1


def _wait(loaded: LoadedSettings) -> int:
    settings = _pace(loaded)
    seconds = settings.wait or 0.0
    changes: queue.SimpleQueue[tuple[str, str, ProbeResult]] = queue.SimpleQueue()
    monitor = create_monitor(settings, on_transition=lambda *change: changes.put(change))
    ready = " or ".join(settings.ready_states)
    if sys.stderr.isatty():
        print(f"waiting {seconds:g} s for {monitor.name} to be {ready}", file=sys.stderr)
    end = time.monotonic() + seconds
    state = monitor.state
    monitor.start()
    looked_last = False
    while state not in settings.ready_states:
        last = monitor.stats().last
        # Early enough for one more answer, if it comes as fast as the last one.
        lead = min(max(2 * ((last and last.latency_ms) or 0.0) / 1000, 0.1), seconds / 10)
        until = end if looked_last else end - lead
        try:
            _, state, result = changes.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            if not looked_last:
                looked_last = True
                threading.Thread(target=monitor.check_now, daemon=True).start()
                continue
            print(f"not {ready} after {seconds:g} s: {_last_line(monitor)}")
            return 124
        print(_line(monitor.name, state, result))
    return 0


def _pace(loaded: LoadedSettings) -> Settings:
    """The settings with an interval, and a timeout, that are short beside `--wait`."""
    settings = loaded.settings
    seconds = settings.wait or 0.0
    slowest = seconds / 10
    interval = settings.interval if loaded.sources["interval"] != "default" else 1.0
    settings = replace(
        settings,
        interval=min(interval, slowest),
        fast_interval=settings.fast_interval and min(settings.fast_interval, slowest),
        # Nobody else's checks are to be spread.
        jitter=0.0,
    )
    if settings.probe is None and getattr(create_probe(settings), "timeout", 0.0) >= seconds:
        # The last check then ends before the time is over, and its reason can be printed.
        settings = replace(settings, timeout=seconds * 0.9)
    return settings


def _last_line(monitor: Monitor) -> str:
    snapshot = monitor.snapshot()
    if snapshot["last_event"] == "error":
        return f"{monitor.name} is {snapshot['state']}: {snapshot['last_detail']}"
    return _line(monitor.name, monitor.state, monitor.stats().last)


def _line(name: str, state: str, result: ProbeResult | None) -> str:
    if result is None:
        return f"{name} is {state}: no check has ended"
    took = "" if result.latency_ms is None else f" ({result.latency_ms:g} ms)"
    return f"{name} is {state}: {result.reason}{took}"
