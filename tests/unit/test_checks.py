from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import probe
from pingstate.probes.checks import parse_check, parse_checks
from pingstate.probes.conditions import CallCondition, ContentCondition, HeadCondition

GOOD = [
    ("http", "status:200", HeadCondition),
    ("https", "not:status:503", HeadCondition),
    ("http", "header:X-Role", HeadCondition),
    ("http", "header:X-Role=", HeadCondition),
    ("http", "header:X-Role=a=b!=c", HeadCondition),
    ("http", "not:header:X-Maintenance", HeadCondition),
    ("http", "header_matches:X-Role=^(a|b)$", HeadCondition),
    ("http", "header_matches:X-Role=[=]a!=b", HeadCondition),
    ("http", "json_matches:/a=a>=b", ContentCondition),
    ("http", "body_contains:not:x", ContentCondition),
    ("http", "not:body_contains:maintenance", ContentCondition),
    ("http", "body_matches:(?m)^ok$", ContentCondition),
    ("http", "json:", ContentCondition),
    ("http", "json:/errors", ContentCondition),
    ("http", "json:=5", ContentCondition),
    ("http", 'json:/n="=5"', ContentCondition),
    ("http", "json:/n=", ContentCondition),
    ("http", "json:/n!=", ContentCondition),
    ("http", "json:/n>=-1.5e3", ContentCondition),
    ("http", "json:/a~1b/m~0n<5", ContentCondition),
    ("http", "json_matches:/version=^2[.]", ContentCondition),
    ("http", "call:json:dumps", CallCondition),
    ("http", "not:call:json:dumps", CallCondition),
    ("tcp", "banner_contains:SSH-", ContentCondition),
    ("tcp", r"banner_matches:^0\x84", ContentCondition),
    ("tcp", "not:banner_matches:^-", ContentCondition),
    ("tcp", "open:0.5", ContentCondition),
    ("tcp", "not:open:1", ContentCondition),
]


@pytest.mark.parametrize(("protocol", "text", "kind"), GOOD)
def test_check_is_a_condition_of_its_kind(protocol, text, kind):
    assert isinstance(parse_check(protocol, text), kind)


# What is no check, and a part of what is said about it: what was meant where that can be guessed.
BAD = [
    ("http", "", "expected one of status:LIST"),
    ("http", "foo:bar", "expected one of status:LIST"),
    ("http", "status", "'status:LIST'"),
    ("http", "status:", "status:200,204"),
    ("http", "status:abc", "status:200,204"),
    ("http", "status:99", "status:200,204"),
    ("http", "status:600", "status:200,204"),
    ("http", "status:300-200", "status:200,204"),
    ("http", "status:200,", "status:200,204"),
    ("http", "status:200-", "status:200,204"),
    ("http", "status:>=200", "'status:200-599'"),
    ("http", "status:<300", "'status:100-299'"),
    ("http", "status:=200", "'status:200'"),
    ("http", "status:==200", "'status:200'"),
    ("http", "status:!=503", "'not:status:503'"),
    ("http", "status:!503", "'not:status:503'"),
    ("http", "status:2xx,304", "'status:200-299,304'"),
    ("http", "status:200 204", "'status:200,204'"),
    ("http", "statuscode:200", "'status:200'"),
    ("http", "status=200", "'status:200'"),
    ("http", "STATUS:200", "'status:200'"),
    ("http", "body_contain:x", "'body_contains:x'"),
    ("http", "body-contains:x", "'body_contains:x'"),
    ("http", "contains:x", "'body_contains:x'"),
    ("http", "!body_contains:x", "'not:body_contains:x'"),
    ("http", "not body_contains:x", "'not:body_contains:x'"),
    ("http", "not_status:503", "'not:status:503'"),
    ("http", '"status:200"', "'status:200'"),
    ("http", "'not:header:X'", "'not:header:X'"),
    ("http", "'", "expected one of"),
    ("http", "body_not_contains:x", "'not:body_contains:x'"),
    ("http", "body_does_not_contain:x", "'not:body_contains:x'"),
    ("http", "header_not_matches:X=y", "'not:header_matches:X=y'"),
    ("http", "NOT:status:503", "'not:status:503'"),
    ("http", "status!=503", "'not:status:503'"),
    ("http", "status==200", "'status:200'"),
    ("http", "status>=200", "'status:200-599'"),
    ("http", "body_contains=x", "'body_contains:x'"),
    ("http", "body_contains!=x", "'not:body_contains:x'"),
    ("http", "body_contains x", "'body_contains:x'"),
    ("http", "json=/n", "'json:/n'"),
    ("http", "json /n==5", "'json:/n=5'"),
    ("http", "headers:X", "'header:X'"),
    ("http", "header:X>5", "header:NAME"),
    ("http", "not:not:status:503", "twice"),
    ("http", "not:", "expected one of"),
    ("http", "not:body_contain:x", "'body_contains:x'"),
    ("http", "body_contains:", "body_contains:TEXT"),
    ("http", "body_matches:", "body_matches:REGEX"),
    ("http", "body_matches:(", "missing )"),
    ("http", r"body_matches:\x84(", "missing )"),
    ("http", "json:status", "'json:/status'"),
    ("http", "json:status=ok", "'json:/status=ok'"),
    ("http", "json:$.checks[0].name=db", "'json:/checks/0/name=db'"),
    ("http", "json:.ready=true", "'json:/ready=true'"),
    ("http", "json:/a~2=1", "RFC 6901"),
    ("http", "json:/n = 5", "'json:/n=5'"),
    ("http", "json:/s = ok", "'json:/s=ok'"),
    ("http", "json:/n >= 5", "'json:/n>=5'"),
    ("http", "json_matches:/s = ^ok", "'json_matches:/s=^ok'"),
    ("http", "json:/n\u22655", "'json:/n>=5'"),
    ("http", "json:/n\u22645", "'json:/n<=5'"),
    ("http", "json:/n\u22605", "'json:/n!=5'"),
    ("http", "json:/n\u22485", "no operator"),
    ("http", "json:/n==5", "'json:/n=5'"),
    ("http", "json:/n==5", "'json:/n=\"=5\"'"),
    ("http", "json:/n=>5", "'json:/n>=5'"),
    ("http", "json:/n=<5", "'json:/n<=5'"),
    ("http", "json:/n<>5", "'json:/n!=5'"),
    ("http", "json:/n=!5", "'json:/n!=5'"),
    ("http", "json:/n!==5", "'json:/n!=5'"),
    ("http", "json:/n=~x", "'json_matches:/n=x'"),
    ("http", "json:/n~=x", "'json_matches:/n=x'"),
    ("http", "json:/n!~x", "'not:json_matches:/n=x'"),
    ("http", "json:/n>>5", "no operator '>>'"),
    ("http", "json:/n>abc", "a number after >"),
    ("http", "json:/n>=", "a number after >="),
    ("http", "json:/n<true", "a number after <"),
    ("http", "json:/n<NaN", "a number after <"),
    ("http", 'json:/n<"5"', "a number after <"),
    ("http", "json_matches:/a", "json_matches:POINTER=REGEX"),
    ("http", "json_matches:/a=", "json_matches:POINTER=REGEX"),
    ("http", "json_matches:a=x", "'json_matches:/a=x'"),
    ("http", "json_matches:/a=(", "missing )"),
    ("http", "json_matches:/a!=x", "'not:json_matches:/a=x'"),
    ("http", "json_matches:/a==x", "'json_matches:/a=x'"),
    ("http", "json_matches:/a==x", "written with [=]"),
    ("http", "json_matches:/a=~x", "'json_matches:/a=x'"),
    ("http", "json_matches:/a>=5", "no operator '>='"),
    ("http", "json_matches:/a==", "no operator '=='"),
    ("http", "header:", "header:NAME"),
    ("http", "header:a b=1", "header:NAME"),
    ("http", "header:X ", "header:NAME"),
    ("http", "header:X!=y", "'not:header:X=y'"),
    ("http", "header:X==y", "'header:X=y'"),
    ("http", "header:X=~y", "'header_matches:X=y'"),
    ("http", "header:X~=y", "'header_matches:X=y'"),
    ("http", "header:X: y", "'header:X=y'"),
    ("http", "header_matches:X", "header_matches:NAME=REGEX"),
    ("http", "header_matches:X=", "header_matches:NAME=REGEX"),
    ("http", "header_matches:X=(", "missing )"),
    ("http", "header_matches:X!=y", "'not:header_matches:X=y'"),
    ("http", "header_matches:X=~y", "'header_matches:X=y'"),
    ("http", "header_matches:X=~y", "written with [~]"),
    ("http", "header_matches:X~=y", "'header_matches:X=y'"),
    ("http", "header_matches:X==y", "'header_matches:X=y'"),
    ("http", "header_matches:X<=5", "no operator '<='"),
    ("http", "banner_contains:x", "not a check for http"),
    ("https", "open:1", "not a check for https"),
    ("http", "call:nothing", "module:attribute"),
    ("http", "call:no.such.module:x", "can't be loaded"),
    ("http", "call:json:no_such", "can't be loaded"),
    ("http", "call:sys:version", "callable"),
    ("tcp", "status:200", "not a check for tcp"),
    ("tcp", "not:status:200", "not a check for tcp"),
    ("tcp", "contains:x", "'banner_contains:x'"),
    ("tcp", "banner_contains:", "banner_contains:TEXT"),
    ("tcp", "banner_matches:[", "regular expression"),
    ("tcp", "open:", "open:SECONDS"),
    ("tcp", "open:0", "open:SECONDS"),
    ("tcp", "open:-1", "open:SECONDS"),
    ("tcp", "open:nan", "open:SECONDS"),
    ("tcp", "open:inf", "open:SECONDS"),
    ("tcp", "open:1s", "open:SECONDS"),
]


@pytest.mark.parametrize(("protocol", "text", "says"), BAD)
def test_bad_check_is_an_error_that_says_what_was_meant(protocol, text, says):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_check(protocol, text)
    assert says in str(caught.value)
    assert repr(text.removeprefix("not:"))[1:-1] in str(caught.value)


@pytest.mark.parametrize(("protocol", "text", "says"), BAD)
def test_what_was_meant_is_a_check(protocol, text, says):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_check(protocol, text)
    _, meant, rest = str(caught.value).partition("did you mean '")
    if meant and not rest.startswith("status:LIST'"):
        parse_check(protocol, rest.partition("'?")[0])


WORDS = st.sampled_from(["", "not:", "status:", "json:", "json:/a", "json_matches:/a=", "header:", "header:X=", "header_matches:X=", "body_contains:", "body_matches:", "banner_contains:", "banner_matches:", "open:", "call:"])  # fmt: skip


@given(st.sampled_from(["tcp", "http", "https"]), WORDS, WORDS, st.text())
def test_garbage_is_a_condition_or_a_value_error(protocol, first, second, rest):
    try:
        condition = parse_check(protocol, first + second + rest, 5.0)
    except ValueError:
        return
    assert isinstance(condition, (HeadCondition, ContentCondition, CallCondition))


def test_checks_are_one_or_several_strings_or_callables():
    assert parse_checks("http", None) == ()
    assert len(parse_checks("http", "status:200")) == 1
    assert len(parse_checks("http", bool)) == 1
    assert len(parse_checks("tcp", ["open:1", bool], 2.0)) == 2
    for bad in (7, [7], ["status:200", None]):
        with pytest.raises(ValueError, match="neither a check string nor callable"):
            parse_checks("http", bad)


@pytest.mark.parametrize("check", ["open:2", "not:open:2", "open:60"])
def test_open_must_be_shorter_than_the_timeout(check):
    with pytest.raises(ValueError, match="not shorter than the timeout of 2 s"):
        probe("tcp", "127.0.0.1", 1, check=check)
    probe("tcp", "127.0.0.1", 1, check=check, timeout=61)
