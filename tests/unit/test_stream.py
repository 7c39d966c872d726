from __future__ import annotations

from pingstate import probe
from tests.support.content import evaluate
from tests.support.saying import check, says

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
