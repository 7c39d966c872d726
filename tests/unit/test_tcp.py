from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from pingstate import probe
from pingstate.values import InvalidValueError
from tests.support.namespace import FILES_ONLY, call_in_namespace
from tests.support.saying import says
from tests.support.servers import answer_ok, talker
from tests.support.waiting import TIMEOUT


def test_connect_is_ok_and_refused_is_connect():
    with talker(lambda _: None) as (host, port):
        result = probe("tcp", host, port).check()
        assert result.ok
        assert result.detail == "connected"
        assert result.phase is None
        assert result.latency_ms > 0
    result = probe("tcp", host, port).check()
    assert not result.ok
    assert result.phase == "connect"
    assert result.detail == "connect: connection refused"


def test_ipv6_literal_is_probed():
    with talker(lambda _: None, socket.AF_INET6, ("::1", 0)) as (host, port, *_):
        result = probe("tcp", host, port).check()
        assert result.ok
        assert result.trace.ip_protocol == 6


def test_banner_in_pieces_is_read_whole():
    def pieces(sock):
        for piece in (b"SS", b"H-2", b".0-x\r\n"):
            sock.sendall(piece)
            time.sleep(0.05)

    with talker(pieces) as (host, port):
        assert probe("tcp", host, port, check="banner_contains:SSH-2.0").check().ok


def test_banner_without_the_text_says_what_it_was():
    with talker(lambda sock: sock.sendall(b"220 mail\r\n\x1b[2J")) as (host, port):
        result = probe("tcp", host, port, check="banner_contains:SSH-").check()
    assert not result.ok
    assert result.phase == "check"
    assert "220 mail" in result.detail
    assert "\x1b" not in result.detail


def test_send_goes_before_the_banner():
    def redis(sock):
        if sock.recv(100) == b"PING\r\n":
            sock.sendall(b"+PONG\r\n")

    with talker(redis) as (host, port):
        options = {"check": ["banner_contains:+PONG", r"banner_matches:^\+P.NG"]}
        assert probe("tcp", host, port, send=b"PING\r\n", **options).check().ok


def test_callable_gets_the_open_socket_and_its_words_are_the_detail():
    def is_ssh(sock):
        sock.settimeout(1.0)
        banner = sock.recv(64)
        return banner.startswith(b"SSH-"), banner.decode()

    with talker(lambda sock: sock.sendall(b"SSH-2.0-x")) as (host, port):
        assert probe("tcp", host, port, check=is_ssh).check().detail == "SSH-2.0-x"


@pytest.mark.parametrize("end", [socket.socket.close, lambda sock: os.close(sock.detach())])
def test_callable_may_close_the_socket(end):
    with says(b"hello", then="hold") as (host, port):
        result = probe("tcp", host, port, check=lambda sock: end(sock) is None).check()
    assert (result.ok, result.detail) == (True, "connected")


def test_callable_can_not_outlive_the_deadline():
    def patient(sock):
        sock.settimeout(None)
        sock.recv(1)

    def roundabout(sock):
        sock.settimeout(None)
        sock.recvfrom(1)

    for check in (patient, roundabout, lambda sock: sock.makefile().readline()):
        hold = threading.Event()
        with talker(lambda _, hold=hold: hold.wait(TIMEOUT)) as (host, port):
            result = probe("tcp", host, port, check=check, timeout=0.3).check()
            hold.set()
        assert result.phase == "timeout"
        assert result.timeout_phase == "check"
        assert result.latency_ms < 1500


def test_unix_socket(tmp_path):
    path = str(tmp_path / "target.sock")
    with talker(lambda _: None, socket.AF_UNIX, path):
        assert probe("tcp", f"unix:{path}").check().ok
    assert probe("tcp", f"unix:{tmp_path}/none").check().phase == "connect"


@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_a_name_is_connected_by_the_version_that_was_asked_for(protocol):
    with talker(answer_ok) as (_, port):
        for version in (None, 4):
            result = probe(protocol, "localhost", port, ip_version=version).check()
            assert result.ok, result.detail
            assert result.trace.ip_protocol == 4


def connect_by_version():
    """The phases and details of a name that has an address of one family alone."""
    seen = {}
    with talker(lambda sock: sock.recv(1), socket.AF_INET6, ("::", 0)) as (_, port, *_):
        for name in ("four.test", "six.test"):
            for version in (4, 6):
                result = probe("tcp", name, port, ip_version=version, timeout=TIMEOUT).check()
                seen[f"{name} {version}"] = result.detail, result.trace.ip_protocol
    return seen


def test_a_name_without_an_address_of_that_version_says_so():
    hosts = "127.0.0.2 four.test\n::2 six.test\n"
    seen = call_in_namespace(connect_by_version, FILES_ONLY | {"/etc/hosts": hosts})
    assert seen["four.test 4"] == ["connected", 4]
    detail, reached = seen["four.test 6"]
    assert detail.startswith("dns: four.test has no IPv6 address")
    assert reached is None
    assert seen["six.test 4"][0].startswith("dns: six.test has no IPv4 address")
    # Nobody has ::2, and no other family is tried in its place.
    assert seen["six.test 6"][0].startswith("connect: ")


@pytest.mark.parametrize(("address", "version"), [("127.0.0.1", 6), ("::1", 4), ("unix:/x", 4)])
@pytest.mark.parametrize("protocol", ["tcp", "http", "https"])
def test_an_address_of_another_version_is_an_error_at_once(protocol, address, version):
    with pytest.raises(InvalidValueError, match=f"ip_version: {version} is not the IP version of"):
        probe(protocol, address, ip_version=version)


def tcp_end(talk, monkeypatch, **options):
    """How the target sees the connection end when it has said more than was needed."""
    monkeypatch.setattr("pingstate.net.sockets.MAX_REST_SECONDS", 4.0)
    monkeypatch.setattr("pingstate.probes.tcp.MAX_REST_SECONDS", 4.0)
    seen = []

    def listen(sock):
        try:
            talk(sock)
            sock.settimeout(TIMEOUT)
            seen.append(sock.recv(1))
        except OSError as exc:
            seen.append(type(exc).__name__)

    with talker(listen) as (host, port):
        result = probe("tcp", host, port, timeout=5, **options).check()
    return result, seen


@pytest.mark.parametrize(
    "check", ["banner_contains:220", "banner_matches:^220 ", "banner_matches:^554", "open:0.05"]
)
@pytest.mark.parametrize("rest", [0, 1, 20_000, 60_000])
def test_target_that_says_more_sees_an_orderly_end(check, rest, monkeypatch):
    def talk(sock):
        sock.sendall(b"220 mail\r\n")
        for _ in range(4):
            sock.sendall(b"x" * (rest // 4))

    result, seen = tcp_end(talk, monkeypatch, check=check)
    assert result.ok == (check != "banner_matches:^554")
    assert result.latency_ms < 4000
    assert seen == [b""]


def test_what_a_connect_finds_said_is_read_before_the_end(monkeypatch):
    accepted = threading.Event()

    def talk(sock):
        sock.sendall(b"SSH-2.0-x\r\n")
        accepted.set()

    result, seen = tcp_end(talk, monkeypatch, check=lambda _: accepted.wait(TIMEOUT))
    assert (result.ok, seen) == (True, [b""])


def test_no_write_waits_for_an_earlier_one_to_be_acknowledged():
    def judge(sock):
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    with talker(answer_ok) as (host, port):
        assert probe("tcp", host, port, timeout=5, check=judge).check().ok
