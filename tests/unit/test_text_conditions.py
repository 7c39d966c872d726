from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import probe
from tests.support.content import evaluate, reader


def test_text_is_found_as_soon_as_it_is_there():
    assert evaluate("body_contains:needle", b"hay nee", b"dle", ends=False).ok
    assert evaluate("banner_contains:needle", b"hay nee", b"dle", ends=False).ok
    assert not evaluate("not:body_contains:needle", b"hay nee", b"dle", ends=False).ok
    assert not evaluate("body_contains:needle", b"hay").ok
    assert evaluate("not:body_contains:needle", b"hay").ok


@given(st.text(min_size=1, max_size=4), st.text(max_size=20), st.lists(st.integers(0, 60)))
def test_text_in_pieces_is_found_where_python_finds_it(wanted, text, cuts):
    body = text.encode()
    places = [0, *sorted(cuts), len(body)]
    pieces = [body[a:b] for a, b in pairwise(places)]
    assert evaluate(f"body_contains:{wanted}", *pieces).ok is (
        wanted in text.removeprefix("\ufeff")
    )
    assert evaluate(f"not:body_contains:{wanted}", *pieces).ok is not evaluate(f"body_contains:{wanted}", *pieces).ok  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("état: prêt".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        ("état: prêt".encode("utf-16-be"), "text/plain; charset=utf-16be"),
        ("état: prêt".encode("utf-16"), None),
        ("état: prêt".encode("utf-8-sig"), "text/plain"),
        ("état: prêt".encode(), None),
    ],
)
def test_text_is_compared_as_text_a_byte_at_a_time(body, kind):
    pieces = [bytes([byte]) for byte in body]
    outcome = evaluate("body_contains:prêt", *pieces, content_type=kind, ends=False)
    assert outcome.ok
    assert not evaluate("body_contains:pret", *pieces, content_type=kind).ok


def test_failure_quotes_the_text_and_not_its_bytes():
    outcome = evaluate("body_contains:OK", "prêt".encode("latin-1"), content_type="text/plain; charset=latin-1")  # fmt: skip
    assert outcome.detail == "'OK' is not in 'prêt'"
    assert evaluate("body_contains:OK", b"").detail == "'OK' is not in nothing"
    lone = b"+2AA-" + b"x"  # a surrogate in UTF-7
    assert "'OK' is not in" in evaluate("body_contains:OK", lone, content_type="text/plain; charset=utf-7").detail  # fmt: skip


def test_verdict_on_a_part_says_so():
    outcome = evaluate("body_contains:end", b"x" * 30 + b"end", limit=10)
    assert not outcome.ok
    assert outcome.detail == "'end' is not in the first 10 bytes (PINGSTATE_MAX_BODY_BYTES): 'xxxxxxxxxx'"  # fmt: skip


def test_part_can_not_prove_that_a_text_is_absent():
    outcome = evaluate("not:body_contains:end", b"x" * 30, limit=10)
    assert not outcome.ok
    assert "in the first 10 bytes" in outcome.detail
    # A body of just so many bytes is whole.
    assert evaluate("not:body_contains:end", b"x" * 10, limit=10).ok
    assert not evaluate("not:body_contains:xx", b"x" * 30, limit=10).ok


def test_bytes_of_a_banner_that_are_no_text_are_found():
    assert evaluate("banner_contains:SSH-2.0", b"\0\xff\xfeSSH-2.0\0\x80", ends=False).ok
    assert evaluate("banner_contains:\udcff\udcfeS", b"\0\xff", b"\xfeS", ends=False).ok
    assert evaluate("banner_contains:grüße", "viele grü".encode()[:-1], "ü".encode()[1:], "ße".encode(), ends=False).ok  # fmt: skip


def test_reader_gives_large_pieces_in_parts():
    read = reader([b"abc"])
    assert [read(2, None), read(2, None), read(2, None)] == [b"ab", b"c", b""]


@pytest.mark.parametrize(("body", "ok"), [(b"in maintenance", False), (b"fine", True)])
def test_negated_text_in_a_body(target, body, ok):
    target.body = body
    check = "not:body_contains:maintenance"
    result = probe("http", "127.0.0.1", target.port, timeout=5, check=check).check()
    assert result.ok is ok
    if not ok:
        assert result.detail == f"check: HTTP 200, found 'maintenance', expected {check}"


def test_body_over_the_cap_is_told_from_one_that_is_whole(target):
    target.body = b"x" * 70_000

    def detail(check, **options):
        return probe("http", "127.0.0.1", target.port, timeout=5, check=check, **options).check().detail  # fmt: skip

    part = "in the first 65536 bytes (PINGSTATE_MAX_BODY_BYTES)"
    assert part in detail("body_contains:end")
    assert part in detail("body_matches:end$")
    assert part in detail("json:/status=UP")
    assert "first" not in detail("body_contains:end", max_body_bytes=70_000)
