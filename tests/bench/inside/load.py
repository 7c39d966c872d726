"""Clients that ask as fast as they are answered: `load.py PORT PATH CLIENTS SECONDS`.

Prints the answers per second and the 99th percentile of their times in milliseconds.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time


class Client:
    """A connection that is kept, or made again where the server closes it."""

    def __init__(self, port: int, path: str, selector: selectors.BaseSelector) -> None:
        self.address = ("127.0.0.1", port)
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.selector = selector
        self.times: list[float] = []
        self.connect()

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.sock, selectors.EVENT_READ, self)

    def close(self) -> None:
        self.selector.unregister(self.sock)
        self.sock.close()

    def ask(self) -> None:
        self.received = b""
        self.began = time.perf_counter()
        self.sock.sendall(self.request)

    def read(self) -> None:
        """Take what has come, and ask again once the answer is whole."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        whole = end and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0])
        if whole:
            self.times.append(time.perf_counter() - self.began)
        if not data or (
            whole and (head[:8] == b"HTTP/1.0" or b"connection: close" in head.lower())
        ):
            self.close()
            # An HTTP/1.0 server's connections are part of what it costs to ask it.
            self.began = time.perf_counter()
            self.connect()
            self.ask()
        elif whole:
            self.ask()


def main() -> None:
    port, path, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    selector = selectors.DefaultSelector()
    clients = [Client(int(port), path, selector) for _ in range(count)]
    for client in clients:
        client.ask()
    began = time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        for key, _ in selector.select(1.0):
            key.data.read()
    took = time.perf_counter() - began
    times = sorted(each for client in clients for each in client.times)
    print(len(times) / took, times[len(times) * 99 // 100] * 1000)


if __name__ == "__main__":
    main()
