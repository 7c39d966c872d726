from __future__ import annotations

import pytest
from urllib3 import HTTPHeaderDict

from pingstate import probe
from pingstate.probes.checks import parse_check
from pingstate.probes.conditions import Head
from tests.support.servers import talker


def evaluate(check, status=200, fields=()):
    return parse_check("http", check).evaluate(Head(status, HTTPHeaderDict(fields), lambda: 5.0))


@pytest.mark.parametrize(
    ("check", "status", "ok"),
    [
        ("status:200,204", 204, True),
        ("status:200,204", 201, False),
        ("status:200-299,404", 404, True),
        ("status:200-299, 404", 299, True),
        ("status:200-299,404", 300, False),
        ("status:503", 503, True),
        ("not:status:503", 503, False),
        ("not:status:503", 404, True),
        ("not:status:500-599", 599, False),
    ],
)
def test_status_lists_and_ranges(check, status, ok):
    assert evaluate(check, status).ok is ok


FIELDS = [
    ("X-Role", "primary"),
    ("Set-Cookie", "a=1; Path=/"),
    ("Set-Cookie", "b=2"),
    ("Vary", "Accept"),
    ("Vary", "Origin"),
    ("X-Latin", "prêt"),
    ("X-Utf", "prêt".encode().decode("latin-1")),
    ("X-Empty", ""),
    ("X-Blank", " padded "),
    ("Content-Type", "application/json; charset=utf-8"),
]


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        ("header:X-Role", True),
        ("header:x-role", True),
        ("header:X-Empty", True),
        ("header:X-None", False),
        ("header:X-Role=primary", True),
        ("header:x-role= primary ", True),
        ("header:X-Role=prim", False),
        ("header:X-Role=PRIMARY", False),
        ("header:X-None=primary", False),
        ("header:X-Empty=", True),
        ("header:X-Role=", False),
        ("header:X-Blank=padded", True),
        ("header:X-Latin=prêt", True),
        ("header:X-Utf=prêt", True),
        # The whole field, or one of its lines.
        ("header:Vary=Accept, Origin", True),
        ("header:Vary=Origin", True),
        ("header:Vary=Accept", True),
        ("header:Vary=Acc", False),
        ("header:Set-Cookie=b=2", True),
        ("header:Content-Type=application/json", False),
        ("header_matches:Content-Type=^application/json", True),
        ("header_matches:Content-Type=^text/", False),
        ("header_matches:Set-Cookie=^b=", True),
        ("header_matches:Vary=^Accept, O", True),
        ("header_matches:X-Utf=^pr.t$", True),
        ("header_matches:X-None=.*", False),
        ("header_matches:X-Empty=^$", True),
        ("not:header:X-None", True),
        ("not:header:X-Role", False),
        ("not:header:X-Role=standby", True),
        ("not:header:X-Role=primary", False),
        ("not:header:X-None=primary", True),
        ("not:header_matches:X-Role=^stand", True),
        ("not:header_matches:X-Role=^prim", False),
        ("not:header_matches:X-None=.*", True),
    ],
)
def test_header_is_there_or_is_equal_or_matches(check, ok):
    assert evaluate(check, fields=FIELDS).ok is ok


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        ("header:X-Role=standby", "X-Role is 'primary', expected 'standby'"),
        ("header:X-None", "there is no header X-None"),
        ("not:header:X-Role", "X-Role is 'primary', expected not:header:X-Role"),
        ("header_matches:X-Role=^s", "X-Role is 'primary', expected a match of '^s'"),
        ("header:X-Role=primary", "X-Role is 'primary'"),
        ("status:503", "expected 503"),
        ("not:status:200", "expected not:status:200"),
    ],
)
def test_detail_says_what_came_and_what_was_expected(check, detail):
    assert evaluate(check, fields=FIELDS).detail == detail


@pytest.mark.parametrize("check", ["header_matches:X-Role=^s", "not:header_matches:X-Role=^p"])
def test_failure_by_a_pattern_is_told_apart(check):
    assert evaluate(check, fields=FIELDS).by_regex
    assert not evaluate("header:X-Role=s", fields=FIELDS).by_regex


def answering(head: bytes):
    def answer(sock):
        sock.recv(10_000)
        sock.sendall(head)

    return talker(answer)


def test_lines_of_a_field_are_told_apart_on_the_wire():
    head = b"HTTP/1.1 200 OK\r\nVia: one\r\nVIA: two, three\r\nContent-Length: 0\r\n\r\n"
    checks = ["header:Via=one", "header:Via=two, three", "header:Via=one, two, three"]
    with answering(head) as (host, port):
        assert probe("http", host, port, check=checks).check().ok
        failed = probe("http", host, port, check="header:Via=three").check()
    assert failed.detail == "check: HTTP 200, Via is 'one, two, three', expected 'three'"


@pytest.mark.parametrize(
    ("check", "status", "ok"),
    [
        # A check that names a status, in whatever way, says all about the status.
        ("not:status:503", 404, True),
        ("not:status:503", 503, False),
        ("not:status:302", 302, False),
        ("not:status:302", 200, True),
        # One that names none wants a 2xx as well.
        ("not:header:X-None", 404, False),
        ("not:header:X-None", 200, True),
    ],
)
def test_negated_status_replaces_the_rule_of_any_2xx(target, check, status, ok):
    target.status, target.body = status, b""
    target.headers["Location"] = "/"
    result = probe("http", "127.0.0.1", target.port, timeout=5, check=check).check()
    assert result.ok is ok
    assert result.detail.startswith(f"HTTP {status}" if ok else f"check: HTTP {status}, expected")


def test_trace_says_that_a_pattern_failed(target):
    target.headers["X-Role"] = "primary"

    def failed(check):
        made = probe("http", "127.0.0.1", target.port, timeout=5, check=check)
        return made.check().trace.failed_due_to_regex

    assert failed("header_matches:X-Role=^standby$")
    assert failed("body_matches:^NO")
    assert not failed("header_matches:X-Role=^primary$")
    assert not failed("header:X-Role=standby")
    assert not failed("status:503")
