from __future__ import annotations

import errno
import socket
import time

import pytest

from pingstate.net.deadline import Deadline
from pingstate.net.sockets import DeadlineSocket


@pytest.fixture
def pair():
    """A socket with a fifth of a second left, and its silent peer."""
    ours, peer = socket.socketpair()
    sock = DeadlineSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    sock.deadline = Deadline(0.2)
    with sock, peer:
        yield sock, peer


@pytest.mark.parametrize(
    "call",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: sock.recvfrom(1),
        lambda sock: sock.recvfrom_into(bytearray(1)),
        lambda sock: sock.recvmsg(1),
        lambda sock: sock.recvmsg_into([bytearray(1)]),
        lambda sock: sock.sendall(bytes(1 << 24)),
        lambda sock: [sock.send(bytes(1 << 20)) for _ in range(100)],
        lambda sock: [sock.sendmsg([bytes(1 << 20)]) for _ in range(100)],
        lambda sock: sock.makefile("rb").read(1),
    ],
    ids=[
        "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "sendall",
        "send", "sendmsg", "makefile",
    ],
)  # fmt: skip
@pytest.mark.parametrize("timeout", [None, 3600.0])
def test_no_call_outlives_the_deadline_whatever_timeout_its_user_sets(pair, call, timeout):
    sock, _ = pair
    sock.deadline = Deadline(60.0)
    sock.settimeout(timeout)
    sock.deadline = Deadline(0.2)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        call(sock)
    assert time.monotonic() - started < 10
    assert sock.deadline.expired


def test_a_shorter_timeout_of_its_user_holds(pair):
    sock, _ = pair
    sock.deadline = Deadline(60.0)
    sock.settimeout(0.05)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        sock.recv(1)
    assert time.monotonic() - started < 30
    assert not sock.deadline.expired


def test_a_socket_that_does_not_block_still_does_not(pair):
    sock, _ = pair
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_bytes_that_come_are_counted_against_the_limit(pair):
    sock, peer = pair
    sock.deadline.limit_bytes(5)
    peer.sendall(b"12345")
    assert sock.recv(100) == b"12345"
    peer.sendall(b"6")
    with pytest.raises(OSError, match="more bytes came") as caught:
        sock.recv_into(bytearray(1))
    assert caught.value.errno == errno.EMSGSIZE


def test_the_peers_end_is_remembered(pair):
    sock, peer = pair
    peer.sendall(b"x")
    assert sock.recv(1) == b"x"
    assert sock.recv(0) == b""
    assert not sock.eof
    peer.close()
    assert sock.recv(1) == b""
    assert sock.eof


# -- connect -------------------------------------------------------------------------------------
