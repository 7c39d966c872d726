from __future__ import annotations

import pytest

from pingstate import probe
from pingstate.values import InvalidValueError
from tests.support.servers import answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def ask(**options):
    """The head of a check's request as lines, and its body."""
    with answering(OK) as (port, asked):
        assert probe("http", "127.0.0.1", port, timeout=5, **options).check().ok
    head, _, body = asked[0].partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("x", b"x"),
        ("grüße\r\n\r\nGET / HTTP/1.1\r\n", "grüße\r\n\r\nGET / HTTP/1.1\r\n".encode()),
        (b"\x00\xff", b"\x00\xff"),
        ("\udcff", b"\xff"),
        ("x" * 300_000, b"x" * 300_000),
        ("\x00", b"\x00"),
    ],
)
def test_body_is_sent_as_utf_8_with_its_length_by_post(body, sent):
    head, got = ask(body=body)
    assert got == sent
    assert head[0] == "POST / HTTP/1.1"
    assert [line for line in head if line.lower().startswith("content-")] == [f"Content-Length: {len(sent)}"]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "QUERY"])
def test_method_and_type_are_the_users(method):
    head, body = ask(body="{}", method=method, headers={"Content-Type": "application/json", "Content-Length": "99"})  # fmt: skip
    assert head[0] == f"{method} / HTTP/1.1"
    assert "Content-Type: application/json" in head
    assert [line for line in head if line.startswith("Content-Length")] == ["Content-Length: 2"]
    assert body == b"{}"


@pytest.mark.parametrize("body", ["", b""], ids=["text", "bytes"])
def test_empty_body_is_none(body):
    head, got = ask(body=body)
    assert head[0] == "GET / HTTP/1.1"
    assert not [line for line in head if line.startswith("Content-")]
    assert got == b""


@pytest.mark.parametrize("body", [7, None, ["x"], {"a": 1}, "\ud800"])
def test_body_that_is_none_is_refused_and_not_told(body):
    with pytest.raises(InvalidValueError, match=r"^body: \*\*\* is not text or bytes$"):
        probe("http", "127.0.0.1", 1, body=body)


def test_transfer_encoding_beside_a_body_is_refused():
    with pytest.raises(InvalidValueError, match="'Transfer-Encoding' is not a header to send with"):
        probe("http", "127.0.0.1", 1, body="x", headers={"transfer-encoding": "chunked"})


@pytest.mark.parametrize(
    ("body", "secret", "plain"),
    [
        ('{"jsonrpc":"2.0","params":["s3cr3t-key",{"k":"s3cr3t-key"}]}', "s3cr3t-key", "jsonrpc"),
        ('["s3cr3t-key"]', "s3cr3t-key", "known"),
        ('"Bearer s3cr3t-key"', "s3cr3t-key", "known"),
        ("user=me&password=s3cr3t-key", "s3cr3t-key", "known"),
        ("password=s3cr3t%2Dkey", "s3cr3t-key", "known"),
        ("<login><password>s3cr3t-key</password></login>", "s3cr3t-key", "known"),
        ("AUTH s3cr3t-key\r\n", "s3cr3t-key", "known"),
        ('{"broken": s3cr3t-key', "s3cr3t-key", "broken"),
        ("[" * 100_000 + " s3cr3t-key", "s3cr3t-key", "known"),
        ('{"a": "s3cr3t\\u002dkey"}', "s3cr3t-key", "known"),
        (' {"user": "s3cr3t-key"}', "s3cr3t-key", "user"),
        ('{"pin": 31415926, "user": "me"}', "31415926", "pin"),
        ('{"pin": [31415926.530]}', "31415926.530", "pin"),
        ('<login password="s3cr3t-key" user="me"/>', "s3cr3t-key", "known"),
        ('{"query": "{ login(key: \\"s3cr3t-key\\") { id } }"}', "s3cr3t-key", "query"),
        ("SELECT login('s3cr3t-key')", "s3cr3t-key", "known"),
    ],
)
def test_body_is_redacted_where_the_target_says_it_again(body, secret, plain):
    def answer(request):
        said = f"{plain} but not {secret} and not {body[:80]}".encode()
        return b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)

    with answering(answer) as (port, _):
        result = probe("http", "127.0.0.1", port, timeout=5, body=body).check()
    assert "HTTP 403" in result.detail
    assert f"{plain} but not ***" in result.detail
    assert secret not in result.detail.replace(body[:80], "")
    assert "s3cr3t" not in result.detail.replace(body[:80], "")


def test_lines_of_one_field_are_one_list_and_cookies_are_parted_as_cookies_are():
    lines = [("Cookie", "a=1"), ("X-List", "1"), ("cookie", "b=2; c=3"), ("x-list", "2")]
    head, _ = ask(headers=lines)
    assert "cookie: a=1; b=2; c=3" in head
    assert "x-list: 1, 2" in head


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("Host", "app.internal", True),
        ("Accept", "application/json", True),
        ("Content-Type", "application/json", True),
        ("User-Agent", "curl/8.0", True),
        ("Cache-Control", "no-cache", True),
        ("Authorization", "Bearer s3cr3t", False),
        ("X-Api-Key", "s3cr3t", False),
        ("Cookie", "session=s3cr3t", False),
    ],
)
def test_what_is_no_secret_of_a_request_is_told(field, value, told):
    said = b"unfit: " + value.encode()
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
    with answering(answer) as (port, _):
        result = probe("http", "127.0.0.1", port, timeout=5, headers={field: value}).check()
    assert result.detail == f"check: HTTP 400, expected a 2xx: 'unfit: {value if told else '***'}'"
