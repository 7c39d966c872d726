"""The sockets that the API listens on."""

from __future__ import annotations

import errno
import socket

# What a machine says that lacks an address, or all of IPv6.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def create_listeners(host: str, port: int, backlog: int = 128) -> list[socket.socket]:
    """A listening TCP socket for each address of `host` that this machine has, IPv4 first.

    `::` is every address of both families, on IPv4 alone where the machine has no IPv6. Port 0
    takes a free one, the same for all. Blocks while a name is looked up. Raises OSError when an
    address is taken or not allowed, when the machine has none of them, or the name has none.
    """
    listeners: list[socket.socket] = []
    absent: OSError | None = None
    # As bytes: a str makes socket import the codec for international names.
    name = host.encode("ascii")
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may have an address twice.
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    for family, address in sorted(addresses, key=lambda one: one[0] == socket.AF_INET6):
        number = listeners[0].getsockname()[1] if listeners else port
        try:
            listeners.append(_listen(family, (address[0], number, *address[2:]), backlog))
        except OSError as exc:
            if exc.errno not in _ABSENT:
                for listener in listeners:
                    listener.close()
                raise
            absent = exc
    if not listeners and found[0][4][0] == "::":
        return create_listeners("0.0.0.0", port, backlog)  # noqa: S104  # as it is asked for
    if absent is not None and not listeners:
        raise absent
    return listeners


def _listen(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Only the wildcard, and an IPv4 address that is written as IPv6, stand for IPv4 as
            # well, whatever the machine's default is.
            own = not str(address[0]).startswith("::ffff:") and address[0] != "::"
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, own)
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
