from __future__ import annotations

import threading

import pytest

from tests.support.saying import check, says
from tests.support.servers import talker
from tests.support.waiting import TIMEOUT


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


def test_negated_open_is_told_by_time_alone_whatever_else_has_passed():
    for others in ("open:0.1", "not:banner_contains:x"), ("open:0.1",):
        result = check(says(then="hold"), [*others, "not:open:0.4"])
        assert not result.ok
        assert result.detail == "check: open for 0.4 s, expected not:open:0.4"
        assert result.latency_ms >= 400


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
