"""Run a probe on a schedule and track its state."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Container
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pingstate.monitor.clock import now
from pingstate.monitor.fsm import PingFSM, Transitions
from pingstate.monitor.handover import Handover
from pingstate.monitor.notifier import Notifier, TransitionCallback
from pingstate.monitor.runner import CheckRunner, finite_or_none
from pingstate.monitor.schedule import Schedule
from pingstate.monitor.stats import Stats
from pingstate.probes.base import Probe, ProbeResult
from pingstate.text import one_line
from pingstate.values import (
    InvalidValueError,
    validate_fraction,
    validate_interval,
    validate_milliseconds,
    validate_states,
    validate_wait,
)

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

# What a probe that doesn't say how long it may take counts as, in seconds.
_UNKNOWN_TIMEOUT = 10.0
_MAX_NAME = 300


class Monitor:
    """Checks a probe on a background thread and keeps the state. Every method is thread-safe.

    `interval` is the seconds between checks, above 0, at most a year; `fast_interval` (None: the
    same) holds while the state is not settled; `jitter` is the random delay added to each check,
    as a fraction of the interval, 0 to 1. `initial_state`, `transitions` and `history` are
    `PingFSM`'s. `slow_ms` makes a successful check that took longer, in milliseconds, the event
    `slow` (None: never). `on_transition` is called with the old state, the new state and the
    result, on a thread of its own, in order.

    The verdict is stale when no check has ended for the interval, its jitter, the probe's
    `timeout` (10 s where it has none) and one second more.

    The thread is a daemon, belongs to the process that called `start()` and is not there after a
    fork. Raises ValueError for what is out of range or of another kind, an object without a
    `check()` among it.
    """

    def __init__(
        self,
        probe: Probe,
        interval: float = 5.0,
        initial_state: str = "unknown",
        transitions: Transitions | None = None,
        history: int = 20,
        *,
        fast_interval: float | None = None,
        jitter: float = 0.0,
        slow_ms: float | None = None,
        on_transition: TransitionCallback | None = None,
    ) -> None:
        if isinstance(probe, type) or not callable(getattr(probe, "check", None)):
            raise InvalidValueError("probe", probe, "an object with a check()")
        self.probe = probe
        # Any text may come from a user's probe, and it is in each line and each snapshot.
        self.name = one_line(str(getattr(probe, "name", type(probe).__name__)), _MAX_NAME)
        self.interval = validate_interval(interval)
        self._fast_interval = self.interval
        if fast_interval is not None:
            self._fast_interval = validate_interval(fast_interval, "fast_interval")
        self._jitter = validate_fraction(jitter, "jitter")
        self._slow_ms = None if slow_ms is None else validate_milliseconds(slow_ms, "slow_ms")
        timeout: Any = getattr(probe, "timeout", None)
        known = isinstance(timeout, (int, float)) and timeout >= 0
        self._timeout = float(timeout) if known else _UNKNOWN_TIMEOUT
        self._fsm = PingFSM(initial_state, transitions, history)
        self._results: Counter[tuple[str, str]] = Counter()
        # From 0 on, or a rate over a counter misses the first change.
        self._transitions = Counter(dict.fromkeys(self._fsm.possible_transitions(), 0))
        self._runner = CheckRunner(self.name)
        self._last: ProbeResult | None = None
        self._last_at: float | None = None
        self._last_time: float | None = None
        self._started_at = now()
        self._started_time = time.time()
        self._callback = on_transition
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._handover: Handover | None = None
        self._reset_locks()
        _monitors.add(self)

    def use_store(self, handover: Handover) -> None:
        """Save the state there after each check, and start from the one found there if not stale.

        Call it before `start()`.
        """
        self._handover = handover

    def _restore(self) -> None:
        saved = self._handover.load() if self._handover is not None else None
        if saved is None or now() - saved["checked_at"] > self._stale_after:
            return
        with self._changed:
            self._fsm.restore(saved)
            # It goes on ageing: a probe that kills its worker each time must not keep it young.
            self._last_at = self._started_at = saved["checked_at"]
            self._last_time = saved["recent"][-1]["ts"] if saved["recent"] else None
            last = saved["last"]
            self._last = ProbeResult(
                ok=last["event"] != "fail",
                latency_ms=last["latency"],
                detail=last["detail"] or "",
                phase=last["phase"],
            )

    def _reset_locks(self) -> None:
        # Guards everything that a snapshot shows; held for microseconds.
        self._changed = threading.Condition(threading.Lock())
        # Held during a check: one at a time.
        self._check_lock = threading.Lock()
        # Held while the thread is started or stopped.
        self._lifecycle_lock = threading.Lock()
        self._stop = threading.Event()
        self._notifier = None if self._callback is None else Notifier(self._callback)

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start checking, the first check at once; returns itself. Nothing when it runs already."""
        with self._lifecycle_lock:
            if self._thread is None or not self._thread.is_alive():
                self._pid = os.getpid()
                self._stop = threading.Event()
                self._started_at = now()
                if not self._results:
                    self._started_time = time.time()
                if self._last_at is None:
                    self._restore()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="pingstate-monitor", daemon=True
                )
                self._thread.start()
        return self

    def stop(self, timeout: float | None = 5.0) -> None:
        """Stop checking, and wait up to `timeout` seconds (None: for ever) for what is under way.

        A check in flight is discarded; `on_transition` is told what it has not been told yet.
        `start()` starts again. A probe that never returns keeps its thread, and the next check
        waits for it.
        """
        timeout = validate_wait(timeout)
        with self._lifecycle_lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        started = now()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self._notifier is not None:
            left = None if timeout is None else max(timeout - (now() - started), 0.0)
            self._notifier.join(left)

    @property
    def running(self) -> bool:
        """Whether the thread is alive in this process."""
        thread = self._thread
        return thread is not None and self._pid == os.getpid() and thread.is_alive()

    @property
    def needs_restart_after_fork(self) -> bool:
        """Whether the thread was started in a process that this one is forked from."""
        return self._thread is not None and self._pid != os.getpid()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- checks --------------------------------------------------------------------------------

    def check_now(self) -> ProbeResult:
        """Check at once in the calling thread, after a check that is under way; keeps the slots.

        Raises what went wrong in pingstate itself, after it is recorded as the event `error`.
        """
        with self._check_lock:
            try:
                result = self._runner.run(self.probe)
                self._record(result)
            except Exception as exc:
                self._record_error(exc)
                raise
            return result

    def _run(self, stop: threading.Event) -> None:
        schedule = Schedule(self.interval, self._fast_interval, self._jitter, now())
        while True:
            with self._check_lock:
                if stop.is_set():
                    return
                settled = False
                try:
                    result = self._runner.run(self.probe)
                    if stop.is_set():
                        return
                    settled = self._record(result)
                # Whatever is wrong with us, the next check must come.
                except BaseException as exc:  # noqa: BLE001  # it is logged
                    self._record_error(exc)
            due = schedule.next(now(), fast=not settled)
            # In parts: waits are timed by a clock that stands still during a suspend, unlike now().
            while (left := due - now()) > 0:
                if stop.wait(min(left, 60.0)):
                    return

    def _record_error(self, exc: BaseException) -> None:
        """Record an error of our own: the state stays and goes on ageing."""
        detail = self._runner.report_error(exc)
        with self._changed:
            self._fsm.fire("error", detail=detail)
            self._results["error", ""] += 1
            self._changed.notify_all()

    def _record(self, result: ProbeResult) -> bool:
        """Feed a result to the state machine; whether the state is settled after it."""
        latency = result.latency_ms
        event = "ok" if result.ok else "fail"
        if result.ok and self._slow_ms is not None and (latency or 0.0) > self._slow_ms:
            event = "slow"
        detail = result.detail or None
        phase = None if result.ok else result.phase
        with self._changed:
            old = self._fsm.state
            new = self._fsm.fire(event, latency, detail, phase)
            settled = self._fsm.settled
            self._last, self._last_at, self._last_time = result, now(), time.time()
            self._results[event, result.phase or ""] += 1
            if new != old:
                self._transitions[old, new] += 1
            if self._handover is not None:
                self._handover.save(self._fsm.save())
            self._changed.notify_all()
        if new != old:
            self._report_transition(old, new, event, result)
        return settled

    def _report_transition(self, old: str, new: str, event: str, result: ProbeResult) -> None:
        took = "no latency" if result.latency_ms is None else f"{result.latency_ms:g} ms"
        log.log(
            logging.INFO if new == "up" else logging.WARNING,
            "%s: %s -> %s: %s (%s)",
            self.name,
            old,
            new,
            result.reason,
            f"slow, {took}" if event == "slow" else took,
            extra={
                "probe": self.name,
                "old_state": old,
                "new_state": new,
                "phase": result.phase,
                "detail": result.detail,
                "latency_ms": result.latency_ms,
            },
        )
        if self._notifier is not None:
            self._notifier.notify(old, new, result)

    # -- verdict -------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state's word: what the last check left, whatever its age."""
        return self._fsm.state

    @property
    def stale(self) -> bool:
        """Whether the verdict has expired: no check has ended for too long."""
        return now() - max(self._last_at or 0.0, self._started_at) > self._stale_after

    @property
    def _stale_after(self) -> float:
        longest = max(self.interval, self._fast_interval)
        return longest * (1 + self._jitter) + self._timeout + 1

    def possible_states(self) -> list[str]:
        """Every state that there may be."""
        return self._fsm.possible_states()

    def wait_for(self, states: str | Container[str], timeout: float | None = None) -> bool:
        """Block until the state is `states` (one, or any of several) and fresh; False on timeout.

        `timeout` is in seconds, None waits for ever. Raises ValueError for no state there may be.
        """
        wanted = validate_states(states, self.possible_states())
        timeout = validate_wait(timeout)
        with self._changed:
            return self._changed.wait_for(lambda: self.state in wanted and not self.stale, timeout)

    def wait_for_verdict(self, timeout: float | None = None) -> bool:
        """Block until there is a verdict that is not stale; False after `timeout` seconds."""
        timeout = validate_wait(timeout)
        with self._changed:
            return self._changed.wait_for(
                lambda: self._last_at is not None and not self.stale, timeout
            )

    def snapshot(self, recent: int | None = None) -> dict[str, Any]:
        """Everything at this moment, consistent, in a new dict that is the caller's to keep.

        `recent` is how many checks to list at most, the newest ones (None: all that are kept).
        The keys of `PingFSM.snapshot()`, and `pid`, `certificate` (of the last check, None without
        one; its `expires` in seconds since 1970), `checks` (how many of each event since
        `started`, in seconds since 1970), `interval` and `timeout` (seconds; None: never ends),
        and `slow_ms` (milliseconds; None: never slow).
        """
        with self._changed:
            snapshot = self._fsm.snapshot(recent)
            snapshot["stale"] = self.stale
            trace = self._last.trace if self._last else None
            checks = dict.fromkeys(("ok", "slow", "fail", "error"), 0)
            for (event, _), count in self._results.items():
                checks[event] += count
            started = self._started_time
        certificate = trace.certificate if trace else None
        snapshot["probe"] = self.name
        snapshot["pid"] = os.getpid()
        snapshot["certificate"] = certificate and {
            "expires": certificate.expires,
            "subject": certificate.subject,
            "issuer": certificate.issuer,
        }
        snapshot["checks"] = checks
        snapshot["started"] = round(started, 3)
        snapshot["interval"] = self.interval
        snapshot["timeout"] = finite_or_none(self._timeout)
        snapshot["slow_ms"] = finite_or_none(self._slow_ms)
        return snapshot

    def stats(self) -> Stats:
        """What metrics are made of, consistent, in copies that are the caller's to keep."""
        with self._changed:
            return Stats(
                state=self._fsm.state,
                stale=self.stale,
                timeout=self._timeout,
                last=self._last,
                checked_at=self._last_time,
                results=self._results.copy(),
                transitions=self._transitions.copy(),
            )


_monitors: WeakSet[Monitor] = WeakSet()


def _reset_after_fork() -> None:
    # A lock that another thread held when the process forked is held for ever.
    for monitor in _monitors:
        monitor._reset_locks()  # noqa: SLF001  # its own module


os.register_at_fork(after_in_child=_reset_after_fork)
