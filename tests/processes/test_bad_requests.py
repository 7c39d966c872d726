"""Requests that no client should send: never a 5xx, never a traceback, and nothing changes."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from itertools import product

import pytest

from tests.support.process import Sidecar
from tests.support.target import Target
from tests.support.waiting import TIMEOUT

SEED = 20240229
PATHS = [b"/", b"/status", b"/state", b"/healthz", b"/livez", b"/metrics"]
ODD_PATHS = [
    b"", b"*", b"//", b"/../etc/passwd", b"/%2e%2e/", b"/status/", b"//status", b"/STATUS",
    b"/status%00", b"/%", b"/%zz", b"/%ff%fe", b"/\xff\xfe", b"/" + b"a" * 10000,
    b"/?" + b"b=" * 10000, b"http://[::1/", b"http://other.test/healthz", b"other.test:443",
    b"/status?\r\n", b"/\x00", b"/\x1b[31m", b"/status#x", b"javascript:alert(1)", b"/a b c",
    b"/%c0%ae%c0%ae/", b"/status;x=y", b"/" + b"%41" * 3000, b"/static/../status", b"\\status",
]  # fmt: skip
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"]
ODD_METHODS = [b"", b"get", b"PRI", b"G\x00T", b"G" * 5000, b"\xff", b"GET\t", b"FOO-BAR", b"[]"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0"]
ODD_VERSIONS = [
    b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.11", b"HTTP/9.9", b"http/1.1", b"", b"HTTP/", b"HTTP/1",
    b"HTTP/-1.1", b"HTTPS/1.1", b"\xff/1.1", b"HTTP/1.1 x", b"HTTP/" + b"1" * 3000 + b".1",
]  # fmt: skip
ODD_FIELDS = [
    b"Content-Length: -1", b"Content-Length: 9" + b"9" * 5000, b"Content-Length: x",
    b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: +5", b"Content-Length: 1_0",
    b"Content-Length: 10\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:",
    b"Transfer-Encoding: x-\xff", b"Expect: 100-continue", b"Expect: miracles", b"Host:",
    b"Host: a\r\nHost: b", b"Host: \xff", b"Host: a b", b"Host: [::1", b"Host: x:99999",
    b"Connection: keep-alive, close", b"Connection: upgrade\r\nUpgrade: websocket",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
    b"Range: bytes=0-0,1-1,2-2", b"If-Modified-Since: yesterday", b"If-None-Match: *",
    b"Accept: \x00", b"Accept-Encoding: " + b"gzip," * 900, b"Cookie: " + b"a=b;" * 1500,
    b"X-Long: " + b"x" * 40000, b"X: y\r\n" * 200, b"No colon at all", b": no name", b" folded",
    b"X\x00Y: z", b"X Y: z", b"X-Forwarded-Proto: \xff", b"X-Forwarded-For: ::::", b"\xff: \xff",
    b"SCRIPT_NAME: /x", b"Script-Name: /nowhere", b"X_Under: score", b"Authorization: Basic ====",
    b"Forwarded: for=unknown", b"X-HTTP-Method-Override: DELETE", b"Transfer_Encoding: chunked",
    b"Content-Type: multipart/form-data; boundary=", b"Trailer: Content-Length", b"TE: trailers",
]  # fmt: skip
BODIES = [
    b"", b"x" * 10, b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhe", b"-5\r\nhello\r\n",
    b"ffffffffffffffff\r\nx", b"zz\r\n", b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    b"0\r\nX-Trailer: " + b"x" * 20000 + b"\r\n\r\n", b"\x00" * 1000, b"x" * 200_000,
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
]  # fmt: skip
FRAMINGS = [b"Transfer-Encoding: chunked", b"Content-Length: 10", b"Expect: 100-continue"]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\x00"]
RAW = [
    b"", b"\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 300,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /healthz\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 50_000,
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, b"A" * 100_000, b"\xff" * 1000 + b"\r\n\r\n",
    b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b" GET / HTTP/1.1\r\n\r\n",
]  # fmt: skip


def requests(seed: int) -> Iterator[bytes]:
    """Broken bytes, each odd part once in an otherwise good request, and mixtures of all."""
    yield from RAW
    starts = [b"GET " + path + b" HTTP/1.1" for path in ODD_PATHS]
    starts += [b"%b %b HTTP/1.1" % pair for pair in product(METHODS + ODD_METHODS, PATHS)]
    starts += [b"GET /healthz " + version for version in ODD_VERSIONS]
    yield from (start + b"\r\nHost: x\r\n\r\n" for start in starts)
    for method, field in product((b"GET", b"POST"), ODD_FIELDS):
        yield method + b" /healthz HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n"
    for field, body in product(FRAMINGS, BODIES):
        yield b"POST /status HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n" + body
    chance = random.Random(seed)
    yield from (mixture(chance) for _ in range(800))


def mixture(chance: random.Random) -> bytes:
    """A request of parts that are often odd, some of its bytes replaced."""
    start = [
        chance.choice(METHODS + ODD_METHODS),
        chance.choice(PATHS + ODD_PATHS),
        chance.choice(VERSIONS * 5 + ODD_VERSIONS),
    ]
    fields = [b"Host: x", *chance.sample(ODD_FIELDS, chance.randrange(4))]
    lines = [b" ".join(start), *fields, b"", chance.choice(BODIES)]
    request = chance.choice(ENDS).join(lines)
    for _ in range(chance.choice([0, 0, 1, 5])):
        at = chance.randrange(len(request))
        request = request[:at] + chance.randbytes(chance.randrange(3)) + request[at + 1 :]
    return request


def exchange(port: int, request: bytes, *, half_close: bool = True) -> bytes:
    """Everything that comes back, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        answer = b""
        try:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                answer += data
        except TimeoutError:
            raise
        except OSError:
            pass  # the server may well have had enough, and have reset the connection
        return answer


@pytest.fixture
def watching(sidecar, target: Target) -> Sidecar:
    """A sidecar whose target stays up, so that there is no reason for any 503."""
    started = sidecar(
        PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port), PINGSTATE_INTERVAL="1"
    )
    started.wait_for_state("up")
    return started


def test_bad_requests_change_nothing_and_are_never_the_servers_fault(watching: Sidecar):
    before = watching.status()
    lines = len(watching.lines)
    wrong = []
    statuses = set()
    for request in requests(SEED):
        answer = exchange(watching.port, request)
        found = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
        statuses.update(found)
        told = b"Traceback" in answer or b"<html" in answer.lower()
        if (answer and not found) or told or any(code >= 500 for code in found):
            wrong.append((request[:300], answer[:200]))
    assert wrong == []
    # It was a fuzz that got through to the application, and to the parser's refusals.
    assert {200, 400, 404, 405} <= statuses
    after = watching.status()
    for key in ("state", "transitions", "probe", "pid"):
        assert after[key] == before[key]
    assert watching.get("/healthz") == (200, "up")
    assert "Traceback" not in watching.output
    assert watching.lines[lines:] == [], "a bad request is nothing to log about"


@pytest.mark.parametrize("cut", [1, 5, 17, 30])
def test_request_in_pieces_is_answered_like_a_whole_one(watching: Sidecar, cut: int):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", watching.port), TIMEOUT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), cut):
            sock.sendall(request[at : at + cut])
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nup")


@pytest.mark.parametrize("end", [b"close", b"keep-alive"])
def test_pipelined_requests_are_each_answered_in_order(watching: Sidecar, end: bytes):
    """Also where nothing but the end of the client's stream says that there are no more."""
    asked = [b"/state", b"/nothing", b"/healthz", b"/livez"]
    parts = [b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in asked]
    parts[-1] = parts[-1][:-2] + b"Connection: " + end + b"\r\n\r\n"
    answer = exchange(watching.port, b"".join(parts), half_close=end == b"keep-alive")
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) == [b"200", b"404", b"200", b"200"]


def test_body_of_a_request_is_never_taken_for_the_next_one(watching: Sidecar):
    smuggled = b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n"
    for framing in (
        b"Content-Length: %d" % len(smuggled),
        b"Transfer-Encoding: chunked",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: %d" % len(smuggled),
    ):
        request = b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
        body = (
            smuggled
            if framing.startswith(b"Content")
            else b"%x\r\n%s\r\n0\r\n\r\n"
            % (
                len(smuggled),
                smuggled,
            )
        )
        answer = exchange(watching.port, request + body)
        assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1, answer
