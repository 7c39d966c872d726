"""TLS handshakes that stall, drip, break or present the wrong papers."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hostile.answers import moved, sized
from tests.hostile.catalogue import (
    EITHER,
    UP,
    UP_SOON,
    Expected,
    Target,
    answer,
    down,
    register,
    served,
)
from tests.hostile.peers import (
    DRIP_S,
    OURS,
    Peer,
    authority,
    ca_file,
    folder,
    noise,
    server_context,
    serving,
    well_behaved,
)

LATE = down("timeout")
FAILS = down("tls", soon=True)


def handshake(expected: Expected, tls: Expected | None = None) -> Mapping[str, Expected]:
    """`tls` is for a check of the handshake alone, where that comes to something else."""
    return {"https": expected, "tls": tls or expected}


raw = partial(served, "TLS handshakes", tls=False)
inside = partial(served, "Certificates", tls=False)


class FarEnoughError(Exception):
    """The handshake has come as far as it was meant to."""


def shake_hands(peer: Peer, write: Callable[[bytes], None]) -> None:
    """A real handshake, each of whose flights goes through `write`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server_context().wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            if data := outgoing.read():
                write(data)
            if not (data := peer.sock.recv(65536)):
                raise ConnectionAbortedError from None
            incoming.write(data)
        else:
            write(outgoing.read())
            return


def handshake_up_to(peer: Peer, limit: int) -> None:
    """The first `limit` bytes of the server's side of a real handshake."""
    sent = 0

    def write(data: bytes) -> None:
        nonlocal sent
        peer.send(data[: limit - sent])
        sent += len(data)
        if sent >= limit:
            raise FarEnoughError

    try:
        shake_hands(peer, write)
    except FarEnoughError:
        return


@raw(handshake(LATE))
def never_answers_hello(peer: Peer) -> None:
    """reads the ClientHello and says nothing"""
    peer.hold()


@raw(handshake(LATE))
def never_reads_hello(peer: Peer) -> None:
    """accepts, and neither reads nor writes"""
    peer.stop.wait()


for limit, where in {
    1: "the first byte of a record",
    4: "a record's header",
    30: "ServerHello",
    150: "the first flight",
    900: "the certificate",
}.items():

    @raw(
        handshake(LATE),
        name=f"stalls-after-{limit}-bytes-of-tls",
        what=f"stops in the middle of {where}",
    )
    def stalls(peer: Peer, limit: int = limit) -> None:
        handshake_up_to(peer, limit)
        peer.hold()

    @raw(
        handshake(FAILS),
        name=f"reset-after-{limit}-bytes-of-tls",
        what=f"RST in the middle of {where}",
    )
    def resets(peer: Peer, limit: int = limit) -> None:
        handshake_up_to(peer, limit)
        peer.stop.wait(DRIP_S)
        peer.reset()

    @raw(
        handshake(FAILS),
        name=f"end-after-{limit}-bytes-of-tls",
        what=f"a bare FIN in the middle of {where}",
    )
    def ends(peer: Peer, limit: int = limit) -> None:
        handshake_up_to(peer, limit)
        peer.cut()


@raw(handshake(LATE))
def drips_handshake(peer: Peer) -> None:
    """a real handshake, a byte at a time"""
    shake_hands(peer, peer.drip)


@raw(handshake(LATE, UP))
def shakes_hands_and_stops(peer: Peer) -> None:
    """a whole handshake, then silence"""
    shake_hands(peer, peer.send)
    peer.hold()


@raw(handshake(LATE, UP))
def drips_a_record(peer: Peer) -> None:
    """a whole handshake, then a record of the largest size, a byte at a time"""
    shake_hands(peer, peer.send)
    peer.send(b"\x17\x03\x03\x40\x00")
    peer.drip_for_ever(b"x")


@raw(handshake(down("response", "tls", soon=True), EITHER))
def noise_after_handshake(peer: Peer) -> None:
    """a whole handshake, then random bytes"""
    shake_hands(peer, peer.send)
    peer.send(b"\x17\x03\x03\x01\x00" + noise(256))
    peer.hold()


@raw(handshake(down("response", "tls", soon=True), EITHER))
def end_after_handshake(peer: Peer) -> None:
    """a whole handshake, then a bare FIN"""
    shake_hands(peer, peer.send)
    peer.cut()


@raw(handshake(down("send", "response", "tls", soon=True), EITHER))
def reset_after_handshake(peer: Peer) -> None:
    """a whole handshake, then RST"""
    shake_hands(peer, peer.send)
    peer.reset()


@raw(handshake(FAILS))
def plain_text_to_tls(peer: Peer) -> None:
    """answers the ClientHello in plain HTTP"""
    peer.sock.recv(65536)
    peer.send(sized(b"pong"))
    peer.close()


@raw(handshake(FAILS))
def noise_to_tls(peer: Peer) -> None:
    """answers the ClientHello with random bytes"""
    peer.sock.recv(65536)
    peer.send(noise(3000))
    peer.hold()


@raw(handshake(FAILS))
def alert_to_tls(peer: Peer) -> None:
    """answers the ClientHello with a handshake_failure alert"""
    peer.sock.recv(65536)
    peer.send(b"\x15\x03\x03\0\x02\x02\x28")
    peer.hold()


@raw(handshake(down("tls", "timeout")))
def endless_handshake_message(peer: Peer) -> None:
    """a handshake message of 16 MiB, sent at full speed"""
    peer.sock.recv(65536)
    peer.send(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(16380))
    peer.flood(b"\x16\x03\x03\x40\x00" + bytes(16384))


@raw(handshake(down("tls", "timeout")))
def endless_empty_records(peer: Peer) -> None:
    """empty handshake records without an end"""
    peer.sock.recv(65536)
    peer.flood(b"\x16\x03\x03\0\0")


@raw(handshake(down("tls", "timeout")))
def endless_warnings(peer: Peer) -> None:
    """TLS warnings without an end"""
    peer.sock.recv(65536)
    peer.flood(b"\x15\x03\x03\0\x02\x01\x5a")


for number in (1, 4, 256):

    @raw(
        handshake(down("tls", "timeout")),
        name=f"endless-hello-requests-{number}-a-record",
        what=f"HelloRequests without an end, {number} a record, which OpenSSL skips by itself",
    )
    def endless_hello_requests(peer: Peer, number: int = number) -> None:
        peer.sock.recv(65536)
        peer.flood(b"\x16\x03\x03" + (4 * number).to_bytes(2, "big") + bytes(4 * number))


@raw(handshake(LATE))
def drips_hello_requests(peer: Peer) -> None:
    """a HelloRequest every now and then, and never a ServerHello"""
    peer.sock.recv(65536)
    while not peer.stop.wait(DRIP_S):
        peer.send(b"\x16\x03\x03\0\x04" + bytes(4))


@served("TLS handshakes", {"http": down("response")}, tls=False)
def tls_to_plain_text(peer: Peer) -> None:
    """a TLS server, to a plain http probe"""
    peer.start_tls(server_context())


# --- certificates ----------


@cache
def presenting(flaw: str) -> ssl.SSLContext:
    """A server whose certificate has the flaw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.timezone.utc)
    issuer = authority("somebody else's" if "unknown authority" in flaw else OURS)
    host = "somebody-else.test" if flaw == "wrong host" else "127.0.0.1"
    if flaw == "expired":
        cert = issuer.issue_cert(host, not_before=now - 3 * day, not_after=now - day)
    elif flaw == "not yet valid":
        cert = issuer.issue_cert(host, not_before=now + day, not_after=now + 3 * day)
    else:
        cert = issuer.issue_cert(
            host, common_name="\x1b[31mowned\nhunter2" if "escapes" in flaw else None
        )
    cert.configure_cert(context)
    if flaw == "client certificate":
        context.verify_mode = ssl.CERT_REQUIRED
        authority(OURS).configure_trust(context)
    if flaw == "old protocol":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    return context


def present(peer: Peer, flaw: str) -> None:
    peer.start_tls(presenting(flaw))
    well_behaved(peer)


for flaw in ("expired", "not yet valid", "wrong host", "unknown authority"):

    @inside(handshake(FAILS), name=flaw.replace(" ", "-"), what=f"a certificate: {flaw}")
    def flawed(peer: Peer, flaw: str = flaw) -> None:
        present(peer, flaw)

    @inside(
        handshake(UP_SOON),
        name=flaw.replace(" ", "-") + "-unverified",
        what="the same, without verification",
        verify_tls=False,
    )
    def tolerated(peer: Peer, flaw: str = flaw) -> None:
        present(peer, flaw)


@inside(handshake(UP_SOON))
def certificate_with_escapes(peer: Peer) -> None:
    """a good certificate whose common name holds escapes and a line feed"""
    present(peer, "escapes")


@inside(handshake(FAILS))
def bad_certificate_with_escapes(peer: Peer) -> None:
    """the same by an authority that is not ours"""
    present(peer, "escapes by an unknown authority")


@inside(handshake(down("tls")))
def bad_certificate_once_then_silence(peer: Peer) -> None:
    """a certificate by an unknown authority, and silence to whoever asks for it again"""
    if peer.nth == 0:
        present(peer, "unknown authority")
    peer.hold()


@inside(handshake(down("tls")))
def bad_certificate_once_then_drip(peer: Peer) -> None:
    """a certificate by an unknown authority, dripped to whoever asks for it again"""
    if peer.nth == 0:
        present(peer, "unknown authority")
    shake_hands(peer, peer.drip)


@inside(handshake(down("tls", "send", "response", soon=True)))
def client_certificate_wanted(peer: Peer) -> None:
    """wants a client certificate"""
    present(peer, "client certificate")


@inside(handshake(FAILS))
def obsolete_cipher(peer: Peer) -> None:
    """offers TLS 1.2 with CBC and SHA-1 alone"""
    present(peer, "old protocol")


@cache
def presenting_2000_names() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = (f"{n}.{'x' * 20}.test" for n in range(2000))
    authority(OURS).issue_cert(*names, "127.0.0.1").configure_cert(context)
    return context


@inside(handshake(UP_SOON))
def certificate_of_2000_names(peer: Peer) -> None:
    """a good certificate for 2,000 names, ours the last"""
    peer.start_tls(presenting_2000_names())
    well_behaved(peer)


@inside(handshake(down("tls", "timeout")))
def certificates_without_end(peer: Peer) -> None:
    """a chain of 1,000 certificates"""
    leaf = authority(OURS).issue_cert("127.0.0.1")
    chain = folder() / f"chain-{peer.nth}-{threading.get_ident()}.pem"
    pems = [*leaf.cert_chain_pems, *[authority(OURS).cert_pem] * 1000]
    chain.write_bytes(leaf.private_key_pem.bytes() + b"".join(pem.bytes() for pem in pems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    peer.start_tls(context)
    well_behaved(peer)


def made_out_to(name: x509.Name) -> ssl.SSLContext:
    """A server whose certificate, by itself, is for and by a name that no authority would take."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(dt.datetime(9999, 12, 31, tzinfo=dt.timezone.utc))
        .sign(key, hashes.SHA256())
    )
    both = folder() / f"odd-{threading.get_ident()}.pem"
    both.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


def common_names(text: str, times: int) -> x509.Name:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the name is odd is meant
        attribute = x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)
    return x509.Name([attribute] * times)


for name, subject in {
    "no-name": common_names("", 0),
    "an-empty-name": common_names("", 1),
    "a-name-of-50-kb": common_names("x" * 50_000, 1),
    "1000-names": common_names("\x1b[31m\n", 1000),
}.items():
    for verify, verdict in {True: FAILS, False: UP_SOON}.items():
        suffix = "" if verify else "-unverified"

        @inside(
            handshake(verdict),
            name=f"certificate-for-{name}{suffix}",
            what=f"a certificate for and by {name.replace('-', ' ')}, until the year 9999"
            + ("" if verify else ", without verification"),
            verify_tls=verify,
        )
        def odd_name(peer: Peer, subject: x509.Name = subject) -> None:
            peer.start_tls(made_out_to(subject))
            well_behaved(peer)


@inside(handshake(down("response", "timeout"), UP))
def endless_session_tickets(peer: Peer) -> None:
    """a whole handshake, then a million session tickets before any answer"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority(OURS).issue_cert("127.0.0.1").configure_cert(context)
    context.num_tickets = 1_000_000
    peer.start_tls(context)
    well_behaved(peer)


# --- another origin ----------


class ShownError(Exception):
    """A probe showed its certificate where it must not."""


@cache
def presenting_as(name: str, asks: ssl.VerifyMode) -> ssl.SSLContext:
    """A good certificate for one name, and whether the client is asked for its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority(OURS).issue_cert(name).configure_cert(context)
    authority(OURS).configure_trust(context)
    context.verify_mode = asks
    return context


@cache
def client_files() -> Mapping[str, str]:
    """A client's certificate and key by our own authority."""
    issued = authority(OURS).issue_cert("somebody@client.test")
    files = {"client_cert": folder() / "client.pem", "client_key": folder() / "client.key"}
    issued.cert_chain_pems[0].write_to_path(files["client_cert"])
    issued.private_key_pem.write_to_path(files["client_key"])
    return {name: str(path) for name, path in files.items()}


def elsewhere(peer: Peer) -> None:
    """Answers by a certificate for its address, and takes none from a client."""
    address = peer.sock.getsockname()[0]
    peer.start_tls(presenting_as(address, ssl.CERT_OPTIONAL))
    if isinstance(peer.sock, ssl.SSLSocket) and peer.sock.getpeercert():
        raise ShownError
    well_behaved(peer)


def host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def add_origin(name: str, host: str, home: str, what: str) -> None:
    @contextlib.contextmanager
    def opener(protocol: str, timeout: float) -> Iterator[Target]:
        def at_home(peer: Peer) -> None:
            peer.start_tls(presenting_as(home, ssl.CERT_REQUIRED))
            peer.request()
            moved(peer, f"https://{host_in_url(host)}:{other}/next".encode())

        with (
            serving(elsewhere, protocol=protocol, timeout=timeout, host=host) as other,
            serving(at_home, protocol=protocol, timeout=timeout) as port,
        ):
            yield Target("127.0.0.1", port, {"ca_file": ca_file(), **client_files()})

    options = {} if home == "127.0.0.1" else {"server_name": home}
    register(opener, name, "Certificates", what, {"https": UP_SOON}, options)


for other_host, other_origin in {"::1": "host", "127.0.0.1": "port"}.items():
    to = f"a redirect to another {other_origin}, which has a certificate of its own"
    add_origin(
        f"client-certificate-and-redirect-to-another-{other_origin}",
        other_host,
        "127.0.0.1",
        f"wants a client certificate, then {to} and is to be shown none",
    )
    add_origin(
        f"server-name-and-redirect-to-another-{other_origin}",
        other_host,
        "named.test",
        f"has a certificate for the given server name, then {to}",
    )


@answer("Certificates", UP_SOON, name="good-server", what="a good server")
def good(peer: Peer) -> None:
    well_behaved(peer)
