from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.probes.conditions import BannerCondition, CallCondition, HTTPCondition, parse_check
from pingstate.text import one_line

BAD = [
    ("http", "status:"),
    ("http", "status:abc"),
    ("http", "status:99"),
    ("http", "status:600"),
    ("http", "status:300-200"),
    ("http", "status:200,"),
    ("http", "status:200-"),
    ("http", "body_contains:"),
    ("http", "body_matches:("),
    ("http", "body_matches:"),
    ("http", "json:status"),
    ("http", "json:/a~2=1"),
    ("http", "json:/a"),
    ("http", "header:X"),
    ("http", "header:a b=1"),
    ("http", "banner_contains:x"),
    ("http", "call:nothing"),
    ("http", "call:no.such.module:x"),
    ("http", "call:json:no_such"),
    ("http", "call:sys:version"),
    ("http", "contains:x"),
    ("http", "STATUS:200"),
    ("http", ""),
    ("http", "status"),
    ("tcp", "status:200"),
    ("tcp", "banner_contains:"),
    ("tcp", "banner_matches:["),
]


@pytest.mark.parametrize(("protocol", "text"), BAD)
def test_bad_check_is_an_error_when_it_is_read(protocol, text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_check(protocol, text)


@given(st.sampled_from(["tcp", "http", "https"]), st.text())
def test_garbage_is_a_condition_or_a_value_error(protocol, text):
    try:
        condition = parse_check(protocol, text)
    except ValueError:
        return
    assert isinstance(condition, (HTTPCondition, BannerCondition, CallCondition))


@pytest.mark.parametrize(
    ("check", "status", "ok"),
    [
        ("status:200,204", 204, True),
        ("status:200,204", 201, False),
        ("status:200-299,404", 404, True),
        ("status:200-299,404", 299, True),
        ("status:200-299,404", 300, False),
        ("status:503", 503, True),
    ],
)
def test_status_lists_and_ranges(check, status, ok):
    assert parse_check("http", check).on_head(status, {})[0] is ok


DOCUMENT = {"a/b": 1, "m~n": {"list": [10, {"deep": True}]}, "": "empty", "s": "ok", "n": None}


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        ("json:/a~1b=1", True),
        ("json:/a~1b=true", False),
        ("json:/m~0n/list/0=10", True),
        ("json:/m~0n/list/1/deep=true", True),
        ("json:/m~0n/list/-=1", False),
        ("json:/m~0n/list/01=1", False),
        ("json:/m~0n/list/7=1", False),
        ("json:/=empty", True),
        ("json:/s=ok", True),
        ('json:/s="ok"', True),
        ("json:/n=null", True),
        ("json:/none=null", False),
        ("json:/s/x=1", False),
    ],
)
def test_json_pointer_is_rfc_6901(check, ok):
    outcome = parse_check("http", check).on_body(json.dumps(DOCUMENT).encode(), True, 1.0)
    assert outcome is not None
    assert outcome[0] is ok


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 60000, b"1" * 60000])
def test_json_that_is_none_is_a_fail(body):
    assert parse_check("http", "json:/a=1").on_body(body, True, 1.0)[0] is False


def test_header_is_found_in_any_case_by_the_mapping_and_compared_whole():
    condition = parse_check("http", "header:X-Role=primary")
    assert condition.on_head(200, {"X-Role": " primary"})[0] is True
    assert condition.on_head(200, {"X-Role": "primary2"})[0] is False
    assert condition.on_head(200, {})[0] is False


def test_text_is_found_as_soon_as_it_is_there_and_missed_only_at_the_end():
    search = parse_check("http", "body_contains:needle").on_body
    assert search(b"hay nee", False, 1.0) is None
    assert search(b"hay needle", False, 1.0)[0] is True
    assert search(b"hay", True, 1.0)[0] is False


def test_regular_expression_gives_up_when_the_time_is_up():
    search = parse_check("http", "body_matches:(a+)+$").on_body
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        search(b"a" * 60000 + b"b", True, 0.2)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        (lambda _: True, (True, "")),
        (lambda _: (True, "fine"), (True, "fine")),
        (lambda _: (False, "no\nway"), (False, "no\N{REPLACEMENT CHARACTER}way")),
        (lambda _: None, (False, "the check said no")),
        (lambda _: 1 / 0, (False, "the check raised ZeroDivisionError: division by zero")),
        (lambda _: (1, 2, 3), (False, "the check raised ValueError: too many values to unpack")),
    ],
)
def test_callable_decides_and_one_that_raises_is_a_fail(function, outcome):
    ok, detail = CallCondition(function).judge(None)
    assert ok is outcome[0]
    assert detail.startswith(outcome[1])


def test_callable_whose_exception_cannot_be_read_is_a_fail():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    def broken(_):
        raise Broken

    assert CallCondition(broken).judge(None) == (
        False,
        "the check raised Broken: its message can't be read",
    )


@given(st.text())
def test_one_line_is_one_printable_line_of_bounded_length(text):
    line = one_line(text)
    assert len(line) <= 200
    assert line.isprintable()


def test_one_line_hides_credentials():
    assert one_line("see http://user:secret@host/x") == "see http://***@host/x"
