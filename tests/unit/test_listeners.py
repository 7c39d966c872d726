from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from pingstate import Monitor, probe, serve
from pingstate.web.listeners import create_listeners
from tests.support.client import get
from tests.support.namespace import call_in_namespace

BOTH = "::1 both.test\n127.0.0.1 both.test\n127.0.0.2 both.test\n"
HOSTS = {
    "/etc/hosts": BOTH + "192.0.2.7 elsewhere.test\n192.0.2.7 partly.test\n127.0.0.3 partly.test\n"
    "127.0.0.1 twice.test\n127.0.0.1 twice.test\n",
    "/etc/nsswitch.conf": "hosts: files\n",
}


def answering(host, *clients):
    """Where a listener on `host` answers: of these addresses, and what it says of itself."""
    listeners = create_listeners(host, 0)
    port = listeners[0].getsockname()[1]
    reached = []
    for client in clients:
        with contextlib.suppress(OSError):
            socket.create_connection((client, port), 5).close()
            reached.append(client)
    bound = [listener.getsockname()[0] for listener in listeners]
    assert {listener.getsockname()[1] for listener in listeners} == {port}
    for listener in listeners:
        listener.close()
    return [bound, reached]


def disable_ipv6():
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


def every_host():
    loopbacks = ("127.0.0.1", "127.0.0.2", "::1")
    hosts = (
        "::",
        "0.0.0.0",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "both.test",
        "partly.test",
        "twice.test",
    )
    return {host: answering(host, *loopbacks) for host in hosts}


def every_host_without_ipv6():
    disable_ipv6()
    hosts = ("::", "0.0.0.0", "both.test")
    return {host: answering(host, "127.0.0.1", "::1") for host in hosts}


def wildcard_where_sockets_of_ipv6_are_refused():
    # As with `ipv6.disable=1` on the kernel's command line, or a sandbox without IPv6.
    disable_ipv6()
    create = socket.socket

    class WithoutIPv6(create):
        def __init__(self, family=socket.AF_INET, *arguments, **options):
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *arguments, **options)

    socket.socket = WithoutIPv6
    return answering("::", "127.0.0.1")


def served_by_the_library():
    """What `serve()` answers, and where its `host` and `port` say that it is."""
    told = {}
    for host in ("::", "::1", "both.test"):
        monitor = Monitor(probe("tcp", "127.0.0.1", 9))
        server = serve(monitor, host=host, port=0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        answers = {}
        for client in ("127.0.0.1", "[::1]"):
            with contextlib.suppress(OSError):
                answers[client] = get(f"http://{client}:{server.port}/state")[1]
        server.shutdown()
        thread.join()
        server.server_close()
        told[host] = answers
    return told


def absent_addresses():
    told = {}
    for host in ("192.0.2.7", "elsewhere.test", "nowhere.test"):
        try:
            create_listeners(host, 0)
        except OSError as exc:
            told[host] = exc.strerror
    return told


def test_each_address_that_the_machine_has_is_bound():
    assert call_in_namespace(every_host, HOSTS) == {
        "::": [["::"], ["127.0.0.1", "127.0.0.2", "::1"]],
        "0.0.0.0": [["0.0.0.0"], ["127.0.0.1", "127.0.0.2"]],
        "127.0.0.1": [["127.0.0.1"], ["127.0.0.1"]],
        "::1": [["::1"], ["::1"]],
        "::ffff:127.0.0.1": [["::ffff:127.0.0.1"], ["127.0.0.1"]],
        "both.test": [["127.0.0.1", "127.0.0.2", "::1"], ["127.0.0.1", "127.0.0.2", "::1"]],
        "partly.test": [["127.0.0.3"], []],
        "twice.test": [["127.0.0.1"], ["127.0.0.1"]],
    }


def test_wildcard_is_ipv4_alone_where_there_is_no_ipv6():
    found = call_in_namespace(every_host_without_ipv6, HOSTS)
    assert found["::"][1] == ["127.0.0.1"]
    assert found["0.0.0.0"] == [["0.0.0.0"], ["127.0.0.1"]]
    assert found["both.test"] == [["127.0.0.1", "127.0.0.2"], ["127.0.0.1"]]
    refused = call_in_namespace(wildcard_where_sockets_of_ipv6_are_refused)
    assert refused == [["0.0.0.0"], ["127.0.0.1"]]


def test_library_listens_the_same_way_on_one_socket():
    assert call_in_namespace(served_by_the_library, HOSTS) == {
        "::": {"127.0.0.1": "unknown", "[::1]": "unknown"},
        "::1": {"[::1]": "unknown"},
        "both.test": {"127.0.0.1": "unknown"},
    }


def test_address_that_the_machine_lacks_is_an_error():
    told = call_in_namespace(absent_addresses, HOSTS)
    assert told["192.0.2.7"] == told["elsewhere.test"] == "Cannot assign requested address"
    assert told["nowhere.test"]


@pytest.mark.parametrize("taken", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_port_that_is_taken_is_an_error(taken, host):
    with socket.create_server((taken, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            create_listeners(host, port)


def test_port_is_free_again_at_once():
    (first,) = create_listeners("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        served, _ = first.accept()
        first.close()
        served.close()
        (second,) = create_listeners("127.0.0.1", port)
        second.close()
