"""A target in a process of its own: `targets.py PROTOCOL [SECONDS]` prints the port it listens on.

PROTOCOL is tcp, tls, http or https; an HTTP answer comes after so many seconds. TLS has the key and
certificate of /tls. Stops at the end of its standard input.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import sys
import threading
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"


def answer(sock: socket.socket, delay: float) -> None:
    try:
        with sock:
            asked = b""
            while b"\r\n\r\n" not in asked:
                data = sock.recv(65536)
                if not data:
                    return
                asked += data
            if delay:
                time.sleep(delay)
            sock.sendall(ANSWER)
    except OSError:
        pass


def main() -> None:
    protocol, delay = sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 0.0
    server = socket.create_server(("127.0.0.1", 0), backlog=1024)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if protocol in ("tls", "https"):
        context.load_cert_chain("/tls/server.pem")
    print(server.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                if not os.read(0, 4096):
                    return
                continue
            sock, _address = server.accept()
            if protocol == "tcp":
                sock.close()
                continue
            if protocol in ("tls", "https"):
                sock.settimeout(5)
                try:
                    sock = context.wrap_socket(sock, server_side=True)
                except OSError:
                    continue
            if delay:
                threading.Thread(target=answer, args=(sock, delay), daemon=True).start()
            else:
                answer(sock, 0.0)


if __name__ == "__main__":
    main()
