from __future__ import annotations

import socket

import pytest

from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket
from pingstate.probes.conditions import Outcome
from pingstate.probes.conversation import MAX_BANNER_BYTES, Conversation
from pingstate.values import InvalidValueError
from tests.support.waiting import TIMEOUT


@pytest.fixture
def hold():
    """Hold a conversation with a target that has said something and left, or stays."""
    pairs = []

    def run(conversation, said=b"", *, leaves=True, timeout=TIMEOUT):
        ours, peer = socket.socketpair()
        sock = DeadlineSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
        pairs.extend((sock, peer))
        deadline = sock.deadline = Deadline(timeout)
        peer.sendall(said)
        if leaves:
            peer.shutdown(socket.SHUT_WR)
        run.peer, run.deadline = peer, deadline
        return conversation.hold(sock, deadline, Outcome(ok=True, seen="connected"))

    yield run
    for one in pairs:
        one.close()


def conversation(check=None, send=b""):
    return Conversation("tcp", check, send, TIMEOUT)


def test_without_conditions_it_is_what_was_seen_and_nothing_is_read(hold):
    made = conversation()
    assert not made.reads
    assert not made.writes
    assert hold(made, b"x", leaves=False).detail == "connected"
    assert hold.deadline.seconds == {}


def test_what_is_sent_is_sent_first(hold):
    made = conversation(send=b"PING\r\n")
    assert made.writes
    assert hold(made, leaves=False).ok
    assert hold.peer.recv(100) == b"PING\r\n"
    assert hold.deadline.phase == "send"


def test_all_that_is_said_must_hold_and_then_the_callable(hold):
    called = []

    def note(stream):
        called.append(stream.recv(1))
        return True

    made = conversation(["banner_contains:+OK", "not:banner_contains:-ERR", note])
    assert made.reads
    outcome = hold(made, b"+OK ready\r\n")
    assert outcome.ok
    assert called == [b""]
    assert not hold(made, b"-ERR +OK\r\n").ok
    assert len(called) == 1


def test_a_callable_that_says_nothing_leaves_what_was_seen(hold):
    assert hold(conversation(lambda _: True)).detail == "connected"
    assert hold(conversation(lambda _: (True, "mine"))).detail == "mine"
    assert not hold(conversation(lambda _: False)).ok


def test_an_end_without_a_word_is_told(hold):
    with pytest.raises(CheckFailedError, match="closed without a banner"):
        hold(conversation("banner_contains:x"))


def test_silence_tells_what_was_said_so_far(hold):
    with pytest.raises(CheckFailedError, match="the banner so far is 'SSH'"):
        hold(conversation("banner_contains:SSH-"), b"SSH", leaves=False, timeout=0.2)


def test_no_more_than_the_bound_is_read(hold):
    said = b"x" * (MAX_BANNER_BYTES - 3) + b"SSH-"
    outcome = hold(conversation("banner_contains:SSH-"), said)
    assert not outcome.ok
    assert f"{MAX_BANNER_BYTES} bytes" in outcome.detail


def test_secrets_are_the_words_of_what_is_sent():
    assert set(conversation(send=b"AUTH hunter2\r\n").secrets) == {"AUTH", "hunter2"}
    with pytest.raises(InvalidValueError):
        conversation(send="text")
