"""Name lookups that a check can leave behind: the C library's own can't be interrupted."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from pingstate.net.deadline import Deadline
from pingstate.values import unix_path

Address = tuple[int, Any]
"""A family of addresses, and what a socket of it connects to."""

_STREAM = socket.SOCK_STREAM
_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
_NO_SUCH_ADDRESS = {
    getattr(socket, name, None) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
}


def resolve(
    host: str, port: int, deadline: Deadline, ip_version: int | None = None
) -> Sequence[Address]:
    """The addresses of a name, or TimeoutError when the time is up.

    `ip_version` is 4 or 6, None for both. An IP address or `unix:/path` is answered without a
    lookup. The C library's lookup can't be interrupted, so it runs in a daemon thread, and a thread
    that hangs is not joined by a second for its name. Raises OSError (socket.gaierror among them).
    """
    if deadline.phase != "dns":  # as it is at first
        deadline.start_phase("dns")
    # The number of a zone's interface may change.
    parse = _parse_literal.__wrapped__ if "%" in host else _parse_literal
    if (literal := parse(host, port, ip_version)) is not None:
        return literal
    try:
        found = _lookup((host.encode("ascii"), _FAMILIES[ip_version]), deadline)
    except socket.gaierror as exc:
        said = str(exc.strerror).lower()
        if exc.errno in _NO_SUCH_ADDRESS:
            kind = f"IPv{ip_version} address" if ip_version else "address"
            words = f"{host} has no {kind} ({said}): check the name and the network"
        else:
            words = f"{host} can't be looked up ({said}): check the network's name server"
        raise socket.gaierror(exc.errno, words) from None
    return _read_addresses(found, port)


@lru_cache(maxsize=16)
def _parse_literal(host: str, port: int, ip_version: int | None) -> Sequence[Address] | None:
    """The one address that needs no lookup, None for a name. Raises OSError as `resolve()`."""
    if (path := unix_path(host)) is not None:
        return ((socket.AF_UNIX, path),)
    # As bytes: a str makes socket import the codec for international names.
    name = host.encode("ascii")
    try:
        found = socket.getaddrinfo(name, None, type=_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return None
    addresses = _read_addresses(found, port)
    if ip_version is not None and addresses[0][0] != _FAMILIES[ip_version]:
        raise OSError(errno.EAFNOSUPPORT, f"{host} is not an IPv{ip_version} address")
    return addresses


def _read_addresses(found: Iterable[Any], port: int) -> Sequence[Address]:
    return tuple(
        (int(family), (address[0], port, *address[2:])) for family, _, _, _, address in found
    )


_Key = tuple[bytes, socket.AddressFamily]


class _PendingLookup:
    """A lookup under way: who asked first, how many checks wait for it, its answer."""

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.done = threading.Event()
        self.waiting = 0
        self.answer: Any = None
        self.error: OSError | None = None


_lookups: dict[_Key, _PendingLookup] = {}
_lookups_lock = threading.Lock()


def _forget_lookups() -> None:
    """Begin anew in a forked process, where its parent's threads do not end and unlock anything."""
    global _lookups, _lookups_lock
    _lookups, _lookups_lock = {}, threading.Lock()


os.register_at_fork(after_in_child=_forget_lookups)


def _lookup(key: _Key, deadline: Deadline) -> list[Any]:
    def run() -> None:
        try:
            pending.answer = socket.getaddrinfo(key[0], None, key[1], _STREAM)
        except OSError as exc:
            pending.error = exc
        except (UnicodeError, ValueError) as exc:
            pending.error = OSError(errno.EINVAL, str(exc))
        finally:
            with _lookups_lock:
                del _lookups[key]
            pending.done.set()

    timeout = deadline.remaining()
    with _lookups_lock:
        pending = _lookups.get(key) or _PendingLookup(deadline.owner)
        if key not in _lookups:
            # A target can redirect to many names, and each that hangs would keep a thread.
            if any(
                other.owner is deadline.owner and not other.waiting for other in _lookups.values()
            ):
                raise OSError(errno.EBUSY, "a previous DNS lookup is still hanging")
            # A late answer is never used: who comes after the last waiter left asks anew.
            try:
                threading.Thread(target=run, name="pingstate-resolver", daemon=True).start()
            except RuntimeError as exc:
                raise OSError(errno.EAGAIN, "no thread for the lookup") from exc
            _lookups[key] = pending
        elif not pending.waiting:
            raise OSError(errno.EBUSY, "a previous DNS lookup of this name is still hanging")
        pending.waiting += 1
    try:
        if not pending.done.wait(timeout):
            raise TimeoutError("timed out")
    finally:
        with _lookups_lock:
            pending.waiting -= 1
    if pending.error is not None:
        raise pending.error
    result: list[Any] = pending.answer
    return result
