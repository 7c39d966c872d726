from __future__ import annotations

import logging
import math
import os
import threading
import time
from types import SimpleNamespace

import pytest

from pingstate import Monitor, ProbeResult, TCPProbe, threshold_transitions
from pingstate.monitor import fsm as fsm_module
from tests.support.waiting import TIMEOUT, wait_until

OK = ProbeResult(ok=True, latency_ms=1.0, detail="fine")
FAIL = ProbeResult(ok=False, latency_ms=2.0, detail="connect: refused", phase="connect")


class Scripted:
    """A probe that does what a test says next, and tells when it was asked."""

    name = "scripted"
    timeout = 0.5

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[float] = []
        self.lock = threading.Lock()

    def check(self):
        with self.lock:
            self.asked.append(time.monotonic())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


# -- the thread ----------------------------------------------------------------------------------


def test_first_check_comes_at_once_and_the_rest_on_time():
    probe = Scripted(OK)
    with Monitor(probe, interval=0.1):
        wait_until(lambda: len(probe.asked) >= 11)
    assert probe.asked[10] - probe.asked[0] == pytest.approx(1.0, abs=0.5)


def test_one_check_at_a_time_also_with_check_now():
    running, most = 0, 0

    def slow():
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return OK

    with Monitor(Scripted(slow), interval=0.02) as monitor:
        threads = [threading.Thread(target=monitor.check_now) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1


def test_start_is_idempotent_and_returns_itself():
    monitor = Monitor(Scripted(OK), interval=10)
    assert monitor.start() is monitor
    monitor.start()
    names = [t.name for t in threading.enumerate()]
    assert names.count("pingstate-monitor") == 1
    monitor.stop()
    assert not monitor.running


def test_monitor_starts_again_after_stop():
    probe = Scripted(OK)
    monitor = Monitor(probe, interval=10).start()
    wait_until(lambda: probe.asked)
    monitor.stop()
    monitor.start()
    wait_until(lambda: len(probe.asked) == 2)
    monitor.stop()


def test_result_that_comes_after_stop_is_lost():
    release = threading.Event()

    def held():
        release.wait(TIMEOUT)
        return OK

    monitor = Monitor(Scripted(held), interval=10).start()
    wait_until(lambda: monitor.probe.asked)
    thread = monitor._thread
    monitor.stop(timeout=0)
    release.set()
    thread.join(TIMEOUT)
    assert monitor.state == "unknown"


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("x"),
        SystemExit(3),
        MemoryError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        Unreadable(),
        RecursionError(),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_whatever_a_probe_raises_is_a_logged_fail_and_the_next_check_comes(raised, caplog):
    probe = Scripted(raised, raised, OK)
    with Monitor(probe, interval=0.05) as monitor:
        assert monitor.wait_for("up", TIMEOUT)
        recent = monitor.snapshot()["recent"]
    assert [entry["event"] for entry in recent[:3]] == ["fail", "fail", "ok"]
    assert recent[0]["phase"] == "check"
    assert type(raised).__name__ in recent[0]["detail"]
    raised_lines = [r for r in caplog.records if r.msg == "%s: the probe raised %s"]
    assert len([r for r in raised_lines if r.levelno >= logging.WARNING]) == 1


@pytest.mark.parametrize("junk", [None, "ok", True, (True, 1.0), object()])
def test_probe_that_returns_no_result_is_a_fail(junk):
    monitor = Monitor(Scripted(junk))
    assert monitor.check_now().ok is False
    assert "not ProbeResult" in monitor.snapshot()["last_detail"]


def test_callers_keyboard_interrupt_is_the_callers():
    with pytest.raises(KeyboardInterrupt):
        Monitor(Scripted(KeyboardInterrupt())).check_now()


def test_snapshot_has_the_documented_keys():
    monitor = Monitor(Scripted(OK))
    monitor.check_now()
    snapshot = monitor.snapshot()
    assert list(snapshot)[:9] == [
        "state",
        "last_event",
        "last_detail",
        "last_latency_ms",
        "last_phase",
        "uptime_in_state_s",
        "last_check_age_s",
        "transitions",
        "recent",
    ]
    assert snapshot["probe"] == "scripted"
    assert snapshot["pid"] == os.getpid()
    assert snapshot["recent"][0]["phase"] is None


def test_latency_that_is_no_number_is_none():
    monitor = Monitor(Scripted(ProbeResult(ok=True, latency_ms=float("nan"), detail="x")))
    monitor.check_now()
    assert monitor.snapshot()["last_latency_ms"] is None


def test_slow_success_is_degraded_and_recovers():
    slow = ProbeResult(ok=True, latency_ms=900.0, detail="slow")
    monitor = Monitor(
        Scripted(slow, slow, slow, OK), slow_ms=500, transitions=threshold_transitions()
    )
    for _ in range(4):
        monitor.check_now()
    assert [e["state"] for e in monitor.snapshot()["recent"]] == ["degraded"] * 3 + ["up"]
    assert monitor.snapshot()["recent"][0]["event"] == "slow"


def test_fast_interval_until_the_state_is_settled():
    probe = Scripted(OK, FAIL, FAIL, FAIL, OK)
    monitor = Monitor(probe, interval=0.4, fast_interval=0.05, transitions=threshold_transitions(3))
    with monitor:
        wait_until(lambda: len(probe.asked) >= 5)
    gaps = [b - a for a, b in zip(probe.asked, probe.asked[1:], strict=False)]
    assert gaps[0] > 0.3
    assert gaps[1] < 0.3
    assert gaps[2] < 0.3
    assert gaps[3] > 0.3


# -- staleness ------------------------------------------------------------------------------------


def test_verdict_expires_while_a_check_never_returns():
    release = threading.Event()

    def held():
        release.wait(TIMEOUT)
        return OK

    probe = Scripted(OK, held)
    probe.timeout = 0.1
    with Monitor(probe, interval=0.1) as monitor:
        assert monitor.wait_for("up", TIMEOUT)
        assert not monitor.stale
        wait_until(lambda: monitor.stale)
        assert monitor.snapshot()["state"] == "up"
        assert monitor.snapshot()["stale"] is True
        assert monitor.snapshot()["last_check_age_s"] == pytest.approx(1.2, abs=0.6)
        assert not monitor.wait_for("up", 0.05)
        release.set()
        wait_until(lambda: not monitor.stale)


def test_monitor_whose_thread_is_not_there_is_stale_in_time(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("pingstate.monitor.monitor.now", lambda: clock[0])
    monitor = Monitor(Scripted(OK), interval=5)
    clock[0] += 6.4
    assert not monitor.stale
    clock[0] += 0.2
    assert monitor.stale


def test_probe_without_a_timeout_counts_as_ten_seconds(monkeypatch):
    class Bare:
        name = "bare"

        def check(self):
            return OK

    clock = [0.0]
    monkeypatch.setattr("pingstate.monitor.monitor.now", lambda: clock[0])
    monitor = Monitor(Bare(), interval=5)
    clock[0] = 15.9
    assert not monitor.stale
    clock[0] = 16.1
    assert monitor.stale


def test_steps_of_the_wall_clock_change_no_age(monkeypatch):
    monitor = Monitor(Scripted(OK))
    monitor.check_now()
    monkeypatch.setattr(fsm_module.time, "time", lambda: 12.0)
    monitor.check_now()
    snapshot = monitor.snapshot()
    assert 0 <= snapshot["last_check_age_s"] < 5
    assert 0 <= snapshot["uptime_in_state_s"] < 5
    assert snapshot["recent"][-1]["ts"] == 12.0


# -- many threads ---------------------------------------------------------------------------------


def test_snapshots_during_checks_are_of_one_moment():
    flip = iter(range(10**9))
    monitor = Monitor(Scripted(lambda: OK if next(flip) % 3 else FAIL), history=5)
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            snapshot = monitor.snapshot()
            if not snapshot["recent"]:
                continue
            last = snapshot["recent"][-1]
            if (last["state"], last["event"], last["detail"]) != (
                snapshot["state"],
                snapshot["last_event"],
                snapshot["last_detail"],
            ):
                wrong.append(snapshot)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        monitor.check_now()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- callbacks and waiting --------------------------------------------------------------------------


def test_on_transition_gets_old_new_and_result_in_order():
    told = []
    done = threading.Event()

    def tell(old, new, result):
        told.append((old, new, result.ok, monitor.snapshot()["probe"]))
        if len(told) == 3:
            done.set()

    monitor = Monitor(Scripted(OK, OK, FAIL, FAIL), on_transition=tell)
    for _ in range(4):
        monitor.check_now()
    assert done.wait(TIMEOUT)
    monitor.stop()
    assert [t[:3] for t in told] == [
        ("unknown", "up", True),
        ("up", "degraded", False),
        ("degraded", "down", False),
    ]


def test_on_transition_that_raises_or_blocks_harms_nothing(caplog):
    release = threading.Event()
    calls = []

    def bad(old, new, result):
        calls.append(new)
        if len(calls) == 1:
            raise SystemExit("no")
        release.wait(TIMEOUT)

    flip = iter(range(10**9))
    probe = Scripted(lambda: OK if next(flip) % 2 else FAIL)
    with Monitor(probe, interval=0.001, on_transition=bad) as monitor:
        wait_until(lambda: monitor.snapshot()["transitions"] > 250)
    release.set()
    assert "on_transition raised SystemExit: no" in caplog.text
    assert "on_transition is blocked; dropped" in caplog.text
    wait_until(lambda: "pingstate-callback" not in [t.name for t in threading.enumerate()])


def test_wait_for_says_whether_the_state_came():
    monitor = Monitor(Scripted(FAIL, FAIL, OK), interval=0.05)
    assert not monitor.wait_for("up", 0.01)
    with monitor:
        assert monitor.wait_for("up", timeout=TIMEOUT)
        assert monitor.wait_for(["down", "up"], timeout=0)


@pytest.mark.parametrize("states", ["UP", "", [], ("ok", "fail"), None, 5, b"up"])
def test_a_state_that_can_not_come_is_not_waited_for(states):
    with pytest.raises(ValueError, match="any of unknown, up, degraded, down"):
        Monitor(Scripted(OK)).wait_for(states)


@pytest.mark.parametrize(
    "timeout", ["5", math.nan, 10**400, b"", []], ids=lambda bad: repr(bad)[:9]
)
@pytest.mark.parametrize("name", ["stop", "wait_for_verdict", "wait_for"])
def test_what_is_no_time_to_wait_is_refused_and_changes_nothing(name, timeout):
    with Monitor(Scripted(OK)) as monitor:
        states = ["down"] if name == "wait_for" else []
        with pytest.raises(ValueError, match=r"^timeout: .* is not a number of seconds, or None"):
            getattr(monitor, name)(*states, timeout=timeout)
        assert monitor.running


@pytest.mark.parametrize("for_ever", [None, math.inf])
def test_one_may_wait_for_ever(for_ever):
    monitor = Monitor(Scripted(OK), on_transition=lambda *_: None).start()
    assert monitor.wait_for("up", for_ever)
    assert monitor.wait_for_verdict(for_ever)
    monitor.stop(for_ever)
    assert not monitor.running


@pytest.mark.parametrize("recent", [-1, 1.5, "5", True])
def test_what_is_no_number_of_checks_to_list_is_refused(recent):
    with pytest.raises(ValueError, match=r"^recent: .* is not a whole number from 0 to 10000"):
        Monitor(Scripted(OK)).snapshot(recent)


def test_a_state_of_ones_own_table_is_waited_for():
    monitor = Monitor(Scripted(FAIL), transitions={("unknown", "fail"): "gone"})
    with monitor:
        assert monitor.wait_for("gone", timeout=TIMEOUT)


def test_each_change_is_one_log_line_and_a_check_is_none(caplog):
    caplog.set_level(logging.INFO)
    monitor = Monitor(Scripted(OK, OK, OK, FAIL))
    for _ in range(4):
        monitor.check_now()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "scripted: unknown -> up: fine (1 ms)",
        "scripted: up -> degraded: connect: refused (2 ms)",
    ]


def test_snapshot_counts_checks_by_event_since_the_start():
    before = time.time()
    monitor = Monitor(Scripted(OK, OK, FAIL), interval=3, slow_ms=0.5)
    for _ in range(3):
        monitor.check_now()
    snapshot = monitor.snapshot()
    assert snapshot["checks"] == {"ok": 0, "slow": 2, "fail": 1, "error": 0}
    assert before - 0.001 <= snapshot["started"] <= time.time() + 0.001
    assert (snapshot["interval"], snapshot["slow_ms"]) == (3, 0.5)


@pytest.mark.parametrize(
    ("timeout", "told"), [(2, 2.0), (0.5, 0.5), (float("inf"), None), ("x", 10.0)]
)
def test_snapshot_tells_a_timeout_that_json_can_say(timeout, told):
    monitor = Monitor(Scripted(OK))
    monitor.probe.timeout = timeout
    assert Monitor(monitor.probe).snapshot()["timeout"] == told


@pytest.mark.parametrize(
    "options",
    [
        {"interval": 0},
        {"interval": -1},
        {"interval": float("nan")},
        {"interval": float("inf")},
        {"fast_interval": 0},
        {"jitter": 1.5},
        {"jitter": -0.1},
    ],
)
def test_settings_out_of_range_are_errors(options):
    with pytest.raises(ValueError, match="is not a"):
        Monitor(Scripted(OK), **options)


def test_monitor_has_told_its_changes_when_it_has_stopped():
    release, told = threading.Event(), []

    def tell(old, new, _result):
        release.wait(TIMEOUT)
        told.append((old, new))

    with Monitor(Scripted(OK), interval=10, on_transition=tell) as monitor:
        assert monitor.wait_for("up", TIMEOUT)
        threading.Timer(0.2, release.set).start()
    assert told == [("unknown", "up")]


def test_monitor_of_a_forked_process_starts_anew():
    monitor = Monitor(Scripted(OK), interval=10).start()
    wait_until(lambda: monitor.probe.asked)
    reader, writer = os.pipe()
    # A lock that is held as the process forks is held for ever in the child.
    with monitor._changed, monitor._check_lock, monitor._lifecycle_lock:
        pid = os.fork()
        if pid == 0:
            threading.Timer(TIMEOUT, os._exit, [2]).start()
            ok = monitor.needs_restart_after_fork and not monitor.running
            ok = ok and monitor.check_now().ok and monitor.snapshot()["state"] == "up"
            ok = ok and monitor.needs_restart_after_fork and monitor.start().running
            os.write(writer, b"up" if ok and monitor.wait_for_verdict(TIMEOUT) else b"no")
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "up"
    os.waitpid(pid, 0)
    monitor.stop()


# -- errors of our own ------------------------------------------------------------------------------


class Buggy(TCPProbe):
    """A probe of pingstate's, as far as its module says, with a bug that a test switches on."""

    broken = False

    def check(self):
        if self.broken:
            raise ZeroDivisionError("a bug")
        return OK


Buggy.__module__ = TCPProbe.__module__


def test_error_of_our_own_is_no_verdict_and_is_logged_with_its_traceback_once(caplog):
    monitor = Monitor(Buggy("127.0.0.1", 9), interval=0.01)
    monitor.check_now()
    at = monitor._last_at
    monitor.probe.broken = True
    with monitor:
        wait_until(lambda: monitor.stats().results["error", ""] >= 3)
    snapshot = monitor.snapshot()
    assert (snapshot["state"], snapshot["last_event"]) == ("up", "error")
    assert snapshot["last_detail"] == "internal error of pingstate: ZeroDivisionError: a bug"
    assert snapshot["checks"]["error"] >= 3
    assert (snapshot["checks"]["ok"], snapshot["checks"]["fail"]) == (1, 0)
    assert [entry["event"] for entry in snapshot["recent"]][:2] == ["ok", "error"]
    assert monitor._last_at == at
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.ERROR
    assert record.exc_info[0] is ZeroDivisionError


def test_verdict_expires_while_our_own_error_lasts():
    monitor = Monitor(Buggy("127.0.0.1", 9, timeout=0.1), interval=0.1)
    monitor.check_now()
    monitor.probe.broken = True
    with monitor:
        wait_until(lambda: monitor.stale)
        monitor.probe.broken = False
        wait_until(lambda: not monitor.stale)
    assert monitor.state == "up"


def test_check_now_raises_our_own_error():
    monitor = Monitor(Buggy("127.0.0.1", 9))
    monitor.probe.broken = True
    with pytest.raises(ZeroDivisionError):
        monitor.check_now()
    assert (monitor.state, monitor.snapshot()["last_event"]) == ("unknown", "error")


def test_users_subclass_of_a_probe_that_raises_has_failed_its_check():
    class Users(TCPProbe):
        def check(self):
            raise ZeroDivisionError("the user's")

    monitor = Monitor(Users("127.0.0.1", 9))
    assert monitor.check_now().detail == "check: the probe raised ZeroDivisionError: the user's"
    assert monitor.state == "down"


class Unwritable(logging.Handler):
    def emit(self, record):
        raise OSError("no room")


def test_log_handler_that_raises_stops_no_check():
    handler = Unwritable()
    logging.getLogger("pingstate").addHandler(handler)
    try:
        probe = Scripted(OK, FAIL)
        with Monitor(probe, interval=0.01) as monitor:
            wait_until(lambda: monitor.state == "down")
    finally:
        logging.getLogger("pingstate").removeHandler(handler)
    assert monitor.snapshot()["checks"]["fail"] >= 2


def test_name_of_any_length_is_one_short_line():
    probe = Scripted(OK)
    probe.name = "a\nb" + "x" * 1_000_000
    name = Monitor(probe).snapshot()["probe"]
    assert len(name) <= 300
    assert name.isprintable()


@pytest.mark.parametrize("thing", [None, "tcp://x", Scripted, SimpleNamespace(check=True)])
def test_probe_is_an_object_with_a_check(thing):
    with pytest.raises(ValueError, match=r"^probe: .* is not an object with a check\(\)"):
        Monitor(thing)
