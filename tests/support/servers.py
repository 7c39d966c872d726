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
