from __future__ import annotations

import sys
from encodings.aliases import aliases
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import probe
from pingstate.probes.decoding import BodyDecoder, decode_body

TEXT = "état: prêt €5"
CHINESE = "系统正常"


@pytest.mark.parametrize(
    ("text", "codec", "content_type"),
    [
        (TEXT, "utf-8", None),
        (TEXT, "utf-8", "text/plain"),
        (TEXT, "utf-8", "text/html; charset=utf8"),
        (TEXT, "utf-8-sig", None),
        (TEXT, "utf-8-sig", "text/plain; charset=UTF-8"),
        (TEXT, "utf-8", "text/plain; charset=us-ascii"),
        (TEXT, "cp1252", "text/plain; charset=windows-1252"),
        (TEXT, "iso8859-15", 'text/plain; charset="ISO-8859-15"'),
        ("prêt", "latin-1", "text/plain; charset=ISO-8859-1"),
        ("prêt", "latin-1", "TEXT/PLAIN;CHARSET='latin1'; format=flowed"),
        ("prêt", "latin-1", "text/plain; format=flowed; charset = iso_8859-1"),
        (TEXT, "cp1252", "text/plain; charset=ISO-8859-1"),
        ("prêt", "latin-1", 'text/html; profile="a;b"; charset=latin1'),
        (TEXT, "utf-8", 'text/html; profile="; charset=utf-16"'),
        (TEXT, "utf-8", 'text/html; profile="\\"; charset=utf-16"; charset=utf-8'),
        (TEXT, "utf-8", "text/html; x-charset=utf-16"),
        (TEXT, "cp1252", 'text/plain; charset="windows-1252'),
        (TEXT, "cp1252", "text/plain; charset=windows-1252, text/plain"),
        ("şeker", "cp1254", "text/html; charset=iso-8859-9"),
        (CHINESE, "gbk", "text/html; charset=GBK"),
        (CHINESE + "镕", "gbk", "text/html; charset=gb2312"),
        (CHINESE, "gb18030", "text/html; charset=x-gbk"),
        ("系統正常", "big5", "text/html; charset=Big5"),
        ("正常です", "shift_jis", "text/html; charset=Shift_JIS"),
        ("正常です", "shift_jis", "text/html; charset=x-sjis"),
        ("①正常", "cp932", "text/html; charset=Shift_JIS"),
        ("系統正常㗎", "big5hkscs", "text/html; charset=Big5"),
        ("正常です", "euc_jp", "text/html; charset=EUC-JP"),
        ("正常です", "iso2022_jp", "text/html; charset=ISO-2022-JP"),
        ("정상 뷁", "cp949", "text/html; charset=EUC-KR"),
        ("готов", "koi8-r", "text/plain; charset=koi8-r"),
        ("готовий ї", "koi8-u", "text/plain; charset=KOI8-U"),
        ("готов", "cp1251", "text/plain; charset=Windows-1251"),
        ("พร้อม", "cp874", "text/plain; charset=windows-874"),
        ("READY é", "utf-16", "text/plain; charset=utf-16"),
        ("READY é", "utf-16", None),
        ("READY é", "utf-16-le", "text/plain; charset=utf-16"),
        ("READY é", "utf-16-be", "text/plain; charset=utf-16be"),
        ("\ufeffREADY é", "utf-16-be", "text/plain; charset=utf-16"),
        ("\ufeffREADY é", "utf-16-be", "text/plain"),
        ("READY é", "utf-32", None),
        ("READY é", "utf-32", "text/plain; charset=UTF-32"),
        ("\ufeffREADY é", "utf-32-be", None),
    ],
)
def test_body_is_read_in_its_own_charset(text, codec, content_type):
    assert decode_body(text.encode(codec), content_type) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    "charset",
    [
        "undefined",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "zip",
        "zlib_codec",
        "bz2",
        "base64",
        "hex",
        "quopri",
        "rot13",
        "uu",
        "mbcs",
        "oem",
        "x-user-defined",
        "none",
        "",
        "\0",
        "../../etc/passwd",
        "aliases",
        "a" * 100_000,
        "é",
    ],
)
def test_charset_that_is_none_counts_as_not_declared(charset):
    for body in (TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.encode("utf-16")):
        assert decode_body(body, f"text/plain; charset={charset}") == TEXT


@pytest.mark.parametrize("charset", sorted({*aliases, *aliases.values(), "utf-7", "punycode"}))
def test_no_charset_makes_of_garbage_more_than_garbage(charset):
    for body in (b"", b"\xff\xfe\x00", bytes(range(256)) * 40, b"\\x4 \\d +AAA- xn--\xff"):
        assert len(decode_body(body, f"text/plain; charset={charset}")) <= 2 * len(body)


def test_names_that_a_target_makes_up_leave_nothing_behind():
    import encodings

    before = len(encodings._cache), len(sys.modules)
    for number in range(100):
        decode_body(b"x", f"text/plain; charset=made-up-{number}")
    assert (len(encodings._cache), len(sys.modules)) == before


def test_callable_gets_the_decoded_text(target):
    target.body = CHINESE.encode("gbk")
    target.headers["Content-Type"] = "text/html; charset=GBK"
    made = probe("http", "127.0.0.1", target.port, timeout=5, check=lambda r: (True, r.text))
    assert made.check().detail == CHINESE


CHARSETS = st.sampled_from([None, *sorted(set(aliases.values()))])


@given(CHARSETS, st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_pieces_are_decoded_as_the_whole_is(charset, body, cuts):
    content_type = charset and f"text/plain; charset={charset}"
    decoder = BodyDecoder(content_type)
    places = [0, *sorted(cuts), len(body)]
    text = "".join(decoder.decode(body[a:b], final=False) for a, b in pairwise(places))
    assert text + decoder.decode(b"", final=True) == decode_body(body, content_type)


def test_text_is_there_as_soon_as_its_bytes_are():
    assert BodyDecoder(None).decode(b"OK", final=False) == "OK"
    assert BodyDecoder("text/plain; charset=utf-16le").decode(b"O\0K\0", final=False) == "OK"
