from __future__ import annotations

import socket

import pytest

from pingstate import probe
from tests.support.client import free_port
from tests.support.servers import answering, talker


def http(target, **options):
    return probe("http", "127.0.0.1", target.port, timeout=5, **options)


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (299, True), (304, False), (404, False), (503, False)])  # fmt: skip
def test_any_2xx_is_up_by_default(target, status, ok):
    target.status, target.body = status, b""
    result = http(target).check()
    assert result.ok is ok
    assert f"HTTP {status}" in result.detail
    assert result.phase == (None if ok else "check")


def test_all_conditions_must_hold(target):
    target.body = b'{"ready": true}'
    target.headers["X-Role"] = "primary"
    checks = ["json:/ready=true", "header:x-role=primary", "body_matches:r..dy"]
    assert http(target, check=checks).check().ok
    assert not http(target, check=[*checks, "body_contains:nope"]).check().ok
    target.status = 500
    assert not http(target, check=checks).check().ok
    assert http(target, check=[*checks, "status:500"]).check().ok


def test_callable_gets_the_snapshot(target):
    seen = []

    def judge(response):
        seen.append(response)
        return response.status == 503 and b"maint" in response.body, "as planned"

    target.status, target.body = 503, "maint é".encode()
    target.headers["Content-Type"] = "text/plain; charset=utf-8"
    result = http(target, check=judge).check()
    assert result.ok
    assert result.detail == "as planned"
    assert seen[0].text == "maint é"
    assert seen[0].headers["content-type"] == "text/plain; charset=utf-8"
    assert seen[0].elapsed_ms > 0


def test_body_is_cut_at_the_cap(target):
    target.body = b"x" * 300_000
    sizes = []
    http(target, check=lambda r: sizes.append(len(r.body))).check()
    http(target, check=lambda r: sizes.append(len(r.body)), max_body_bytes=1000).check()
    assert sizes == [65536, 1000]


def test_request_is_what_was_asked_for(target):
    made = http(
        target,
        path="/a/../b%zz?q=1&é",
        method="post",
        headers=[("Host", "virtual.example"), ("X-One", "é"), ("User-Agent", "me")],
        basic_auth=("user", "pass:word"),
    )
    assert made.check().ok
    method, path, headers = target.requests[0]
    assert (method, path) == ("POST", "/a/../b%25zz?q=1&%C3%A9")
    assert headers["Host"] == "virtual.example"
    assert headers["X-One"].encode("latin-1").decode() == "é"
    assert headers["User-Agent"] == "me"
    assert headers["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="
    assert headers["Accept-Encoding"] == "identity"
    assert "pass" not in made.name
    assert "q=1" not in made.name


def test_redirects_are_followed_unless_told_otherwise(target):
    target.status, target.headers["Location"] = 302, "/elsewhere"
    result = http(target).check()
    assert not result.ok
    assert result.detail == f"response at http://127.0.0.1:{target.port}: more than 10 redirects"
    assert len(target.requests) == 11
    assert http(target, follow_redirects=False, check="status:302").check().ok
    assert http(target, check="status:302").check().ok
    assert not http(target, follow_redirects=False).check().ok


def test_redirect_to_another_origin_takes_no_secrets_along(target):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, asked):
        target.status = 302
        target.headers["Location"] = f"http://localhost:{port}/x"
        result = http(target, headers={"X-Token": "s3cret"}, basic_auth=("u", "p")).check()
    assert result.ok
    assert result.trace.redirects == 1
    (request,) = asked
    assert b"x-token" not in request.lower()
    assert b"authorization" not in request.lower()
    assert f"Host: localhost:{port}\r\n".encode() in request


def test_redirect_to_the_same_origin_keeps_them(target):
    target.status, target.headers["Location"] = 307, "next"
    http(target, headers={"X-Token": "s3cret"}, method="POST").check()
    assert {m for m, _, _ in target.requests} == {"POST"}
    assert {h["X-Token"] for _, _, h in target.requests} == {"s3cret"}


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "//", "http://[", "http://a b/", "http://127.0.0.1:99999/", "http://127.0.0.1:0/"])  # fmt: skip
def test_redirect_to_nowhere_is_a_fail_of_the_response(target, location):
    target.status, target.headers["Location"] = 302, location
    result = http(target).check()
    assert not result.ok
    assert result.phase == "response"


def test_http_over_a_unix_socket(tmp_path):
    def answer(sock):
        assert sock.recv(1000).startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    path = str(tmp_path / "target.sock")
    with talker(answer, socket.AF_UNIX, path):
        made = probe("http", f"unix:{path}", path="/x", check="body_contains:OK")
        assert made.check().ok
        assert made.name == f"http://unix:{path}:/x"


def test_environment_does_not_change_where_the_probe_goes(target, monkeypatch, tmp_path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert http(target).check().ok
    assert "Authorization" not in target.requests[0][2]


def test_each_check_has_a_fresh_connection(target):
    ports = set()
    original = target.server.finish_request
    target.server.finish_request = lambda r, a: (ports.add(a[1]), original(r, a))
    made = http(target)
    assert all(made.check().ok for _ in range(5))
    assert len(ports) == 5


def test_trace_has_the_phases_and_the_answer(target):
    trace = http(target, check="body_contains:OK").check().trace
    assert set(trace.seconds) == {"dns", "connect", "send", "response", "body", "check"}
    assert (trace.status, trace.version, trace.content_length) == (200, "1.0", 2)
    assert trace.certificate is None
