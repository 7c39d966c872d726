"""What a setting's text becomes, and what of it anyone may read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.settings import parsing
from pingstate.values import InvalidValueError


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        (r"PING\r\n", b"PING\r\n"),
        (r"\a\b\f\n\r\t\v\e", b"\a\b\f\n\r\t\v\x1b"),
        (r"\x", None),
        (r"\x0", b"\0"),
        (r"\x00f", b"\0f"),
        (r"\xfFf", b"\xfff"),
        (r"\0\17\1018\377", b"\0\x0fA8\xff"),
        (r"\400", None),
        (r"\8", None),
        ("\\\\\\'\\\"\\?", b"\\'\"?"),
        ("\\\n", None),
        ("a\\", None),
        ("ü\udcff", b"\xc3\xbc\xff"),
    ],
)
def test_escapes_are_those_of_c(text, data):
    if data is None:
        with pytest.raises(InvalidValueError) as caught:
            parsing.escaped(text)
        assert caught.value.expected.startswith("text with escapes as in C")
    else:
        assert parsing.escaped(text) == data


@given(st.binary())
def test_any_bytes_can_be_said_in_escapes(data):
    assert parsing.escaped("".join(f"\\x{byte:02x}" for byte in data)) == data


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("up", ("up",)),
        (" Up , DOWN,up", ("up", "down")),
        ("", None),
        ("up,", None),
        ("up;down", None),
    ],
)
def test_choices_are_words_without_repetition(text, found):
    parse = parsing.choices(("up", "down"), "states")
    if found is None:
        with pytest.raises(InvalidValueError) as caught:
            parse(text)
        assert caught.value.expected == "states separated by commas, of up, down"
    else:
        assert parse(text) == found


@pytest.mark.parametrize("text", ["1", "TRUE", "yes", "On", "0", "false", "NO", "off"])
def test_switch_knows_eight_words(text):
    assert parsing.switch(text) is (text.lower() in ("1", "true", "yes", "on"))


@pytest.mark.parametrize("text", ["", "y", "enabled", "2", "true "])
def test_switch_takes_no_other_word_for_off(text):
    with pytest.raises(InvalidValueError):
        parsing.switch(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("db.internal", "db.internal"),
        ("https://user:hunter2@h/x", "https://***@h/x"),
        ("user:hunter2@h", "***@h"),
        ("https://user:hunter@2@h", "https://***@h"),
        ("https://h/x?token=hunter2", "https://h/x?***"),
        ("https://user:hunter2@h/x?token=hunter2", "https://***@h/x?***"),
    ],
)
def test_nobody_reads_credentials_or_a_query_of_a_url(text, shown):
    assert parsing.redact_url(text) == shown


@given(st.text())
def test_nothing_of_a_secret_is_shown(text):
    assert parsing.redact(text) == "***"


@given(st.text(alphabet=st.characters(exclude_characters="?")), st.text(min_size=1))
def test_a_path_is_shown_and_its_query_is_not(path, query):
    assert parsing.redact_query(path) == path
    assert parsing.redact_query(f"{path}?{query}") == f"{path}?***"
