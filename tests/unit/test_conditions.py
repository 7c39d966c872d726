from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import ProbeResult, probe
from pingstate.probes.conditions import CallCondition, Outcome
from tests.support.content import evaluate
from tests.support.servers import https_server, talker


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        (lambda _: True, (True, "")),
        (lambda _: (True, "fine"), (True, "fine")),
        (lambda _: (True, None), (True, "")),
        (lambda _: (False, None), (False, "the check returned a false value")),
        (lambda _: (False, ""), (False, "the check returned a false value")),
        (lambda _: (False, "no\nway"), (False, "no\N{REPLACEMENT CHARACTER}way")),
        (lambda _: None, (False, "the check returned a false value")),
        (lambda _: 1 / 0, (False, "the check raised ZeroDivisionError: division by zero")),
        (lambda _: (1, 2, 3), (False, "the check raised ValueError: too many values to unpack")),
        (lambda _: re.match("x", "x"), (True, "")),
        (lambda _: object(), (True, "")),
        (lambda _: (word for word in ()), (False, "the check returned a generator, expected true")),
        (lambda _: filter(None, [1]), (False, "the check returned a filter, expected true")),
        (
            lambda _: ProbeResult(ok=True),
            (False, "the check returned a ProbeResult, expected true"),
        ),
        (lambda _: (ProbeResult(ok=True), "x"), (False, "the check returned a ProbeResult, ")),
    ],
)
def test_callable_decides_and_one_that_raises_is_a_fail(function, outcome):
    found = CallCondition(function).evaluate(None)
    assert found.ok is outcome[0]
    assert found.detail.startswith(outcome[1])


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_what_is_always_true_is_no_verdict_whichever_way_round():
    async def check(_):
        raise AssertionError

    condition = CallCondition(check)
    for asked in (condition, condition.negate("not:call:x:y")):
        found = asked.evaluate(None)
        assert not found.ok
        assert found.detail == "the check returned a coroutine, expected true or false"


def test_callable_whose_exception_cannot_be_read_is_a_fail():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    def broken(_):
        raise Broken

    found = CallCondition(broken).evaluate(None)
    assert not found.ok
    assert found.detail.startswith("the check raised Broken: ")


def test_negated_callable_is_turned_round_but_for_one_that_raises():
    def negated(function):
        return CallCondition(function).negate("not:call:x:y").evaluate(None)

    assert negated(lambda _: False).ok
    assert not negated(lambda _: True).ok
    assert negated(lambda _: True).detail == "expected not:call:x:y"
    assert negated(lambda _: (True, "busy")) == Outcome(ok=False, seen="busy", own_words=True)
    assert not negated(lambda _: 1 / 0).ok


def test_undecided_outcome_fails_whichever_way_round():
    assert Outcome(ok=False, undecided=True).negate("not:x").ok is False
    assert Outcome(ok=False).negate("not:x").ok is True


@pytest.mark.parametrize("ok", [True, False])
def test_words_of_a_callable_stand_alone(target, ok):
    def judge(_):
        return ok, "replica 2 of 3"

    result = probe("http", "127.0.0.1", target.port, timeout=5, check=judge).check()
    assert (result.ok, result.detail) == (ok, "replica 2 of 3")
    both = probe("http", "127.0.0.1", target.port, timeout=5, check=["status:200", judge]).check()
    assert both.detail == "replica 2 of 3"
    with talker(lambda _: None) as (host, port):
        result = probe("tcp", host, port, check=judge).check()
    assert (result.ok, result.detail) == (ok, "replica 2 of 3")
    assert result.phase == (None if ok else "check")
    assert result.reason == "replica 2 of 3"


def test_callable_without_words_has_ours(target):
    def detail(function):
        return probe("http", "127.0.0.1", target.port, timeout=5, check=function).check().detail

    assert detail(lambda _: True) == "HTTP 200"
    assert detail(lambda _: (True, "")) == "HTTP 200"
    assert detail(lambda _: False) == "check: HTTP 200, the check returned a false value"
    assert detail(lambda _: (False, "")) == "check: HTTP 200, the check returned a false value"
    assert detail(lambda _: 1 / 0).startswith("check: HTTP 200, the check raised ZeroDivisionError")


def test_callable_sees_where_the_answer_came_from(target):
    seen = []
    target.headers["X"] = "y"
    probe("http", "127.0.0.1", target.port, path="/a?b", timeout=5, check=seen.append).check()
    assert seen[0].url == f"http://127.0.0.1:{target.port}/a?b"
    assert seen[0].version in {"1.0", "1.1"}
    assert seen[0].certificate is None


def test_callable_sees_the_certificate(authority):
    ca, path = authority
    seen = []

    def judge(answer):
        seen.append(answer)
        return answer.certificate.expires > 0, answer.certificate.subject

    with https_server(ca.issue_cert("localhost", common_name="localhost")) as port:
        result = probe("https", "localhost", port, ca_file=path, timeout=5, check=judge).check()
    assert (result.ok, result.detail) == (True, "localhost")
    assert seen[0].url == f"https://localhost:{port}/"


def test_callable_sees_the_url_of_the_answer_that_is_judged(target):
    def says(answer):
        return True, f"{answer.status} {answer.url}"

    target.status, target.headers["Location"] = 302, "/there"
    made = probe("http", "127.0.0.1", target.port, timeout=5, check=says)
    follows = probe("http", "127.0.0.1", target.port, timeout=5, check=["not:status:302", says])
    assert made.check().phase == "response"
    assert "HTTP 302, expected not:status:302" in follows.check().detail
    still = probe("http", "127.0.0.1", target.port, follow_redirects=False, timeout=5, check=says)
    assert still.check().detail == f"302 http://127.0.0.1:{target.port}/"


def test_keyboard_interrupt_ends_more_than_the_check():
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CallCondition(interrupted).evaluate(None)


CHECKS = st.sampled_from([
    "body_contains:a", "body_contains:ab", "body_matches:^a", "body_matches:b$", "body_matches:(?!a)",
    r"body_matches:\xff", "json:/a", "json:/a=1", "json:/a!=1", "json:/a<1", "json:/0>=1",
    "json_matches:/a=^a", "json:",
])  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=12),
    st.text(alphabet="ab1\n", max_size=12).map(str.encode),
    st.fixed_dictionaries({}, optional={"a": st.sampled_from([0, 1, 1.0, True, None, "a", "1", []])}).map(lambda d: json.dumps(d).encode()),
    st.lists(st.integers(0, 2) | st.none(), max_size=2).map(lambda d: json.dumps(d).encode()),
)  # fmt: skip


@given(CHECKS, BODIES, st.sampled_from([4, 65536]))
def test_negated_check_is_the_opposite_unless_it_is_undecided(check, body, limit):
    plain, negated = (evaluate(text, body, limit=limit) for text in (check, f"not:{check}"))
    assert plain.undecided is negated.undecided
    assert negated.ok is (not plain.ok and not plain.undecided)


@given(CHECKS, BODIES, st.lists(st.integers(0, 12)), st.sampled_from([4, 65536]))
def test_outcome_does_not_depend_on_the_pieces(check, body, cuts, limit):
    places = [0, *sorted(cuts), len(body)]
    pieces = [body[a:b] for a, b in pairwise(places)]
    whole = evaluate(check, body, limit=limit)
    assert evaluate(check, *pieces, limit=limit).ok is whole.ok
