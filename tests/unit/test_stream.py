from __future__ import annotations

import threading

import pytest

from pingstate import probe
from tests.support.content import evaluate
from tests.support.servers import talker

TIMEOUT = 30.0


def says(*pieces, then="close"):
    """A target that says these pieces; then it closes, or is silent until the probe closes."""

    def talk(sock):
        for piece in pieces:
            sock.sendall(piece)
        if then == "hold":
            sock.settimeout(TIMEOUT)
            sock.recv(1)

    return talker(talk)


def check(server, checks, timeout=5.0, **options):
    with server as (host, port):
        return probe("tcp", host, port, check=checks, timeout=timeout, **options).check()


# -- open ------------------------------------------------------------------------------------------


def test_open_is_a_connection_that_stays():
    result = check(says(then="hold"), "open:0.2")
    assert result.ok
    assert result.detail == "open for 0.2 s"
    assert 200 <= result.latency_ms < 4000


def test_open_fails_at_once_where_the_peer_closes():
    result = check(says(), "open:4")
    assert not result.ok
    assert result.phase == "check"
    assert result.detail.startswith("check: closed after ")
    assert result.detail.endswith("s, expected open for 4 s")
    assert result.latency_ms < 3000


@pytest.mark.parametrize("then", ["hold", "close"])
def test_open_is_one_that_has_spoken(then):
    result = check(says(b"hello\r\n", then=then), "open:4")
    assert result.ok
    assert result.detail == "open, and the target has spoken"
    assert result.latency_ms < 3000


def test_negated_open_is_a_connection_that_closes():
    assert check(says(), "not:open:4").ok
    assert not check(says(then="hold"), "not:open:0.2").ok
    assert not check(says(b"hello"), "not:open:4").ok


def test_open_goes_with_other_checks():
    assert check(says(b"SSH-2.0", then="hold"), ["open:4", "banner_contains:SSH-"]).ok
    failed = check(says(b"SSH-2.0"), ["open:4", "banner_contains:HTTP"])
    assert failed.detail == "check: 'HTTP' is not in 'SSH-2.0'"
    silent = check(says(then="hold"), ["open:0.1", "banner_contains:HTTP"], timeout=0.5)
    assert silent.phase == "timeout"


def test_each_open_waits_for_its_own_time():
    result = check(says(then="hold"), ["open:0.3", "open:0.1"])
    assert result.ok
    assert result.latency_ms >= 300


def test_callable_after_open_has_all_the_time_that_is_left():
    released = threading.Event()

    def talk(sock):
        released.wait(TIMEOUT)
        sock.sendall(b"late")
        sock.recv(1)

    def reads(sock):
        released.set()
        return sock.recv(4) == b"late"

    assert check(talker(talk), ["open:0.1", reads]).ok


# -- what must not come ----------------------------------------------------------------------------


def test_what_must_not_come_is_judged_at_the_end():
    assert check(says(b"+PONG\r\n"), "not:banner_contains:-LOADING").ok
    assert not check(says(b"-LOA", b"DING\r\n", then="hold"), "not:banner_contains:-LOADING").ok


def test_what_must_not_come_is_judged_once_the_rest_has_come():
    wanted = ["banner_contains:+PONG", "not:banner_contains:-LOADING"]
    result = check(says(b"+PO", b"NG\r\n", then="hold"), wanted)
    assert result.ok
    assert result.latency_ms < 3000
    assert not check(says(b"-LOADING\r\n+PONG\r\n", then="hold"), wanted).ok
    assert check(says(b"+PONG", then="hold"), ["open:4", "not:banner_contains:-LOADING"]).ok
    silent = check(says(then="hold"), ["open:0.1", "not:banner_contains:-LOADING"])
    assert silent.ok
    assert silent.detail == "'-LOADING' is not in nothing so far"
    assert silent.latency_ms < 3000


def test_what_must_not_come_alone_is_judged_when_the_time_is_nearly_up():
    result = check(says(b"+PONG", then="hold"), "not:banner_contains:-LOADING", timeout=1.0)
    assert result.ok
    assert result.detail == "'-LOADING' is not in '+PONG' so far"
    assert 800 <= result.latency_ms < 1000


def test_half_a_letter_is_judged_in_the_end_too():
    # The half may have been the beginning of a letter: as bytes it is known in the end only.
    result = check(
        says(b"+OK \xc3", then="hold"), ["banner_contains:+OK", "not:banner_contains:\udcc3"]
    )
    assert not result.ok


def test_what_says_nothing_proves_nothing():
    silent = check(says(then="hold"), "not:banner_contains:x", timeout=0.3)
    assert silent.phase == "timeout"
    assert silent.timeout_phase == "response"
    closed = check(says(), "not:banner_contains:x")
    assert closed.detail == "response: closed without a banner"


def test_banner_over_its_bound_proves_no_absence():
    result = check(says(b"x" * 80_000), "not:banner_contains:y")
    assert not result.ok
    assert "'y' is not in the first 65536 bytes: 'xxx" in result.detail
    assert check(says(b"x" * 65_536), "not:banner_contains:y").ok
    assert "in the first 65536 bytes: " in check(says(b"x" * 80_000), "banner_contains:y").detail  # fmt: skip


def test_anchored_pattern_decides_before_the_time_is_up():
    result = check(says(b"-ERR unknown command\r\n", then="hold"), r"banner_matches:^\+PONG")
    assert not result.ok
    assert result.phase == "check"
    assert result.latency_ms < 3000
    result = check(says(b"+PONG\r\n", then="hold"), "not:banner_matches:^-")
    assert result.ok
    assert result.latency_ms < 3000


# -- the loop --------------------------------------------------------------------------------------


def test_reading_stops_when_all_is_decided():
    assert evaluate("banner_contains:a", b"a", ends=False).ok
    assert not evaluate("not:body_contains:a", b"a", ends=False).ok


def test_first_failure_ends_the_reading(target):
    target.body = b"x" * 60_000
    made = probe("http", "127.0.0.1", target.port, timeout=5, check=["body_contains:y", "body_contains:x"])  # fmt: skip
    assert made.check().detail == f"check: HTTP 200, 'y' is not in '{'x' * 59}…'"
