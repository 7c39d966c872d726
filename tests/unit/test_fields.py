from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import probe
from pingstate.net.errors import CheckFailedError
from pingstate.net.fields import (
    parse_codings,
    parse_content_length,
    read_fields,
    read_status_line,
)
from pingstate.values import TOKEN
from tests.support.servers import answering
from tests.support.target import Target

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b'{"status":"UP"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(JSON), JSON)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer: 'SSH-2.0-OpenSSH_9.2"),
        (b"ICY 200 OK\r\n", "not an HTTP answer: 'ICY 200 OK"),
        (b"HTTP/2 200 OK\r\n", "not an HTTP answer: 'HTTP/2 200 OK"),
        (b"\x15\x03\x01\0\x02\x02\x46", "not an HTTP answer but TLS: expected protocol https"),
        (b"\x15\x03\x03\0\x02\x02\x0a", "not an HTTP answer but TLS: expected protocol https"),
        (b"\0\0\x12\x04\0\0\0\0\0" + bytes(18), "not an HTTP/1 answer but HTTP/2"),
        (b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), "not an HTTP/1 answer but HTTP/2"),
    ],
)
def test_what_is_no_answer_is_named(said, words):
    with pytest.raises(CheckFailedError) as raised:
        read_status_line(io.BytesIO(said))
    assert str(raised.value).startswith(words)


# Lines that are no field, and whether a field's name may have been meant by it.
NO_FIELDS = {
    "no colon": b"not a field",
    "blank before the colon": b"Access-Control-Expose-Headers : X",
    "tab before the colon": b"X-Tab\t: 1",
    "name outside ASCII": "X-Résumé: 1".encode(),
    "no name": b": 1",
    "colon alone": b":",
    "blank in the name": b"X Y: 1",
    "quoted name": b'"X": 1',
    "NUL in the name": b"X\0Y: 1",
    "second status line": b"HTTP/1.1 200 OK",
    "HTML": b"<html><body>it works</body></html>",
    "folded": b"not a field\r\n\tand more of it: 1",
    "led by a blank": b" X-State: never",
}


def fields(raw):
    return list(read_fields(io.BytesIO(raw)).items())


def check(answer, **options):
    with answering(answer) as (port, _):
        return probe("http", "127.0.0.1", port, timeout=5, **options).check()


@pytest.mark.parametrize("line", NO_FIELDS.values(), ids=NO_FIELDS)
def test_line_that_is_no_field_is_skipped_alone(line):
    assert check(OK + line + b"\r\n" + CHUNKED, check="json:/status=UP").ok
    assert check(OK + line + b"\r\nX-State: ready\r\nContent-Length: 0\r\n\r\n", check="header:X-State=ready").ok  # fmt: skip
    target = Target()
    try:
        location = b"Location: http://127.0.0.1:%d/\r\n\r\n" % target.port
        assert check(b"HTTP/1.1 302 Found\r\n" + line + b"\r\n" + location).ok
        assert len(target.requests) == 1
    finally:
        target.close()


@pytest.mark.parametrize("line", NO_FIELDS.values(), ids=NO_FIELDS)
def test_line_that_is_no_field_leaves_its_neighbours(line):
    assert fields(b"A: 1\r\n" + line + b"\r\nB: 2\r\n\r\n")[-1] == ("B", "2")


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Content-Length : 3",
        b"\x0bTransfer-Encoding: chunked",
        b"Transfer-Encoding\0: chunked",
        b"Transfer Encoding: chunked",
        b"content_length\xa0: 3",
    ],
)
def test_line_that_may_have_told_the_length_fails_the_answer(line):
    result = check(OK + line + b"\r\nX-State: ready\r\n\r\n", check="header:X-State=ready")
    assert result.detail == "response: the answer's head is malformed: its length can't be told"


@pytest.mark.parametrize("count", [99, 100, 101, 150, 1000, 3000])
def test_head_is_bounded_by_its_bytes_and_not_by_its_lines(count):
    lines = b"".join(b"X-%d: v\r\n" % number for number in range(count))
    assert check(OK + lines + b"Content-Length: 0\r\n\r\n").ok
    assert check(b"HTTP/1.1 103 Early Hints\r\n" + lines + b"\r\n" + OK + b"\r\n").ok


@pytest.mark.parametrize("lines", [b"X: 1\r\n" * 20_000, b"X: " + b"y" * 100_000 + b"\r\n"])
def test_head_of_more_than_96_kib_fails(lines):
    result = check(OK + lines + b"\r\n")
    assert not result.ok
    assert result.detail == "response: the answer's head has more than 98304 bytes"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\r\n", []),
        (b"\n", []),
        (b"A:1\r\nB:  2 \t\r\n\r\n", [("A", "1"), ("B", "2")]),
        (b"A: 1\nB: 2\n\n", [("A", "1"), ("B", "2")]),
        (b"A:\r\n\r\n", [("A", "")]),
        (b"A: b: c\r\n\r\n", [("A", "b: c")]),
        (b"A: 1\r\na: 2\r\n\r\n", [("A", "1"), ("A", "2")]),
        (b"A: 1\r\n  2\r\n\t3\r\n\r\n", [("A", "1 2 3")]),
        (b"A:\r\n chunked\r\n\r\n", [("A", "chunked")]),
        (b"A: 1\r\n \r\n\r\n", [("A", "1")]),
        (b"A: 1\r2\r\n\r\n", [("A", "1 2")]),
        (b"A: 1\0002\r\n\r\n", [("A", "1 2")]),
        (b"A: \xc3\xa9\r\n\r\n", [("A", "\xc3\xa9")]),
        (b" A: 1\r\nB: 2\r\n\r\n", [("B", "2")]),
        (b"A: 1\r\n\r\nB: 2\r\n\r\n", [("A", "1")]),
        (b"A: 1\r\n\r\r\n\r\n", [("A", "1")]),
    ],
)
def test_fields_are_read_line_by_line(raw, expected):
    assert fields(raw) == expected


@pytest.mark.parametrize("raw", [b"", b"A", b"A: 1", b"A: 1\r\n", b"A: 1\r\n\r", b"A: 1\r\n \r\n"])
def test_head_that_is_cut_off_fails(raw):
    with pytest.raises(CheckFailedError, match="cut off"):
        fields(raw)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20))
def test_whatever_comes_is_fields_or_a_failed_check(lines):
    raw = b"".join(line + b"\r\n" for line in lines)
    try:
        found = fields(raw + b"\r\n")
    except CheckFailedError as exc:
        assert "malformed" in str(exc)
        return
    for name, value in found:
        assert TOKEN.fullmatch(name)
        assert not set("\r\n\0") & set(value)


@given(st.dictionaries(st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True).map(str.lower), st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)))  # fmt: skip
def test_fields_come_back_as_they_were_written(wanted):
    raw = "".join(f"{name}: {value}\r\n" for name, value in wanted.items()).encode("latin-1")
    assert dict(fields(raw + b"\r\n")) == {n: v.strip(" \t") for n, v in wanted.items()}


@pytest.mark.parametrize("raw", [b"X:" + b" " * 90_000 + b"y\r\n\r\n", b"X: 1\r\n" + b" y\r\n" * 24_000 + b"\r\n", b"X" * 90_000 + b"\r\n\r\n"])  # fmt: skip
def test_large_heads_take_no_time(raw):
    began = time.thread_time()
    read_fields(io.BytesIO(raw))
    assert time.thread_time() - began < 2.0


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        (b"", None),
        (b"Content-Length: 0\r\n", 0),
        (b"content-length: 0012\r\n", 12),
        (b"Content-Length: 42, 42\r\n", 42),
        (b"Content-Length: 42\r\nContent-Length: 42\r\n", 42),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", 10**18),
    ],
)
def test_content_length_is_read(raw, length):
    assert parse_content_length(read_fields(io.BytesIO(raw + b"\r\n"))) == length


BAD_LENGTHS = [b"4\r\nContent-Length: 5", b"4, 5", b"-4", b"+4", b"four", b"", b"4 4", b"0x4", b"4.0", b"1_0", "٤".encode()]  # fmt: skip


@pytest.mark.parametrize("length", BAD_LENGTHS)
def test_content_length_that_is_none_fails_the_answer(length):
    result = check(OK + b"Content-Length: " + length + b"\r\n\r\npong")
    assert result.detail == "response: the answer's head is malformed: its Content-Length is no number"  # fmt: skip


@pytest.mark.parametrize("length", BAD_LENGTHS)
def test_content_length_does_not_matter_where_nothing_goes_by_it(length):
    field = b"Content-Length: " + length + b"\r\n"
    assert check(b"HTTP/1.1 204 No Content\r\n" + field + b"\r\n").ok
    assert check(OK + field + b"\r\n", method="HEAD").ok
    assert check(OK + field + CHUNKED, check="json:/status=UP").ok


@pytest.mark.parametrize(
    ("value", "codings"),
    [(b"chunked", ["chunked"]), (b"Chunked", ["chunked"]), (b"gzip ,\tchunked", ["gzip", "chunked"]), (b"identity", []), (b"", []), (b"x\r\nTransfer-Encoding: chunked", ["x", "chunked"])],
)  # fmt: skip
def test_transfer_codings_are_read(value, codings):
    raw = b"Transfer-Encoding: " + value + b"\r\n\r\n"
    assert parse_codings(read_fields(io.BytesIO(raw)), "Transfer-Encoding") == codings


def test_chunks_go_before_a_length_and_a_coding_before_its_content():
    import gzip

    assert check(OK + b"Content-Length: 3\r\n" + CHUNKED, check="json:/status=UP").ok
    assert check(OK + b"Transfer-Encoding:\r\n chunked\r\n\r\nf\r\n" + JSON + b"\r\n0\r\n\r\n", check="json:/status=UP").ok  # fmt: skip
    packed = gzip.compress(JSON)
    coded = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    assert check(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + coded, check="json:/status=UP").ok  # fmt: skip
    assert check(OK + b"Transfer-Encoding: gzip\r\n\r\n" + packed, check="json:/status=UP").ok
    assert check(OK + b"Transfer-Encoding: identity\r\nContent-Length: 15\r\n\r\n" + JSON, check="json:/status=UP").ok  # fmt: skip


def test_trace_has_the_length_that_was_said():
    assert check(OK + b"Content-Length: 7, 7\r\n\r\npongpon").trace.content_length == 7
    assert check(OK + b"Content-Length: 7\r\n\r\n", method="HEAD").trace.content_length == 7
    assert check(OK + b"\r\npong").trace.content_length == -1


def test_callable_sees_every_line_of_a_field():
    seen = []
    lines = b"X-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    check(OK + lines, check=lambda response: seen.append(response.headers))
    assert seen[0]["X-a"] == "1, 2"
    assert seen[0].getlist("x-A") == ["1", "2"]
