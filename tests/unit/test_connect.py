from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pingstate.net.connect import connect
from pingstate.net.deadline import Deadline
from tests.hostile.connects import full_backlog
from tests.support.client import free_port
from tests.support.namespace import FILES_ONLY, call_in_namespace
from tests.support.servers import talker
from tests.support.waiting import TIMEOUT


def test_connect_gives_a_socket_that_keeps_the_deadline():
    deadline = Deadline(30.0)
    with talker(lambda _: None) as (host, port), connect(host, port, deadline) as sock:
        assert sock.deadline is deadline
        assert deadline.phase == "connect"
        assert sock.ip_protocol == 4
        assert sock.recv(1) == b""


def test_nobody_listens_is_refused():
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", free_port(), Deadline(30.0))


def test_a_black_hole_takes_the_deadline_and_no_more():
    started = time.monotonic()
    with full_backlog() as port, pytest.raises(TimeoutError):
        connect("127.0.0.1", port, Deadline(0.3))
    assert time.monotonic() - started < 30


def test_a_unix_socket_has_no_ip_protocol(tmp_path):
    path = str(tmp_path / "x.sock")
    with (
        talker(lambda _: None, socket.AF_UNIX, path),
        connect(f"unix:{path}", 1, Deadline(30.0)) as sock,
    ):
        assert sock.ip_protocol is None


def test_unix_socket_with_a_full_backlog_is_waited_for(tmp_path):
    path = str(tmp_path / "target.sock")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as first,
    ):
        listener.bind(path)
        listener.listen(0)
        first.connect(path)  # all that there is room for
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(f"unix:{path}", 1, Deadline(0.2))
        assert 0.2 <= time.monotonic() - started < TIMEOUT

        def make_room():
            listener.accept()[0].close()

        room = threading.Timer(0.2, make_room)
        room.start()
        connect(f"unix:{path}", 1, Deadline(TIMEOUT)).close()
        room.join()


def failures_of_several_addresses():
    """What is reported where one address says something and others are out of reach."""
    seen = {}

    def report(host, timeout=20.0):
        deadline = Deadline(timeout)
        try:
            connect(host, port, deadline).close()
        except OSError as exc:
            seen[host] = type(exc).__name__, exc.strerror, deadline.expired
        else:
            seen[host] = "connected", "", False

    with full_backlog("127.0.0.3") as port:
        for name in ("refuses-then-none.test", "none-then-refuses.test", "none.test"):
            report(name)
        report("silent-then-refuses.test", 1.0)
        report("silent-then-none.test", 1.0)
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        report("no-ipv6.test")
        report("no-ipv6-then-refuses.test")
        with suppress(OSError), socket.create_server(("127.0.0.2", port)):
            report("none-then-good.test")
    return seen


# No route leads out of the namespace: nothing is sent to the second network.
ADDRESSES = """
127.0.0.2 refuses-then-none.test
10.9.9.9 refuses-then-none.test
10.9.9.9 none-then-refuses.test
127.0.0.2 none-then-refuses.test
10.9.9.9 none.test
127.0.0.3 silent-then-refuses.test
127.0.0.2 silent-then-refuses.test
127.0.0.3 silent-then-none.test
10.9.9.9 silent-then-none.test
::1 no-ipv6.test
::1 no-ipv6-then-refuses.test
127.0.0.2 no-ipv6-then-refuses.test
10.9.9.9 none-then-good.test
127.0.0.2 none-then-good.test
"""


def test_of_several_failures_the_one_that_says_most_about_the_target_is_reported():
    files = FILES_ONLY | {"/etc/hosts": ADDRESSES, "/etc/host.conf": "multi on\n"}
    seen = call_in_namespace(failures_of_several_addresses, files)
    refused = ["ConnectionRefusedError", "Connection refused", False]
    assert seen["refuses-then-none.test"] == refused
    assert seen["none-then-refuses.test"] == refused
    assert seen["none.test"] == ["OSError", "Network is unreachable", False]
    assert seen["silent-then-refuses.test"] == [*refused[:2], True]
    assert seen["silent-then-none.test"][0] == "TimeoutError"
    assert seen["no-ipv6.test"][:2] == ["OSError", "Cannot assign requested address"]
    assert seen["no-ipv6-then-refuses.test"] == refused
    assert seen["none-then-good.test"] == ["connected", "", False]


def addresses_that_answer_late():
    """Which of two addresses is connected to, the first of which drops a SYN or two."""
    peers = []
    for host in ("late-then-silent.test", "late-then-refuses.test"):
        with (
            full_backlog("127.0.0.3") as port,
            socket.create_server(("127.0.0.2", port), backlog=0) as late,
            socket.create_connection(late.getsockname()),  # all that there is room for
        ):
            # Linux sends a SYN again after 1 s and after 3 s, when half of the time is over.
            room = threading.Timer(2.5, late.accept)
            room.start()
            with connect(host, port, Deadline(4.5)) as sock:
                peers.append(sock.getpeername()[0])
            room.join()
    return peers


def test_address_that_is_slow_may_answer_while_the_next_one_is_tried():
    hosts = """
127.0.0.2 late-then-silent.test
127.0.0.3 late-then-silent.test
127.0.0.2 late-then-refuses.test
127.0.0.4 late-then-refuses.test
"""
    files = FILES_ONLY | {"/etc/hosts": hosts, "/etc/host.conf": "multi on\n"}
    assert call_in_namespace(addresses_that_answer_late, files) == ["127.0.0.2", "127.0.0.2"]


def seconds_to_the_second_address():
    """How long a connect takes whose first address is silent."""
    with full_backlog("127.0.0.3") as port, socket.create_server(("127.0.0.2", port)):
        started = time.monotonic()
        connect("silent-then-good.test", port, Deadline(TIMEOUT)).close()
        return time.monotonic() - started


def test_address_that_is_silent_does_not_hold_up_the_next_one():
    hosts = "127.0.0.3 silent-then-good.test\n127.0.0.2 silent-then-good.test\n"
    files = FILES_ONLY | {"/etc/hosts": hosts, "/etc/host.conf": "multi on\n"}
    assert 0.2 < call_in_namespace(seconds_to_the_second_address, files) < TIMEOUT / 3


def count_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def descriptors_for_many_addresses():
    """How many descriptors a connect to a name of a hundred silent addresses takes at most."""
    counts = [count_descriptors()]
    over = threading.Event()

    def count():
        while not over.is_set():
            counts.append(count_descriptors())

    with full_backlog("0.0.0.0") as port:  # of the namespace, whose addresses are all loopback's
        before = count_descriptors()
        counter = threading.Thread(target=count)
        counter.start()
        with suppress(TimeoutError):
            connect("many.test", port, Deadline(2.0)).close()
        over.set()
        counter.join()
    return max(counts) - before


def test_name_with_many_addresses_takes_few_descriptors():
    hosts = "".join(f"127.0.0.{number} many.test\n" for number in range(1, 101))
    files = FILES_ONLY | {"/etc/hosts": hosts, "/etc/host.conf": "multi on\n"}
    assert 2 <= call_in_namespace(descriptors_for_many_addresses, files) <= 35


def several_addresses_of_one_that_connects_to_itself():
    """What comes of a name whose addresses have a closed port that the kernel may hand out."""
    port = 40_000
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{port} {port}")
    try:
        connect("two.test", port, Deadline(TIMEOUT)).close()
    except OSError as exc:
        return type(exc).__name__
    return "connected"


def test_of_several_addresses_none_is_a_socket_that_connects_to_itself():
    hosts = "127.0.0.1 two.test\n127.0.0.2 two.test\n"
    files = FILES_ONLY | {"/etc/hosts": hosts, "/etc/host.conf": "multi on\n"}
    seen = call_in_namespace(several_addresses_of_one_that_connects_to_itself, files)
    assert seen == "ConnectionRefusedError"
