from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pingstate.text import excerpt, one_line


@given(st.text())
def test_one_line_is_one_printable_line_of_bounded_length(text):
    line = one_line(text)
    assert len(line) <= 200
    assert line.isprintable()


def test_one_line_hides_credentials():
    assert one_line("see http://user:secret@host/x") == "see http://***@host/x"


@given(st.text() | st.binary())
def test_excerpt_is_one_quoted_line_and_shows_where_it_is_cut(data):
    quoted = excerpt(data)
    assert quoted.isprintable()
    assert len(quoted) <= 63
    assert (quoted == "nothing") is (not data)
    assert excerpt(data * 300).endswith("…'") or not data
