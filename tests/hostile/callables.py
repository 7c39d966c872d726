"""Checks and probes of a user's own that raise, return junk or read for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pingstate import Monitor, ProbeResult
from pingstate.values import PROTOCOLS
from tests.hostile.catalogue import (
    EITHER,
    UP_SOON,
    Expected,
    MakeProbe,
    Target,
    down,
    register,
    served,
    streams,
)
from tests.hostile.peers import SILENT, Peer, well_behaved


class UnspeakableError(Exception):
    """An error that can't be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class UnspeakableToTheEndError(Exception):
    """An error that can't be printed either, and ends the process that tries."""

    def __init__(self, end: type[BaseException]) -> None:
        super().__init__()
        self.end = end

    def __str__(self) -> str:
        raise self.end("no words")

    __repr__ = __str__


class Undecided:
    """A verdict that is neither true nor false."""

    def __bool__(self) -> bool:
        raise RuntimeError("ask somebody else")


def raises(_: Any) -> bool:
    raise LookupError("no such\nthing \x1b[31m" + "x" * 1000)


def raises_unspeakable(_: Any) -> bool:
    raise UnspeakableError


def raises_what_exits_when_printed(_: Any) -> bool:
    raise UnspeakableToTheEndError(SystemExit)


def raises_what_interrupts_when_printed(_: Any) -> bool:
    raise UnspeakableToTheEndError(KeyboardInterrupt)


def raises_what_closes_when_printed(_: Any) -> bool:
    raise UnspeakableToTheEndError(GeneratorExit)


def raises_cancelled_error(_: Any) -> bool:
    raise asyncio.CancelledError


def raises_system_exit(_: Any) -> bool:
    raise SystemExit(3)


def raises_memory_error(_: Any) -> bool:
    raise MemoryError


def raises_recursion_error(_: Any) -> bool:
    def deeper() -> bool:
        return deeper()

    return deeper()


def raises_generator_exit(_: Any) -> bool:
    raise GeneratorExit


def raises_its_own_timeout(_: Any) -> bool:
    raise TimeoutError("the user's own")


def returns_none(_: Any) -> None:
    return None


def returns_undecided(_: Any) -> Any:
    return Undecided()


def returns_empty_tuple(_: Any) -> Any:
    return ()


def returns_triple(_: Any) -> Any:
    return (True, "fine", "and more")


def returns_numeric_detail(_: Any) -> Any:
    return (True, 42)


def returns_unspeakable_detail(_: Any) -> Any:
    return (True, UnspeakableError())


def returns_bytes_detail(_: Any) -> Any:
    return (False, b"\x1b[31m")


def returns_long_detail(_: Any) -> Any:
    return (False, "two\nlines \x1b[31m " + "x" * 1_000_000)


def returns_surrogates(_: Any) -> Any:
    return (False, "\ud800 alone")


def returns_empty_detail(_: Any) -> Any:
    return (False, "")


def returns_generator(_: Any) -> Any:
    return (truth for truth in (True,))


# What is true or false in the ordinary way may be taken as such; what is neither is a fail.
FAILS = down("check", soon=True)
UNSPEAKABLE = down("check", soon=True, says="UnspeakableToTheEndError")
for check, expected in {
    raises: down("check", soon=True, says="LookupError"),
    raises_unspeakable: down("check", soon=True, says="UnspeakableError"),
    raises_what_exits_when_printed: UNSPEAKABLE,
    raises_what_interrupts_when_printed: UNSPEAKABLE,
    raises_what_closes_when_printed: UNSPEAKABLE,
    raises_cancelled_error: down("check", soon=True, says="CancelledError"),
    raises_system_exit: down("check", soon=True, says="SystemExit"),
    raises_memory_error: down("check", soon=True, says="MemoryError"),
    raises_recursion_error: down("check", soon=True, says="RecursionError"),
    raises_generator_exit: down("check", soon=True, says="GeneratorExit"),
    raises_its_own_timeout: down("check", "timeout", soon=True),
    returns_none: FAILS,
    returns_undecided: FAILS,
    returns_empty_tuple: FAILS,
    returns_triple: FAILS,
    returns_numeric_detail: EITHER,
    returns_unspeakable_detail: EITHER,
    returns_bytes_detail: down("check", soon=True, alone=r"b'\x1b[31m'"),
    returns_long_detail: down("check", soon=True, alone="two\N{REPLACEMENT CHARACTER}lines "),
    returns_surrogates: down("check", soon=True, alone="\N{REPLACEMENT CHARACTER} alone"),
    returns_empty_detail: FAILS,
    returns_generator: EITHER,
}.items():
    everywhere = dict.fromkeys(PROTOCOLS, expected)
    called = "check-" + check.__name__.replace("_", "-")
    what = f"a good server, and a check that {check.__name__.replace('_', ' ')}"
    adopt: Callable[..., Any] = served(
        "Checks of users", everywhere, name=called, what=what, check=check
    )

    @adopt
    def innocent(peer: Peer) -> None:
        well_behaved(peer) if peer.protocol not in SILENT else peer.hold()


def reads_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recv(1):
        pass
    return True


def reads_a_line_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    with sock.makefile("rb") as stream:
        return bool(stream.readline())


def reads_datagrams_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recvfrom(1)[0]:
        pass
    return True


def reads_datagrams_into_a_buffer_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recvfrom_into(bytearray(1))[0]:
        pass
    return True


def reads_messages_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recvmsg(1)[0]:
        pass
    return True


def reads_messages_into_a_buffer_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recvmsg_into([bytearray(1)])[0]:
        pass
    return True


def reads_into_a_buffer_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while sock.recv_into(bytearray(1)):
        pass
    return True


def reads_a_file_to_its_end(sock: socket.socket) -> bool:
    sock.settimeout(None)
    with sock.makefile("rb") as stream:
        return bool(stream.read())


def shakes_hands(sock: socket.socket) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with context.wrap_socket(sock, server_hostname="127.0.0.1"):
        return True


def reads_with_its_own_timeout(sock: socket.socket) -> bool:
    sock.settimeout(60)
    return bool(sock.recv(1))


def reads_without_blocking(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    return False


def sends_for_ever(sock: socket.socket) -> bool:
    sock.settimeout(None)
    while True:
        sock.sendall(bytes(65536))


def closes_the_socket(sock: socket.socket) -> bool:
    sock.close()
    return True


def add(
    check: Callable[[socket.socket], bool],
    expected: Expected,
    mode: Callable[[Peer], None],
    *,
    inside: bool = True,
) -> None:
    what = f"a check that {check.__name__.replace('_', ' ')}, and a server that {mode.__doc__}"
    name = "check-" + check.__name__.replace("_", "-")
    verdicts = streams(expected) if inside else {"tcp": expected}
    served("Checks of users", verdicts, name=name, what=what, check=check)(mode)


def silent(peer: Peer) -> None:
    """says nothing"""
    peer.hold()


def dripping(peer: Peer) -> None:
    """drips"""
    peer.drip_for_ever(b"x")


def deaf(peer: Peer) -> None:
    """never reads"""
    peer.stop.wait()


LATE = down("timeout", "check")
add(reads_for_ever, LATE, dripping)
add(reads_a_line_for_ever, LATE, dripping)
add(reads_a_file_to_its_end, LATE, dripping)
add(reads_into_a_buffer_for_ever, LATE, dripping)
# TLS has no such calls.
add(reads_datagrams_for_ever, LATE, dripping, inside=False)
add(reads_datagrams_into_a_buffer_for_ever, LATE, dripping, inside=False)
add(reads_messages_for_ever, LATE, dripping, inside=False)
add(reads_messages_into_a_buffer_for_ever, LATE, dripping, inside=False)
add(shakes_hands, LATE, silent, inside=False)
add(reads_with_its_own_timeout, LATE, silent)
add(sends_for_ever, LATE, deaf)
add(closes_the_socket, UP_SOON, silent)
add(reads_without_blocking, EITHER, silent)


# --- probes of a user's own ----------


class Unspeakable:
    """A probe that raises what can't be printed; `thrice` says that the Monitor went on."""

    name = "unspeakable"

    def __init__(self, end: type[BaseException], timeout: float) -> None:
        self.timeout = timeout
        self.thrice = threading.Event()
        self._end = end
        self._checks = 0

    def check(self) -> ProbeResult:
        self._checks += 1
        if self._checks == 3:
            self.thrice.set()
        raise UnspeakableToTheEndError(self._end)


class Monitored:
    """A probe under a Monitor: its result is what the Monitor made of it, again and again."""

    def __init__(
        self, end: type[BaseException], _protocol: str, _address: str, _port: int, *, timeout: float
    ) -> None:
        self._probe = Unspeakable(end, timeout)
        self._monitor = Monitor(self._probe, interval=0.05)
        self.name = self._monitor.name

    def check(self) -> ProbeResult:
        with self._monitor:
            if not self._probe.thrice.wait(self._probe.timeout):
                raise TimeoutError("the Monitor's thread died")
            result = self._monitor.stats().last
        if result is None:
            raise LookupError("the Monitor has no result")
        return result


@contextlib.contextmanager
def nowhere(protocol: str, timeout: float) -> Iterator[Target]:
    yield Target("127.0.0.1", 1)


for end in (SystemExit, KeyboardInterrupt, GeneratorExit):
    make: MakeProbe = partial(Monitored, end)
    register(
        nowhere,
        f"probe-raises-what-raises-{end.__name__}-when-printed",
        "Probes of users",
        f"a probe of the user's own that raises an error whose text raises {end.__name__}",
        {"tcp": UNSPEAKABLE},
        {},
        make=make,
    )
