from __future__ import annotations

import json
import socket
import ssl

import trustme

from pingstate.net.certificate import read_certificate
from tests.support.servers import https_server


def test_certificate_that_is_garbage_is_none():
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    assert read_certificate(der) is not None
    assert read_certificate(b"") is None
    for cut in range(1, len(der), 7):
        read_certificate(der[:cut])
    for index in range(0, len(der), 3):
        read_certificate(der[:index] + b"\xff" + der[index + 1 :])


def test_certificate_is_read_as_openssl_reads_it(authority):
    ca, path = authority
    context = ssl.create_default_context(cafile=path)
    context.check_hostname = False
    with (
        https_server(ca.issue_cert("localhost", common_name="näme")) as port,
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw) as sock,
    ):
        ours = read_certificate(sock.getpeercert(True))
        theirs = sock.getpeercert()
    assert ours.expires == ssl.cert_time_to_seconds(theirs["notAfter"])
    assert ours.subject == "näme"
    assert json.dumps(theirs["issuer"]).count(ours.issuer)
