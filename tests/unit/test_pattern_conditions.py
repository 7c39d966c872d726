from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.content import evaluate


@pytest.mark.parametrize(
    ("check", "pieces", "ok"),
    [
        ("body_matches:^pl[a-z]+n$", [b"pla", b"in"], True),
        ("body_matches:^pl[a-z]+n$", [b"plain", b" text"], False),
        ("body_matches:(?m)^two$", [b"one\ntwo\nthree"], True),
        ("body_matches:^two$", [b"one\ntwo\nthree"], False),
        ("body_matches:(?i)READY", [b"ready"], True),
        ("body_matches:^(?!.*error)", [b"fine"], True),
        ("body_matches:^(?!.*error)", [b"fine", b" error"], False),
        ("body_matches:gr[üu]ß.$", "grüße".encode(), True),
        ("not:body_matches:error|fail", [b"fine"], True),
        ("not:body_matches:error|fail", [b"fai", b"l"], False),
        ("banner_matches:^SSH-2", [b"SSH", b"-2.0"], True),
        ("banner_matches:^220[ -]", [b"220-mail"], True),
        ("banner_matches:gr.ße", ["gr\xfcße".encode("latin-1")], False),
        ("banner_matches:gr.ße", ["grüße".encode()], True),
    ],
)
def test_pattern_matches_text(check, pieces, ok):
    pieces = [bytes([byte]) for byte in pieces] if isinstance(pieces, bytes) else pieces
    assert evaluate(check, *pieces).ok is ok


@pytest.mark.parametrize(
    ("check", "body", "ok"),
    [
        (r"banner_matches:^0\x84\x00", b"0\x84\x00\x00\x00\x10", True),
        (r"banner_matches:^0\x84", b"0\xc2\x84", False),
        (r"banner_matches:^\x84\xc3\xbc$", b"\x84\xc3\xbc", True),
        (r"banner_matches:^\xFFü", b"\xff\xc3\xbc", True),
        (r"banner_matches:[\x80-\xff]{4}", b"\x80\x90\xa0\xff", True),
        (r"body_matches:^\x89PNG\r\n", b"\x89PNG\r\n\x1a\n", True),
        (r"not:banner_matches:\x84", b"0\x85", True),
        # A backslash that is escaped itself, and what is below 0x80, are of the text.
        (r"banner_matches:^\\x84$", rb"\x84", True),
        (r"banner_matches:^\x41ü", "Aü".encode(), True),
    ],
)
def test_byte_above_0x7f_is_written_as_its_escape(check, body, ok):
    assert evaluate(check, body).ok is ok


@pytest.mark.parametrize(
    ("check", "pieces", "ok"),
    [
        (r"banner_matches:^\+(OK|PONG)", [b"-ERR unknown"], False),
        (r"banner_matches:^\+(OK|PONG)", [b"+P", b"ING"], False),
        (r"banner_matches:\ASSH-2", [b"SSH-1"], False),
        (r"banner_matches:^SSH$", [b"SSHx"], False),
        (r"banner_matches:(?i)^ssh", [b"x"], False),
        (r"banner_matches:^0\x84", [b"0", b"\x85"], False),
        (r"banner_matches:^a|^b", [b"c"], False),
        ("banner_matches:^grüß", [b"gr", "ü".encode()[:1], "ü".encode()[1:] + b"x"], False),
        ("body_matches:^\\{", [b"<html>"], False),
        ("body_matches:^(?!.*error)fine", [b"fun"], False),
        ("not:banner_matches:^-(LOADING|ERR)", [b"+PONG\r\n"], True),
        ("not:body_matches:^<html", [b'{"a'], True),
    ],
)
def test_pattern_that_can_no_longer_match_is_decided_at_once(check, pieces, ok):
    assert evaluate(check, *pieces, ends=False).ok is ok


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "(a|b)", "(?=a)", "(?!b)", "(?<=a)", "a*", "b+?", "(ab)*", r"\b", "$", r"\Z", "a{2}", "(?:ab|b)?", "\\n", "ü", r"\xfc"])  # fmt: skip


@given(st.lists(ATOMS, max_size=5), st.text(alphabet="ab\nü", max_size=8))
def test_what_fails_early_fails_in_the_end(atoms, text):
    check = "body_matches:^" + "".join(atoms)
    body = text.encode()
    pieces = [body[index : index + 1] for index in range(len(body))]
    assert evaluate(check, *pieces).ok is evaluate(check, body).ok


@pytest.mark.parametrize("check", ["body_matches:(a+)+$", "banner_matches:(a+)+$", "not:body_matches:(a+)+$", "body_matches:^(a+)+$", r"banner_matches:^(a+)+\x84"])  # fmt: skip
def test_catastrophic_pattern_gives_up_when_the_time_is_up(check):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        evaluate(check, b"a" * 10000 + b"b", timeout=0.3)
    assert time.monotonic() - began < 5.0


def test_body_is_matched_when_it_is_whole_and_a_banner_at_once():
    assert evaluate("banner_matches:^ab", b"ab", ends=False).ok
    with pytest.raises(AssertionError):
        evaluate("body_matches:^ab", b"ab", ends=False)


@pytest.mark.parametrize(
    ("check", "ok", "detail"),
    [
        ("body_matches:z", False, "'z' matches nothing in the first 5 bytes (PINGSTATE_MAX_BODY_BYTES): 'abcde'"),
        ("not:body_matches:z", False, "'z' matches nothing in the first 5 bytes (PINGSTATE_MAX_BODY_BYTES): 'abcde'"),
        ("body_matches:e$", True, "matched 'e$' in the first 5 bytes (PINGSTATE_MAX_BODY_BYTES)"),
        ("not:body_matches:^b", True, "'^b' matches nothing in the first 5 bytes (PINGSTATE_MAX_BODY_BYTES): 'abcde'"),
    ],
)  # fmt: skip
def test_verdict_on_a_part_says_so_and_proves_no_absence(check, ok, detail):
    outcome = evaluate(check, b"abcdefgh", limit=5)
    assert (outcome.ok, outcome.detail) == (ok, detail)
