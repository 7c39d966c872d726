from __future__ import annotations

import pytest

from pingstate import ProbeResult
from pingstate.net.certificate import Certificate
from pingstate.net.errors import CheckFailedError
from pingstate.probes.base import run_check
from pingstate.probes.conditions import Outcome


def check(run, **options):
    return run_check(run, timeout=5.0, owner=None, **options)


def test_result_is_a_plain_value():
    assert ProbeResult(ok=True, latency_ms=1.0, detail="x") == ProbeResult(True, 1.0, "x")


def test_trace_is_made_of_what_the_attempt_saw():
    certificate = Certificate(1.0, "a", "b")
    seen = {
        "ip_protocol": 6,
        "redirects": 2,
        "status": 204,
        "version": "1.1",
        "content_length": 0,
        "tls_version": "TLS 1.3",
        "certificate": certificate,
        "earliest_expiry": 0.5,
    }

    def run(attempt):
        for name, value in seen.items():
            setattr(attempt.trace, name, value)
        attempt.deadline.start_phase("check")
        return Outcome(ok=True, seen="fine")

    result = check(run)
    assert result.detail == "fine"
    assert {name: getattr(result.trace, name) for name in seen} == seen
    assert set(result.trace.seconds) == {"dns", "check"}


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (CheckFailedError("no answer"), "send: no answer"),
        (ConnectionRefusedError(111, "Connection refused"), "send: connection refused"),
    ],
)
def test_failure_names_the_phase_it_came_in(error, detail):
    def run(attempt):
        attempt.deadline.start_phase("send")
        raise error

    result = check(run)
    assert (result.ok, result.phase, result.detail) == (False, "send", detail)


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("odd"), TypeError("odd"), UnicodeError("odd")]
)
def test_error_of_our_own_is_no_verdict(error):
    def run(_):
        raise error

    with pytest.raises(type(error), match="odd"):
        check(run)


def test_secrets_are_redacted_in_the_detail():
    failed = check(lambda _: Outcome(ok=False, seen="not s3cret"), secrets=["s3cret"])
    assert failed.detail == "dns: not ***"


def test_own_words_stand_alone_but_for_a_timeout():
    failed = check(
        lambda _: Outcome(ok=False, seen="not s3cret", own_words=True), secrets=["s3cret"]
    )
    assert (failed.detail, failed.phase, failed.reason) == ("not ***", "dns", "dns: not ***")


def test_reason_names_the_phase_once():
    assert ProbeResult(ok=True, detail="fine").reason == "fine"
    assert ProbeResult(ok=False, phase="check", detail="check: no").reason == "check: no"
    assert ProbeResult(ok=False, phase="check", detail="checked: no").reason == "checked: no"
    assert ProbeResult(ok=False, phase="timeout", detail="timeout after 1 s in body").reason == "timeout after 1 s in body"  # fmt: skip
    assert ProbeResult(ok=False, phase="dns", detail="no such name").reason == "dns: no such name"
    assert ProbeResult(ok=False).reason == "no detail"


def test_trace_says_whether_a_pattern_failed():
    def trace(*, ok):
        return check(lambda _: Outcome(ok=ok, by_regex=True)).trace

    assert trace(ok=False).failed_due_to_regex
    assert not trace(ok=True).failed_due_to_regex
