from __future__ import annotations

import gzip
import random
import socket
import ssl
import threading
import time
import zlib

import pytest
from urllib3.response import HTTPResponse

from pingstate import probe
from pingstate.net.fields import CODINGS
from tests.support.servers import read_request, talker

OK = b"HTTP/1.1 200 OK\r\n"
DOWN = b"HTTP/1.1 503 Service Unavailable\r\n"
HEALTH = b'{"status":"DOWN","components":{"db":{"status":"DOWN"}}}'


def sized(body, head=OK):
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body, head=OK):
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:1000], body[1000:]) if piece)  # fmt: skip
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"


def http(port, **options):
    return probe("http", "127.0.0.1", port, **({"timeout": 5} | options))


def check(talk, **options):
    with talker(talk) as (_, port):
        return http(port, **options).check()


def ends(answer, *, close=False, **options):
    """How the target sees its connection end, after three checks."""
    seen = []

    def talk(sock):
        read_request(sock)
        try:
            sock.sendall(answer)
            if close:
                sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            seen.append(sock.recv(1))
        except OSError as exc:
            seen.append(type(exc).__name__)

    with talker(talk) as (_, port):
        made = http(port, **options)
        for _ in range(3):
            made.check()
    return seen


@pytest.fixture
def patient(monkeypatch):
    """More time for the rest than this machine may need."""
    monkeypatch.setattr("pingstate.net.http1.MAX_REST_SECONDS", 4.0)
    monkeypatch.setattr("pingstate.probes.http.MAX_REST_SECONDS", 4.0)


# -- the end of a check --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2000, 20_000, 60_000])
@pytest.mark.parametrize("wrap", [sized, chunked])
@pytest.mark.parametrize("options", [{}, {"check": "body_contains:x"}, {"check": "status:500"}, {"check": "header:X=1"}], ids=str)  # fmt: skip
@pytest.mark.usefixtures("patient")
def test_target_sees_an_orderly_end(size, wrap, options):
    assert ends(wrap(b"x" * size), **options) == [b""] * 3


@pytest.mark.usefixtures("patient")
def test_body_that_ends_with_the_connection_has_an_orderly_end():
    assert ends(OK + b"\r\n" + b"x" * 30_000, close=True) == [b""] * 3


@pytest.mark.usefixtures("patient")
def test_body_of_a_redirect_has_an_orderly_end():
    body = b"x" * 20_000
    answer = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert ends(answer, timeout=2) == [b""] * 33


@pytest.mark.usefixtures("patient")
def test_body_of_a_gzip_answer_has_an_orderly_end():
    packed = gzip.compress(b"x" * 100_000)
    head = OK + b"Content-Encoding: gzip\r\n"
    assert ends(sized(packed, head), check="body_contains:xxx") == [b""] * 3


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"x" * 12_000, OK + b"Content-Encoding: gzip\r\n"),
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + b"x" * 12_000,
        OK + b"Content-Length: x\r\n\r\n" + b"x" * 12_000,
        b"SSH-2.0-x\r\n" + b"x" * 12_000,
    ],
)
def test_answer_that_can_not_be_read_has_an_orderly_end(answer):
    assert ends(answer, check="body_matches:never") == [b""] * 3


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("check", [None, "body_contains:never"])
def test_end_over_tls_is_announced(authority, check):
    assert tls_ends(authority, sized(b"x" * 20_000), check=check) == [b""] * 3


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (OK + b"Content-Length: x\r\n\r\n", {}),
        # They never end.
        (OK + b"\r\n", {}),
        (OK + b"\r\n", {"check": "body_contains:never", "timeout": 0.5}),
        (b"", {"timeout": 0.5}),
    ],
)
def test_end_over_tls_is_announced_whatever_came(authority, answer, options):
    assert tls_ends(authority, answer, **options) == [b""] * 3


def tls_ends(authority, answer, **options):
    """How the target sees TLS end, after three checks."""
    ca, path = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    seen = []

    def talk(raw):
        with context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False) as sock:
            read_request(sock)
            sock.sendall(answer)
            sock.settimeout(5)
            try:
                seen.append(sock.recv(1))
            except OSError as exc:
                seen.append(type(exc).__name__)

    with talker(talk) as (_, port):
        made = probe("https", "127.0.0.1", port, **({"ca_file": path, "timeout": 5} | options))
        for _ in range(3):
            made.check()
    return seen


SLOW = {
    "sized": (OK + b"Content-Length: 60000\r\n\r\n", b"x", 0.02),
    "endless": (OK + b"\r\n", b"x", 0.02),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
    "chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", 0.02),
    "flood": (OK + b"\r\n", b"x" * 65_536, 0),
    "large": (OK + b"Content-Length: 99999999\r\n\r\n", b"x" * 65_536, 0),
}


@pytest.mark.parametrize("name", SLOW)
def test_rest_that_takes_longer_changes_nothing(name):
    first, piece, pause = SLOW[name]

    def talk(sock):
        read_request(sock)
        sock.sendall(first)
        while True:
            sock.sendall(piece)
            threading.Event().wait(pause)

    began = time.monotonic()
    assert check(talk, timeout=3).ok
    assert time.monotonic() - began < 1.5


def test_rest_is_not_waited_for_beyond_the_deadline_and_no_timeout():
    def talk(sock):
        read_request(sock)
        threading.Event().wait(0.25)
        sock.sendall(DOWN + b"Content-Length: 10\r\n\r\n")
        sock.recv(1)

    result = check(talk, timeout=0.3)
    assert result.phase in {"check", "timeout"}
    assert result.phase == "timeout" or result.detail == "check: HTTP 503, expected a 2xx"


def test_time_for_the_rest_is_no_latency():
    def talk(sock):
        read_request(sock)
        sock.sendall(OK + b"Content-Length: 10\r\n\r\n")
        sock.recv(1)

    results = [check(talk) for _ in range(3)]
    assert all(result.ok for result in results)
    assert min(result.latency_ms for result in results) < 90
    assert min(sum(result.trace.seconds.values()) for result in results) < 0.09


# -- an unexpected status ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "options", "detail"),
    [
        (sized(HEALTH, DOWN), {}, f"HTTP 503, expected a 2xx: '{HEALTH.decode()}'"),
        (chunked(HEALTH, DOWN), {}, f"HTTP 503, expected a 2xx: '{HEALTH.decode()}'"),
        (DOWN + b"\r\n" + HEALTH, {}, f"HTTP 503, expected a 2xx: '{HEALTH.decode()}'"),
        (sized(gzip.compress(HEALTH), DOWN + b"Content-Encoding: gzip\r\n"), {}, f"HTTP 503, expected a 2xx: '{HEALTH.decode()}'"),
        (sized(HEALTH, DOWN), {"check": "json:/status=UP"}, f"HTTP 503, expected a 2xx: '{HEALTH.decode()}'"),
        (sized(HEALTH, DOWN), {"check": ["header:X=1", "status:200"]}, "HTTP 503, there is no header X"),
        (sized(b"fine"), {"check": "status:503"}, "HTTP 200, expected 503: 'fine'"),
        (sized(b"fine"), {"check": "not:status:200"}, "HTTP 200, expected not:status:200: 'fine'"),
        (sized("nicht verfügbar".encode("latin-1"), DOWN + b"Content-Type: text/plain; charset=latin1\r\n"), {}, "HTTP 503, expected a 2xx: 'nicht verfügbar'"),
        (sized(b"<html>\r\n\t<h1>503</h1>\n</html>\n", DOWN), {}, "HTTP 503, expected a 2xx: '<html> <h1>503</h1> </html>'"),
        (sized(b"\x1b[2J", DOWN), {}, "HTTP 503, expected a 2xx: '\N{REPLACEMENT CHARACTER}[2J'"),
        (sized(b"", DOWN), {}, "HTTP 503, expected a 2xx"),
        (sized(b" \r\n", DOWN), {}, "HTTP 503, expected a 2xx"),
        (sized(b"x" * 50_000, DOWN), {}, f"HTTP 503, expected a 2xx: '{'x' * 119}\N{HORIZONTAL ELLIPSIS}'"),
        (DOWN + b"Content-Length: 9\r\n\r\n", {"method": "HEAD"}, "HTTP 503, expected a 2xx"),
        (sized(HEALTH), {"check": "header:X=1"}, "HTTP 200, there is no header X"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("patient")
def test_unexpected_status_quotes_the_body(answer, options, detail):
    def talk(sock):
        read_request(sock)
        sock.sendall(answer)

    result = check(talk, **options)
    assert not result.ok
    assert result.detail.startswith(f"check: {detail}")


@pytest.mark.usefixtures("patient")
def test_secrets_in_a_quoted_body_are_redacted():
    def talk(sock):
        request = read_request(sock)
        body = b"no such token: " + request.split(b"X-Token: ")[1].split(b"\r\n")[0]
        sock.sendall(sized(body * 20, DOWN))

    result = check(talk, headers={"X-Token": "s3cr3t-t0ken"}, path="/?key=abcdef")
    assert "no such token: ***no such" in result.detail
    assert "s3cr" not in result.detail


@pytest.mark.parametrize(
    ("first", "piece", "quote"),
    [
        (DOWN + b"Content-Length: 100\r\n\r\n", b"", ""),
        (DOWN + b"Content-Length: 1000\r\n\r\nhalf", b"", ": 'half'"),
        (DOWN + b"\r\n", b"x" * 65_536, ": 'xxxx"),
        (DOWN + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"0", ": 'half'"),
        (DOWN + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", b"", ""),
        (DOWN + b"Content-Encoding: gzip\r\n\r\nnonsense", b"", ""),
    ],
)
def test_body_of_a_failure_that_hangs_costs_no_verdict(first, piece, quote):
    def talk(sock):
        read_request(sock)
        sock.sendall(first)
        while piece:
            sock.sendall(piece)
        sock.recv(1)

    began = time.monotonic()
    result = check(talk, timeout=3)
    assert time.monotonic() - began < 1.5
    assert result.phase == "check"
    assert result.detail.startswith(f"check: HTTP 503, expected a 2xx{quote}")
    assert quote or result.detail == "check: HTTP 503, expected a 2xx"


# -- a broken body -------------------------------------------------------------------------------

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
NOISE = random.Random(1).randbytes(2000)
PACKED = gzip.compress(NOISE)
UNREADABLE = CODINGS - {*HTTPResponse.CONTENT_DECODERS}


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (OK + b"Content-Length: 100\r\n\r\nhalf", "the body was cut off"),
        (OK + b"Content-Length: 100\r\n\r\n", "the body was cut off"),
        (CHUNKED, "the body was cut off"),
        (CHUNKED + b"4", "the body was cut off"),
        (CHUNKED + b"4\r\nha", "the body was cut off"),
        (CHUNKED + b"4\r\nhalf", "the body was cut off"),
        (CHUNKED + b"4\r\nhalf\r\n", "the body was cut off"),
        (CHUNKED + b"four\r\nhalf\r\n0\r\n\r\n", "the body is malformed: no size of a chunk"),
        (CHUNKED + b"-4\r\nhalf\r\n0\r\n\r\n", "the body is malformed: no size of a chunk"),
        (CHUNKED + b"0" * 70_000, "the body is malformed: no size of a chunk"),
        (CHUNKED + b"4\r\nhalf of it\r\n", "the body is malformed: no end of a chunk"),
        (CHUNKED + b"4\r\nhalf0\r\n\r\n", "the body is malformed: no end of a chunk"),
        (CHUNKED + b"4\r\nhalf\r", "the body was cut off"),
        (GZIP + b"nonsense", "the body can't be decoded as its Content-Encoding says"),
        (OK + b"Content-Encoding: deflate\r\n\r\nnonsense", "the body can't be decoded as its Content-Encoding says"),
        (OK + b"Content-Encoding: " + b"gzip," * 50 + b"gzip\r\n\r\nx", "the body can't be decoded as its Content-Encoding says"),
        *((GZIP + PACKED[:cut], "the body was cut off") for cut in (1, 9, 12, 500, -8, -1)),
        (OK + b"Content-Encoding: x-gzip\r\n\r\n" + PACKED[:500], "the body was cut off"),
        (OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(NOISE)[:500], "the body was cut off"),
        (OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(NOISE)[2:500], "the body was cut off"),
        (OK + b"Content-Encoding: gzip, gzip\r\n\r\n" + gzip.compress(PACKED[:500]), "the body was cut off"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n" + PACKED[:500], "the body was cut off"),
        *((OK + b"Content-Encoding: %s\r\n\r\nx" % name.encode(), f"the body is coded as {name}, which can't be read") for name in sorted(UNREADABLE)),
        (OK + b"Content-Encoding: BR\r\n\r\nx", "the body is coded as br, which can't be read"),
        (OK + b"Content-Encoding: gzip, br\r\n\r\nx", "the body is coded as br, which can't be read"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("condition", ["body_matches:never", "not:body_contains:maintenance"])
def test_broken_body_is_told_in_words(answer, detail, condition):
    def talk(sock):
        read_request(sock)
        sock.sendall(answer)

    result = check(talk, check=condition)
    assert (result.ok, result.phase, result.detail) == (False, "body", f"body: {detail}")
    # A check that needs no body does not care.
    assert check(talk).ok


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"po") + gzip.compress(b"ng"),
        gzip.compress(b"pong") + bytes(512),
        gzip.compress(b"pong") + b"\0",
    ],
)
def test_compressed_body_that_has_ended_may_have_more_behind_it(body):
    def talk(sock):
        read_request(sock)
        sock.sendall(sized(body, OK + b"Content-Encoding: gzip\r\n"))

    assert check(talk, check="body_matches:^pong$").ok


def test_empty_body_of_a_coding_is_empty():
    for coding in ("gzip", "deflate", "br", "zstd"):

        def talk(sock, coding=coding):
            read_request(sock)
            sock.sendall(sized(b"", OK + b"Content-Encoding: %s\r\n" % coding.encode()))

        assert check(talk, check="not:body_contains:x").ok


def test_callable_gets_a_body_that_cannot_be_decoded_as_it_came():
    def talk(sock):
        read_request(sock)
        sock.sendall(sized(b"\x0b\x00", OK + b"Content-Encoding: br\r\n"))

    assert check(talk, check=lambda answer: answer.body == b"\x0b\x00").ok


def test_quotation_of_a_body_that_cannot_be_decoded_is_left_out():
    def talk(sock):
        read_request(sock)
        sock.sendall(sized(b"\x0b\x00", DOWN + b"Content-Encoding: br\r\n"))

    assert check(talk).detail == "check: HTTP 503, expected a 2xx"


def test_identity_among_codings_is_none():
    packed = gzip.compress(b"pong")
    for codings in (b"identity", b"gzip, identity", b"Identity,x-gzip", b"GZIP"):
        body = b"pong" if codings == b"identity" else packed
        answer = sized(body, OK + b"Content-Encoding: " + codings + b"\r\n")

        def talk(sock, answer=answer):
            read_request(sock)
            sock.sendall(answer)

        assert check(talk, check="body_matches:^pong$").ok, codings


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_lines_of_chunks_may_end_without_a_return(end):
    answer = end.join([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", b"", b"4 ; x=y", b"pong", b"a", b"0123456789", b"0", b"X-Trailer: 1", b"", b""])  # fmt: skip

    def talk(sock):
        read_request(sock)
        sock.sendall(answer)

    assert check(talk, check="body_matches:^pong0123456789$").ok


@pytest.mark.parametrize("cap", [1000, 65536])
def test_body_that_comes_with_the_head_is_none_of_it_however_much_python_buffers(monkeypatch, cap):
    monkeypatch.setattr("io.DEFAULT_BUFFER_SIZE", 1 << 20)
    sizes = []

    def talk(sock):
        # All of it is there before the head is read.
        sock.sendall(sized(b"x" * 300_000))
        read_request(sock)

    for _ in range(5):
        result = check(talk, check=lambda r: sizes.append(len(r.body)) or True, max_body_bytes=cap)
        assert result.ok, result.detail
    assert sizes == [cap] * 5
