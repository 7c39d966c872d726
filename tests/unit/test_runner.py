from __future__ import annotations

import logging

import pytest

from pingstate import ProbeResult, TCPProbe, Trace
from pingstate.monitor.runner import CheckRunner, finite_or_none


class Probe:
    name = "a probe"

    def __init__(self, check):
        self.check = check


def run(result):
    return CheckRunner("a probe").run(Probe(lambda: result))


def raiser(exc):
    def check():
        raise exc

    return check


def test_result_is_made_fit_to_be_shown():
    trace = Trace()
    result = run(
        ProbeResult(
            ok=1, latency_ms=float("inf"), detail="a\nb" * 1000, phase="nonsense", trace=trace
        )
    )
    assert result.ok is True
    assert result.latency_ms is None
    assert len(result.detail) <= 200
    assert result.detail.isprintable()
    assert result.phase is None
    assert result.trace is trace


@pytest.mark.parametrize(
    ("phase", "shown"),
    [("dns", "dns"), ("timeout", "timeout"), ("x", "check"), (None, "check"), (3, "check")],
)
def test_failure_has_one_of_the_known_phases(phase, shown):
    assert run(ProbeResult(ok=False, phase=phase, trace="no trace")).phase == shown


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1), (0.5, 0.5), (float("nan"), None), ("1", None), (None, None)]
)
def test_number_is_one_that_json_can_say(value, number):
    assert finite_or_none(value) == number


def test_row_of_the_same_error_is_one_warning_until_a_check_comes_about(caplog):
    caplog.set_level(logging.DEBUG)
    runner = CheckRunner("a probe")
    for _ in range(3):
        assert not runner.run(Probe(raiser(ValueError("x")))).ok
    runner.run(Probe(lambda: ProbeResult(ok=True)))
    runner.run(Probe(raiser(ValueError("x"))))
    runner.run(Probe(raiser(ValueError("y"))))
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "WARNING", "WARNING"]


def test_what_a_probe_of_ours_raises_is_raised(monkeypatch):
    ours = TCPProbe("127.0.0.1", 9)
    monkeypatch.setattr(ours, "_check", lambda _attempt: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CheckRunner("ours").run(ours)


def test_error_of_ours_is_logged_once_for_each_place(caplog):
    runner = CheckRunner("ours")
    errors = []
    for check in (raiser(KeyError("a")), raiser(KeyError("b"))):
        for _ in range(2):
            with pytest.raises(KeyError) as caught:
                check()
            errors.append(caught.value)
    with pytest.raises(ValueError, match="literal") as other:
        int("x")
    details = [runner.report_error(error) for error in [*errors, other.value]]
    assert details[0] == "internal error of pingstate: KeyError: 'a'"
    assert details[-1].startswith("internal error of pingstate: ValueError: ")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert all(record.exc_info for record in caplog.records)


def test_callers_interrupt_is_the_callers():
    with pytest.raises(KeyboardInterrupt):
        CheckRunner("a probe").run(Probe(raiser(KeyboardInterrupt())))
