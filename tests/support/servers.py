"""Small real servers on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.waiting import TIMEOUT


@contextlib.contextmanager
def talker(talk, family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A server that gives each connection to `talk`."""
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    stop = threading.Event()

    def run():
        while not stop.is_set():
            try:
                sock, _ = server.accept()
            except OSError:
                return
            if stop.is_set():
                sock.close()
                return
            with sock, contextlib.suppress(OSError):
                talk(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        stop.set()
        with socket.socket(family) as last, contextlib.suppress(OSError):
            last.connect(server.getsockname())
        thread.join(TIMEOUT)
        server.close()


@contextlib.contextmanager
def https_server(certificate, ca=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if ca is not None:
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """A handshake that the probe ended is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def read_request(sock):
    """The head of a request, and of its body what its Content-Length says."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def answering(*answers):
    """A server of HTTP that gives one of `answers` to each request, the last one for ever.

    An answer is bytes or a function of the request's bytes. Yields the port and what was asked.
    """
    asked = []

    def talk(sock):
        request = read_request(sock)
        asked.append(request)
        answer = answers[min(len(asked), len(answers)) - 1]
        sock.sendall(answer(request) if callable(answer) else answer)

    with talker(talk) as (_, port):
        yield port, asked
