"""Connections that never come about, and an environment that wants to lead them elsewhere."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from pingstate.values import PROTOCOLS
from tests.hostile.catalogue import NEVER_SAID, UP_SOON, Expected, Target, down, register, served
from tests.hostile.peers import SILENT, Peer, ca_file, folder, serving, well_behaved

LATE = down("timeout")
REFUSED = down("connect", soon=True)
EVERYWHERE = PROTOCOLS

Opener = Callable[[str, float], AbstractContextManager[Target]]


def case(family: str, expected: dict[str, Expected], **options: Any) -> Callable[[Opener], Opener]:
    def add(opener: Opener) -> Opener:
        name = opener.__name__.replace("_", "-")
        register(opener, name, family, (opener.__doc__ or "").splitlines()[0], expected, options)
        return opener

    return add


@contextlib.contextmanager
def full_backlog(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose SYNs are dropped: the kernel's queue of connections to be accepted is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        address = listener.getsockname()
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        yield address[1]


@case("Connecting", dict.fromkeys(EVERYWHERE, down("timeout", says="connect")))
@contextlib.contextmanager
def black_hole(protocol: str, timeout: float) -> Iterator[Target]:
    """drops every SYN: a listening socket whose backlog is full"""
    with full_backlog() as port:
        yield Target("127.0.0.1", port)


@case("Connecting", {"tcp": UP_SOON, "tls": LATE, "http": LATE, "https": LATE})
@contextlib.contextmanager
def never_accepts(protocol: str, timeout: float) -> Iterator[Target]:
    """the kernel connects, the process never accepts, as if it were paused"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Target("127.0.0.1", listener.getsockname()[1])


@case("Connecting", {"tcp": LATE}, check=NEVER_SAID)
@contextlib.contextmanager
def never_accepts_nor_speaks(protocol: str, timeout: float) -> Iterator[Target]:
    """the same to a check of the banner"""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Target("127.0.0.1", listener.getsockname()[1])


@case("Connecting", dict.fromkeys(EVERYWHERE, REFUSED))
@contextlib.contextmanager
def refuses(protocol: str, timeout: float) -> Iterator[Target]:
    """a port where nobody listens"""
    with (
        socket.socket() as bound
    ):  # bound and not listening: nobody else can come to listen there meanwhile
        bound.bind(("127.0.0.1", 0))
        yield Target("127.0.0.1", bound.getsockname()[1])


@case("Connecting", dict.fromkeys(EVERYWHERE, REFUSED))
@contextlib.contextmanager
def refuses_ipv6(protocol: str, timeout: float) -> Iterator[Target]:
    """an IPv6 port where nobody listens"""
    with socket.socket(socket.AF_INET6) as bound:
        bound.bind(("::1", 0))
        yield Target("::1", bound.getsockname()[1])


def speaks_in_any_protocol(peer: Peer) -> None:
    peer.hold() if peer.protocol in SILENT else well_behaved(peer)


for host, written in {"127.0.0.1": "127.0.0.1", "::1": "::1", "localhost": "localhost"}.items():
    served(
        "Connecting",
        dict.fromkeys(EVERYWHERE, UP_SOON),
        host="127.0.0.1" if host == "localhost" else host,
        name=f"listens-on-{written}",
        what=f"a good server on {written}",
        check=None,
    )(speaks_in_any_protocol)


# --- the environment ----------

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class VisitedError(Exception):
    """A probe came where it must not."""


def proxy(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong")
    raise VisitedError("the proxy was used")


@case("Environment", {"http": REFUSED, "https": REFUSED, "tcp": REFUSED})
@contextlib.contextmanager
def proxies_in_environment(protocol: str, timeout: float) -> Iterator[Target]:
    """a dead target, and proxies in the environment that answer 200"""
    with serving(proxy) as port, refuses(protocol, timeout) as target:
        environ = dict.fromkeys(PROXIES, f"http://127.0.0.1:{port}")
        yield Target(target.address, target.port, {}, environ)


def no_credentials(peer: Peer) -> None:
    if b"authorization" in peer.request().lower():
        raise VisitedError("the target was given a password")
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@case("Environment", {"http": UP_SOON, "https": UP_SOON})
@contextlib.contextmanager
def netrc_in_environment(protocol: str, timeout: float) -> Iterator[Target]:
    """a .netrc that has a password for the target"""
    netrc = folder() / "netrc"
    netrc.write_text(
        "machine 127.0.0.1 login somebody password hunter2\n"
        "default login somebody password hunter2\n"
    )
    netrc.chmod(0o600)
    with serving(
        no_credentials, protocol=protocol, timeout=timeout, tls=protocol == "https"
    ) as port:
        options = {"ca_file": ca_file()} if protocol == "https" else {}
        yield Target("127.0.0.1", port, options, {"NETRC": str(netrc)})


def with_bundle(bundle: str, expected: Expected, name: str, what: str, **options: Any) -> None:
    @contextlib.contextmanager
    def opener(protocol: str, timeout: float) -> Iterator[Target]:
        with serving(well_behaved, protocol=protocol, timeout=timeout, tls=True) as port:
            path = ca_file() if bundle == "ours" else bundle
            yield Target(
                "127.0.0.1", port, {}, {"REQUESTS_CA_BUNDLE": path, "CURL_CA_BUNDLE": path}
            )

    register(opener, name, "Environment", what, {"https": expected}, options)


with_bundle(
    "ours",
    down("tls", soon=True),
    "ca-bundle-in-environment",
    "REQUESTS_CA_BUNDLE trusts what we don't",
)
with_bundle(
    "/nonexistent",
    UP_SOON,
    "missing-ca-bundle-in-environment",
    "REQUESTS_CA_BUNDLE names no file, and verification is off",
    verify_tls=False,
)


def redirects_with_a_secret(other: int) -> Callable[[Peer], None]:
    def mode(peer: Peer) -> None:
        secret = base64.b64encode(b"somebody:hunter2")
        if secret not in peer.request():
            raise VisitedError("the target was not given its password")
        peer.send(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:%d/\r\n\r\n"
            % other
        )

    return mode


def no_secrets(peer: Peer) -> None:
    head = peer.request().lower()
    if b"authorization" in head or b"x-secret" in head:
        raise VisitedError("the secrets went to another origin")
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@case(
    "Environment",
    {"http": UP_SOON},
    basic_auth=("somebody", "hunter2"),
    headers={"X-Secret": "hunter2"},
)
@contextlib.contextmanager
def redirect_to_another_origin(protocol: str, timeout: float) -> Iterator[Target]:
    """a redirect to another origin, which must not get the password and the headers"""
    with serving(no_secrets) as other, serving(redirects_with_a_secret(other)) as port:
        yield Target("127.0.0.1", port)


# --- a thousand times ----------


def stalls(peer: Peer) -> None:
    peer.hold()


@contextlib.contextmanager
def stalling(protocol: str, timeout: float) -> Iterator[Target]:
    with serving(stalls) as port:
        yield Target("127.0.0.1", port)


def thousand(name: str, opener: Opener, what: str, protocol: str, **options: Any) -> None:
    register(
        opener, name, "A thousand times", what, {protocol: LATE}, options, repeat=1000, workers=50
    )


thousand("1000-banners", stalling, "a banner that never comes", "tcp", check=NEVER_SAID)
thousand("1000-heads", stalling, "a head that never comes", "http")
thousand("1000-handshakes", stalling, "a handshake that never ends", "https")
thousand(
    "1000-dialogues", stalling, "a greeting before TLS that never comes", "tls", starttls="smtp"
)
thousand("1000-black-holes", black_hole, "a connect that never ends", "tcp")
