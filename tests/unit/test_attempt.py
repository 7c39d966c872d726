from __future__ import annotations

import pytest

from pingstate.net.attempt import Attempt
from pingstate.net.certificate import Certificate
from pingstate.net.deadline import Deadline


def test_nothing_is_seen_at_first():
    attempt = Attempt(Deadline(1.0))
    assert (attempt.trace.ip_protocol, attempt.trace.redirects, attempt.hop) == (None, 0, "")
    assert (attempt.trace.status, attempt.trace.certificate, attempt.secrets) == (None, None, [])


def test_forgotten_answer_leaves_the_way_to_it():
    attempt = Attempt(Deadline(1.0))
    attempt.trace.ip_protocol, attempt.trace.redirects, attempt.hop = 4, 1, "http://h:80"
    attempt.trace.status, attempt.trace.version, attempt.trace.content_length = 302, "1.1", 0
    attempt.trace.tls_version, attempt.trace.certificate = "TLS 1.3", Certificate(1.0, "a", "b")
    attempt.trace.earliest_expiry = 1.0
    attempt.secrets = ["s3cret"]
    attempt.trace.forget_answer()
    assert (attempt.trace.ip_protocol, attempt.trace.redirects, attempt.hop) == (
        4,
        1,
        "http://h:80",
    )
    assert (attempt.trace.status, attempt.trace.version, attempt.trace.content_length) == (
        None,
        None,
        None,
    )
    assert (
        attempt.trace.tls_version,
        attempt.trace.certificate,
        attempt.trace.earliest_expiry,
    ) == (None, None, None)
    assert attempt.secrets == ["s3cret"]


def test_attempts_share_no_secrets():
    one, other = Attempt(Deadline(1.0)), Attempt(Deadline(1.0))
    one.secrets.append("s3cret")
    assert other.secrets == []


def test_misspelt_field_is_no_field():
    with pytest.raises(AttributeError):
        Attempt(Deadline(1.0)).trace.stauts = 200  # type: ignore[attr-defined]  # the slip is the test
