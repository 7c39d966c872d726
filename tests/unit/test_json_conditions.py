from __future__ import annotations

import json

import pytest

from tests.support.content import evaluate

DOCUMENT = {
    "a/b": 1,
    "m~n": {"list": [10, {"deep": True}]},
    "": "empty",
    "s": "ok",
    "deep": {"a": {"x": None}, "b": [1, True]},
    "n": None,
    "i": 5,
    "f": 5.0,
    "half": 0.5,
    "big": 12345678901234567890,
    "text5": "5",
    "=x": 1,
    "eq": "=x",
    "no": [],
    "René": "é",
    "bang!": 1,
}


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
        ("json:/s= ok ", True),
        ('json:/s=" ok"', False),
        ("json:/n=null", True),
        ("json:/none=null", False),
        ("json:/s/x=1", False),
        ("json:/René=é", True),
        ("json:/bang!", True),
        ("json:/text5=5", True),
        ("json:/i=5.0", True),
        ('json:/deep={"b":[1.0,true],"a":{"x":null}}', True),
        ('json:/deep={"b":[true,1],"a":{"x":null}}', False),
        ('json:/deep={"b":[1,1],"a":{"x":null}}', False),
        ('json:/deep={"b":[1,true,2],"a":{"x":null}}', False),
        ('json:/deep={"b":[1,true],"a":{}}', False),
        ('json:/deep!={"b":[1.0,true],"a":{"x":null}}', False),
        ('json:/eq="=x"', True),
        # is there
        ("json:", True),
        ("json:/s", True),
        ("json:/n", True),
        ("json:/no", True),
        ("json:/none", False),
        ("json:/m~0n/list/2", False),
        # is something else, for which it must be there
        ("json:/s!=ok", False),
        ("json:/s!=down", True),
        ("json:/i!=5", False),
        ("json:/i!=6", True),
        ("json:/none!=5", False),
        # numbers
        ("json:/i>4", True),
        ("json:/i>5", False),
        ("json:/i>=5", True),
        ("json:/i<=5", True),
        ("json:/i<5", False),
        ("json:/i<5.5", True),
        ("json:/f>=5", True),
        ("json:/half<1e0", True),
        ("json:/half>-1", True),
        ("json:/big>12345678901234567889", True),
        ("json:/big>12345678901234567890", False),
        ("json:/text5>4", False),
        ("json:/s<5", False),
        ("json:/n<5", False),
        ("json:/m~0n/list/1/deep>=0", False),
        ("json:/none<5", False),
        # patterns, on a string or on the JSON of anything else
        ("json_matches:/s=^o", True),
        ("json_matches:/s=^k", False),
        ("json_matches:/i=^5$", True),
        ("json_matches:/no=^\\[\\]$", True),
        ("json_matches:/n=^null$", True),
        ("json_matches:/none=.*", False),
        ("json_matches:/René=^é$", True),
        # negated
        ("not:json:/none", True),
        ("not:json:/no", False),
        ("not:json:/s=down", True),
        ("not:json:/s=ok", False),
        ("not:json:/none=ok", True),
        ("not:json:/i>5", True),
        ("not:json:/i>4", False),
        ("not:json:/none>4", True),
        ("not:json_matches:/s=^k", True),
        ("not:json_matches:/s=^o", False),
        ("not:json_matches:/none=.*", True),
        # What is no number can't be compared, whichever way round it is asked.
        ("not:json:/s<5", False),
        ("not:json:/text5>4", False),
    ],
)
def test_value_at_an_rfc_6901_pointer(check, ok):
    assert evaluate(check, json.dumps(DOCUMENT).encode()).ok is ok


NO_JSON = [
    b"",
    b"{",
    b"\xff\xfe",
    b"1" * 60000,
    b"<html>",
    b'{"a": 1} x',
    b"{'a': 1}",
]


@pytest.mark.parametrize("check", ["json:/a=1", "json:", "not:json:/a=1", "not:json:/errors", "json_matches:/a=.", "not:json_matches:/a=."])  # fmt: skip
@pytest.mark.parametrize("body", NO_JSON)
def test_body_that_is_no_json_fails_whichever_way_round(check, body):
    outcome = evaluate(check, body)
    assert not outcome.ok
    assert outcome.detail.startswith("the body is not JSON: ")


@pytest.mark.parametrize("check", ["json:/0", "not:json:/0"])
def test_json_of_nothing_but_objects_is_not_read(check):
    outcome = evaluate(check, b"[" + b"{}," * 65536 + b"{}]", limit=300_000)
    assert not outcome.ok
    assert outcome.detail == "too many nested objects in the JSON body"


@pytest.mark.parametrize("check", ["json:/0", "not:json:/0"])
def test_json_of_nothing_but_arrays_is_read_up_to_half_a_million(check):
    few = evaluate("json:/0/0", b"[" + b"[0]," * 400_000 + b"[0]]", limit=3_000_000)
    assert few.ok
    outcome = evaluate(check, b"[" + b"[]," * 500_000 + b"[]]", limit=3_000_000)
    assert not outcome.ok
    assert outcome.detail == "too many nested objects and arrays in the JSON body"


@pytest.mark.parametrize("check", ["json:/0", "not:json:/0"])
@pytest.mark.parametrize(
    "body", [b"[" * 60_000, b"[" * 501 + b"]" * 501, b'{"a":' * 501 + b"1" + b"}" * 501]
)
def test_json_that_is_nested_too_deeply_is_not_read(check, body):
    outcome = evaluate(check, body)
    assert not outcome.ok
    assert outcome.detail == "the JSON body is nested too deeply"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500 + b"]" * 500,
        b"[" + b"[1]," * 5000 + b"[1]]",
        b'["' + b"[" * 5000 + b'\\\\"]',
        b'["\\"' + b"{" * 700 + b'"]',
    ],
)
def test_json_of_many_arrays_or_of_text_with_brackets_is_read(body):
    assert evaluate("json:/0", body).ok


@pytest.mark.parametrize("check", ["json:/status=UP", "not:json:/status=DOWN", "json_matches:/status=UP", "json:"])  # fmt: skip
def test_body_that_was_cut_is_no_whole_json_whichever_way_round(check):
    outcome = evaluate(check, b'{"x": "' + b"y" * 100 + b'", "status": "UP"}', limit=50)
    assert not outcome.ok
    assert outcome.detail == "the body was cut: no whole JSON in the first 50 bytes (PINGSTATE_MAX_BODY_BYTES)"  # fmt: skip
    # A number that was cut is still a number.
    assert not evaluate("json:=1", b"12", limit=1).ok
    assert evaluate("json:=12", b"12", limit=2).ok


def test_json_is_read_in_the_charset_of_the_body():
    body = '{"status": "prêt"}'
    assert evaluate("json:/status=prêt", body.encode()).ok
    kind = "application/json; charset=iso-8859-1"
    assert evaluate("json:/status=prêt", body.encode("latin-1"), content_type=kind).ok
    assert evaluate("json:/status=prêt", body.encode("utf-8-sig")).ok
    assert evaluate("json:/status=prêt", body.encode("utf-16")).ok


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        ("json:/s=down", "/s is '\"ok\"', expected 'down'"),
        ("json:/s=ok", "/s is '\"ok\"'"),
        ("json:/i>5", "/i is '5', expected > '5'"),
        ("json:/s>5", "/s is '\"ok\"', expected a number"),
        ("json:/i!=5", "/i is '5', expected != '5'"),
        ("json:/none", "the body has no '/none'"),
        ("not:json:/no", "/no is '[]', expected not:json:/no"),
        ("json_matches:/s=^k", "/s is '\"ok\"', expected a match of '^k'"),
    ],
)
def test_detail_says_what_came_and_what_was_expected(check, detail):
    assert evaluate(check, json.dumps(DOCUMENT).encode()).detail == detail


def test_pattern_in_json_gives_up_when_the_time_is_up():
    body = json.dumps({"a": "a" * 60000 + "b"}).encode()
    with pytest.raises(TimeoutError):
        evaluate("json_matches:/a=(a+)+$", body, timeout=0.2)


@pytest.mark.parametrize(
    "check", [r"json_matches:/a=\xed", "json_matches:/a=^.$", "json:/a", "json:/a!=x"]
)
def test_half_of_a_pair_of_surrogates_is_a_text_like_any_other(check):
    outcome = evaluate(check, b'{"a": "\\ud800"}')
    assert outcome.ok
    assert "\ud800" not in evaluate("json:/a=x", b'{"a": "\\ud800"}').detail
