from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from pingstate.net.deadline import Deadline
from pingstate.net.resolver import resolve
from tests.support.namespace import FILES_ONLY, call_in_namespace
from tests.support.waiting import TIMEOUT

HOSTS = "127.0.0.1 four.test both.test\nfd00::6 six.test both.test\n"


@pytest.mark.parametrize(
    ("host", "family", "sockaddr"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 7)),
        ("::1", socket.AF_INET6, ("::1", 7, 0, 0)),
        ("::1%1", socket.AF_INET6, ("::1", 7, 0, 1)),
    ],
)
@pytest.mark.parametrize("choose", [False, True])
def test_an_ip_address_needs_no_lookup_and_no_thread(host, family, sockaddr, choose):
    threads = threading.active_count()
    version = (4 if family == socket.AF_INET else 6) if choose else None
    deadline = Deadline(5.0)
    ((found, where),) = resolve(host, 7, deadline, version)
    assert found == family
    assert (where[0].partition("%")[0], *where[1:]) == sockaddr
    assert threading.active_count() == threads
    assert deadline.phase == "dns"


def test_a_unix_socket_needs_no_lookup():
    assert resolve("unix:/run/50%.sock", 7, Deadline(5.0)) == ((socket.AF_UNIX, "/run/50%.sock"),)


@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 6), ("::1", 4)])
def test_an_ip_address_of_the_other_family_is_an_error(host, version):
    with pytest.raises(OSError, match=f"{host} is not an IPv{version} address"):
        resolve(host, 7, Deadline(5.0), version)


def test_a_deadline_that_is_over_starts_no_lookup():
    threads = threading.active_count()
    with pytest.raises(TimeoutError):
        resolve("localhost", 7, Deadline(1e-9))
    assert threading.active_count() == threads


def _look_up(host, version):
    try:
        return [address[0] for _, address in resolve(host, 7, Deadline(20.0), version)]
    except OSError as exc:
        return str(exc.strerror)


def look_up_by_family():
    names = ("four.test", "six.test", "both.test", "none.test")
    return {f"{name} {version}": _look_up(name, version) for name in names for version in (None, 4, 6)}  # fmt: skip


def test_a_name_is_looked_up_for_the_family_that_is_asked_for():
    seen = call_in_namespace(look_up_by_family, FILES_ONLY | {"/etc/hosts": HOSTS})
    assert seen["four.test None"] == seen["four.test 4"] == ["127.0.0.1"]
    assert seen["six.test None"] == seen["six.test 6"] == ["fd00::6"]
    assert sorted(seen["both.test None"]) == ["127.0.0.1", "fd00::6"]
    assert seen["both.test 4"] == ["127.0.0.1"]
    assert seen["both.test 6"] == ["fd00::6"]
    assert seen["four.test 6"].startswith("four.test has no IPv6 address (")
    assert seen["six.test 4"].startswith("six.test has no IPv4 address (")
    unknown = seen["none.test None"]
    assert unknown.startswith("none.test has no address (")
    # Where to look, for who reads it.
    assert unknown.endswith("): check the name and the network")


def look_up_in_a_forked_process():
    """The exit code of a process that was forked while its parent's lookup was under way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        silent.settimeout(TIMEOUT)
        threading.Thread(target=_look_up, args=("late.test", None), daemon=True).start()
        silent.recv(512)  # the name server was asked
        pid = os.fork()
        if pid == 0:
            Path("/etc/hosts").write_text("127.0.0.1 late.test\n")
            found = resolve("late.test", 7, Deadline(20.0))
            os._exit(0 if found[0][1][0] == "127.0.0.1" else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_process_does_not_wait_for_its_parents_lookup():
    files = {
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n",
    }
    assert call_in_namespace(look_up_in_a_forked_process, files) == 0


def test_a_name_server_that_does_not_answer_is_told_apart_from_a_name_that_is_unknown():
    nobody = {
        "/etc/nsswitch.conf": "hosts: dns\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    }
    said = call_in_namespace(look_up_without_a_name_server, nobody)
    assert said.startswith("db.test can't be looked up (")
    assert said.endswith("): check the network's name server")


def look_up_without_a_name_server():
    return _look_up("db.test", None)


def look_up_in_silence():
    """What comes of lookups that the resolver never answers, and the threads they leave."""

    def error(host, owner):
        try:
            resolve(host, 7, Deadline(0.3, owner=owner))
        except OSError as exc:
            return type(exc).__name__, exc.errno, threading.active_count() - before
        return "answered", None, 0

    # The threads are daemons: this process ends although they hang.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        before = threading.active_count()
        return [error("a.test", 1), error("a.test", 1), error("b.test", 1), error("b.test", 2)]


def test_a_lookup_that_hangs_is_left_behind_once_for_each_owner():
    seen = call_in_namespace(
        look_up_in_silence,
        {
            "/etc/nsswitch.conf": "hosts: dns\n",
            "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:30\n",
        },
    )
    assert seen == [
        ["TimeoutError", None, 1],
        # The same name, and another of the same owner: at once, and without a thread more.
        ["OSError", errno.EBUSY, 1],
        ["OSError", errno.EBUSY, 1],
        ["TimeoutError", None, 2],
    ]


def test_checks_of_one_name_at_once_share_a_lookup():
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(resolve("localhost", 9, Deadline(30.0))))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert all(address[1] == 9 for found in results for _, address in found)
