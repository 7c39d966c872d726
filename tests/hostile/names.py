"""Names whose resolver hangs, lies or knows too much: real lookups, with a resolver of ours.

`measure_in_namespace` runs `main` in a network namespace, where these modes are measured.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from tests.hostile.catalogue import CASES, UP, UP_SOON, Expected, Target, down, register
from tests.hostile.connects import full_backlog, speaks_in_any_protocol
from tests.hostile.peers import Peer, ca_file, serving
from tests.support.namespace import raise_loopback, replace, unshare

EVERYWHERE = ("tcp", "http", "https")
DNS = down("dns", soon=True)
LATE = down("timeout", says="dns")
A, AAAA = 1, 28

Reply = Callable[[bytes, bytes, int], "bytes | None"]


def reply(query: bytes, question: bytes, *records: bytes, flags: int = 0x8180) -> bytes:
    return (
        query[:2]
        + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        + question
        + b"".join(records)
    )


def record(kind: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def addresses(*known: str) -> Reply:
    """Answers with these addresses, those of the kind that is asked for."""

    def answer(query: bytes, question: bytes, kind: int) -> bytes:
        family, wanted = (socket.AF_INET6, ":") if kind == AAAA else (socket.AF_INET, ".")
        return reply(
            query,
            question,
            *(record(kind, socket.inet_pton(family, a)) for a in known if wanted in a),
        )

    return answer


def refusal(code: int) -> Reply:
    return lambda query, question, kind: reply(query, question, flags=0x8180 | code)


def silence(query: bytes, question: bytes, kind: int) -> None:
    return None


def half_silence(query: bytes, question: bytes, kind: int) -> bytes | None:
    return None if kind == AAAA else addresses("127.0.0.1")(query, question, kind)


def truncated(query: bytes, question: bytes, kind: int) -> bytes:
    return reply(query, question, flags=0x8380)


def alias_of_itself(query: bytes, question: bytes, kind: int) -> bytes:
    return reply(query, question, record(5, b"\xc0\x0c"))


def too_short(query: bytes, question: bytes, kind: int) -> bytes:
    return query[:2] + b"\x81\x80\0\1"


def wild(query: bytes, question: bytes, kind: int) -> bytes:
    """A record whose length goes beyond the packet's end."""
    return reply(query, question, b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, 60000) + b"\x7f")


REPLIES: Mapping[str, Reply] = {
    "silent.test": silence,
    "half-silent.test": half_silence,
    "unknown.test": refusal(3),
    "broken.test": refusal(2),
    "refused.test": refusal(5),
    "truncated.test": truncated,
    "alias.test": alias_of_itself,
    "short.test": too_short,
    "wild.test": wild,
    "empty.test": addresses(),
    "one.test": addresses("127.0.0.1"),
    "xn--bcher-kva.test": addresses("127.0.0.1"),
    "several.test": addresses("127.0.0.2", "127.0.0.3"),
    "refuses-first.test": addresses("127.0.0.2", "127.0.0.3", "127.0.0.4"),
    "ipv6-first.test": addresses("::1", "127.0.0.3"),
    "all-black.test": addresses("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"),
    "no-route.test": addresses("192.0.2.1", "127.0.0.3"),
    "sixty.test": addresses(*(f"127.0.1.{n}" for n in range(1, 61))),
}


def resolve_for_ever(server: socket.socket) -> None:
    """Answer each query by the table, on 127.0.0.1:53."""
    while True:
        query, client = server.recvfrom(4096)
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
        kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
        name = ".".join(labels).lower()
        name = "silent.test" if name.endswith(".silent.test") else name
        packet = REPLIES.get(name, refusal(3))(query, query[12 : at + 5], kind)
        if packet is not None:
            server.sendto(packet, client)


# --- the modes ----------


def name(
    host: str,
    what: str,
    expected: Expected,
    *,
    good: str = "127.0.0.1",
    black: Sequence[str] = (),
    called: str = "",
    protocols: Sequence[str] = EVERYWHERE,
    repeat: int = 1,
    workers: int = 1,
) -> None:
    """A target by name: a good server on `good`, black holes on the addresses in `black`."""

    @contextlib.contextmanager
    def opener(protocol: str, timeout: float) -> Iterator[Target]:
        with contextlib.ExitStack() as stack:
            options = (
                {"ca_file": ca_file(), "server_name": "127.0.0.1"} if protocol == "https" else {}
            )
            tls = protocol == "https"
            port = stack.enter_context(
                serving(speaks_in_any_protocol, protocol=protocol, tls=tls, host=good)
            )
            for address in black:
                stack.enter_context(full_backlog(address, port))
            if black and (first := socket.getaddrinfo(host, port)[0][4][0]) not in black:
                raise AssertionError(f"{host} resolves to {first} first, which is no black hole")
            yield Target(host, port, options)

    register(
        opener,
        called or "name-" + host.removesuffix(".test"),
        "Names",
        what,
        dict.fromkeys(protocols, expected),
        {},
        repeat=repeat,
        workers=workers,
        namespace=True,
    )


name("silent.test", "the resolver never answers", LATE)
name("half-silent.test", "the resolver answers for IPv4 and never for IPv6", LATE)
name("truncated.test", "the resolver wants TCP, accepts it and never answers", LATE)
name("short.test", "the resolver answers half a packet", down("dns", "timeout"))
name("wild.test", "the resolver's answer points beyond its end", down("dns", "timeout"))
name("unknown.test", "the resolver knows no such name", DNS)
name("broken.test", "the resolver answers SERVFAIL", DNS)
name("refused.test", "the resolver answers REFUSED", DNS)
name("alias.test", "the name is an alias of itself", down("dns", "timeout"))
name("empty.test", "the name has no address", DNS)
name("one.test", "a good name", UP_SOON)
name("bücher.test", "an international name", UP_SOON, called="name-international")
name(
    "several.test",
    "two addresses, the first of which is a black hole",
    UP,
    good="127.0.0.3",
    black=["127.0.0.2"],
)
name("refuses-first.test", "three addresses, of which the first refuses", UP_SOON, good="127.0.0.3")
name(
    "ipv6-first.test",
    "an IPv6 address that refuses, and a good IPv4 one",
    UP_SOON,
    good="127.0.0.3",
)
name("no-route.test", "an address without a route, and a good one", UP_SOON, good="127.0.0.3")
name("sixty.test", "sixty addresses, all of which refuse", down("connect", soon=True))
name(
    "all-black.test",
    "four addresses, all of which are black holes",
    down("timeout", says="connect"),
    good="127.0.0.9",
    black=["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"],
)
name(
    "silent.test",
    "a resolver that never answers",
    down("timeout", "dns"),
    called="1000-hung-lookups",
    protocols=["tcp"],
    repeat=1000,
    workers=50,
)


def to_silent_names(peer: Peer) -> None:
    """each time a redirect to another name for which the resolver never answers"""
    peer.request()
    location = b"http://n%d.silent.test/" % peer.nth
    peer.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")


@contextlib.contextmanager
def redirecting(protocol: str, timeout: float) -> Iterator[Target]:
    with serving(to_silent_names) as port:
        yield Target("127.0.0.1", port)


register(
    redirecting,
    "hung-redirects",
    "Names",
    (to_silent_names.__doc__ or ""),
    {"http": down("timeout", "dns", "connect")},
    {},
    repeat=30,
    namespace=True,
)


SELF_PORTS = count(45678)  # a new one each time, for a connection to itself ends in TIME_WAIT


@contextlib.contextmanager
def self_connect(protocol: str, timeout: float) -> Iterator[Target]:
    """nobody listens, and the only ephemeral port is the target's: the connect reaches itself"""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    before = ephemeral.read_text()
    port = next(SELF_PORTS)
    ephemeral.write_text(f"{port} {port}")
    try:
        with socket.socket() as witness:
            witness.connect(("127.0.0.1", port))  # raises if it can't reach itself here
            witness.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield Target("127.0.0.1", port)
    finally:
        ephemeral.write_text(before)


register(
    self_connect,
    "self-connect",
    "Connecting",
    (self_connect.__doc__ or "").strip(),
    dict.fromkeys(EVERYWHERE, down("connect", soon=True)),
    {},
    namespace=True,
)


# --- the namespace ----------


def main(hanging: float, answering: float) -> None:
    """Measure these modes and print the results as JSON. Only in a namespace of its own."""
    from tests.hostile.measure import Timeouts, good_servers, on_time

    timeouts = Timeouts(hanging, answering)
    raise_loopback()
    # The C library is to be patient: the probe must not be.
    replace("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:30\n")
    replace("/etc/nsswitch.conf", "hosts: files dns\n")
    cases = [case for case in CASES if case.namespace]
    # One that leaves a single ephemeral port, and one that takes all processors, go alone.
    together = [case for case in cases if case.name != "self-connect" and case.repeat == 1]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=resolve_for_ever, args=(server,), daemon=True).start()
        # DNS over TCP is accepted by the kernel, and by nobody else.
        stack.enter_context(socket.create_server(("127.0.0.1", 53)))
        warm = good_servers(stack)
        with ThreadPoolExecutor(4) as pool:
            results = pool.map(lambda case: on_time(case, timeouts, warm), together)
            measured = dict(zip(together, results, strict=True))
        measured |= {case: on_time(case, timeouts, warm) for case in cases if case not in measured}
    json.dump({case.id: asdict(result) for case, result in measured.items()}, sys.stdout)


def measure_in_namespace(hanging: float, answering: float) -> dict[str, dict[str, Any]]:
    """The measurements of every mode here, by the case's id; the arguments are `Timeouts`'.

    Raises OSError or CalledProcessError where there is no making such a namespace.
    """
    program = f"from tests.hostile.names import main; main({hanging}, {answering})"
    results: dict[str, dict[str, Any]] = unshare(program)
    return results
