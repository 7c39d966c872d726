"""The CPU time of one check, in microseconds: `checks.py PROTOCOL PORT COUNT probe|raw`.

Run by the interpreter of the pingstate that is meant, the original or this one; with `raw` by
either, for the same on the wire by sockets alone.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Callable

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def raw(protocol: str, port: int) -> Callable[[], bool]:
    context = ssl.create_default_context()

    def check() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            if protocol == "tcp":
                return True
            sock = plain
            if protocol in ("tls", "https"):
                sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
            if protocol == "tls":
                return True
            sock.sendall(REQUEST)
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
            return data.startswith(b"HTTP/1.1 200")

    return check


def main() -> None:
    protocol, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4] == "raw":
        check = raw(protocol, port)
    else:
        from pingstate import probe

        one = probe(protocol, "127.0.0.1", port, timeout=5)
        check = lambda: one.check().ok  # noqa: E731  # as the other
    for _ in range(20):
        assert check()
    began = time.process_time()
    for _ in range(count):
        if not check():
            sys.exit("a check failed")
    print((time.process_time() - began) / count * 1e6)


if __name__ == "__main__":
    main()
