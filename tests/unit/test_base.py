from __future__ import annotations

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest

from pingstate import ProbeResult
from pingstate.net.certificate import Certificate
from pingstate.net.errors import CheckFailedError
from pingstate.probes.base import redact, run_check, secret_variants
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


def test_secrets_are_redacted_however_they_are_spelled():
    secrets = secret_variants(["s3cret", 's3cret"\\x', "abc", "&", "*/*"])
    assert 's3cret\\"\\\\x' in secrets
    assert secrets == sorted(secrets, key=len, reverse=True)
    assert not {"abc", "&", "&amp;", "*/*", "*\\/*"} & set(secrets)
    assert redact('said s3cret, "s3cret\\"\\\\x" and s3cret"\\x', secrets) == 'said ***, "***" and ***'  # fmt: skip
    assert redact("cut off: s3cr\N{HORIZONTAL ELLIPSIS}", secrets) == "cut off: ***"
    assert (
        check(lambda _: Outcome(ok=False, seen="not s3cret"), secrets=secrets).detail
        == "dns: not ***"
    )


def test_own_words_stand_alone_but_for_a_timeout():
    failed = check(
        lambda _: Outcome(ok=False, seen="not s3cret", own_words=True), secrets=["s3cret"]
    )
    assert (failed.detail, failed.phase, failed.reason) == ("not ***", "dns", "dns: not ***")


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ('pa"ss\\ü/€𝄞', json.dumps('pa"ss\\ü/€𝄞')),
        ('pa"ss\\ü/€𝄞', json.dumps('pa"ss\\ü/€𝄞', ensure_ascii=False)),
        ("https://u/ü", json.dumps("https://u/ü").replace("/", "\\/")),
        ("pa\"ss'&<w>", html.escape("pa\"ss'&<w>")),
        ("pa\"ss'&<w>", "pa&#34;ss&#39;&amp;&lt;w&gt;"),
        ("pa\"ss'&<w>", "pa&quot;ss&#039;&amp;&lt;w&gt;"),
        ("pass/wörd +~x", quote("pass/wörd +~x", safe="")),
        ("pass/wörd +~x", quote_plus("pass/wörd +~x")),
    ],
)
def test_secret_is_redacted_where_a_target_has_escaped_it(secret, said):
    redacted = redact(f"no {said} here", secret_variants([secret]))
    assert redacted.replace('"', "") == "no *** here"


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


def test_redaction_of_a_large_body_takes_no_time():
    words = [f"word{number}" for number in range(20_000)]
    secrets = secret_variants([*words, " ".join(words), "s3cret" * 50_000])
    detail = (
        f"said {'s3cret' * 20}\N{HORIZONTAL ELLIPSIS} and word19999, word\N{HORIZONTAL ELLIPSIS}"
    )
    began = time.thread_time()
    assert redact(detail, secrets) == "said *** and ***, ***"
    assert time.thread_time() - began < 1.0
