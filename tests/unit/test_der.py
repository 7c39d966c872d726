from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.net.der import parse_items


def encode(tag, content, lengths=0):
    """One item; `lengths` is the number of bytes of a long length, 0 for the shortest."""
    size = len(content)
    if not lengths and size < 128:
        return bytes([tag, size]) + content
    lengths = lengths or (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | lengths]) + size.to_bytes(lengths, "big") + content


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))), st.sampled_from([0, 2, 4])
)
def test_what_was_encoded_is_parsed(items, lengths):
    data = b"".join(encode(tag, content, lengths) for tag, content in items)
    assert parse_items(data) == items


@given(st.binary(max_size=64))
def test_garbage_is_parsed_or_a_value_error(data):
    try:
        items = parse_items(data)
    except ValueError:
        return
    assert sum(2 + len(content) for _, content in items) <= len(data)


@pytest.mark.parametrize(
    "data",
    [b"\x30", b"\x30\x01", b"\x30\x82\x01", b"\x02\x01\x05\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\xff"],
)  # fmt: skip
def test_what_is_cut_short_is_a_value_error(data):
    with pytest.raises(ValueError, match="cut short"):
        parse_items(data)
