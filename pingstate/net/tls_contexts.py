"""TLS contexts, made once and again when their files are replaced, and the handshake with them."""

from __future__ import annotations

import logging
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property

from pingstate.net.attempt import Attempt
from pingstate.net.certificate import read_certificate
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket
from pingstate.net.tls import TLSStream
from pingstate.net.tls_errors import describe_tls_error
from pingstate.values import InvalidValueError, normalize_file, normalize_host, unix_path

log = logging.getLogger(__name__)

MAX_HANDSHAKE_BYTES = 262_144

Connect = Callable[[Deadline], DeadlineSocket]
"""Opens one more connection to the same place, up to where TLS begins. Raises OSError."""


class ClientTLS:
    """How to shake hands with the target at `address`, and with hosts that it redirects to.

    `ca_file` is a PEM file of what to trust in place of the system's authorities: roots,
    intermediates or the target's own certificate. `client_cert` and `client_key` are PEM files of
    what the target alone is shown when it asks; `server_name` is the name in the handshake and the
    one that is verified (None: `address`). `alpn` are the protocols to offer (RFC 7301).

    Contexts are costly, so each is made once, when it is first needed. Files that were replaced on
    disk are loaded at the next handshake; where they can't be, the last good ones stay.
    Thread-safe.
    """

    def __init__(
        self,
        *,
        address: str,
        verify: bool,
        ca_file: str | None,
        client_cert: str | None,
        client_key: str | None,
        server_name: str | None,
        alpn: tuple[str, ...] = (),
    ) -> None:
        if client_key is not None and client_cert is None:
            raise ValueError("client_key requires client_cert")
        ca_file = None if ca_file is None else normalize_file(ca_file, "ca_file")
        if client_cert is not None:
            client_cert = normalize_file(client_cert, "client_cert")
        if client_key is not None:
            client_key = normalize_file(client_key, "client_key")
        self._verify = verify
        self._ca_file = ca_file if verify else None
        self._client = (client_cert, client_key)
        self._alpn = list(alpn)
        if server_name is None:
            server_name = address if unix_path(address) is None else "localhost"
        self._name = normalize_host(server_name, "server_name")
        self._files = [path for path in (self._ca_file, client_cert, client_key) if path]
        self._lock, self._pid = threading.Lock(), os.getpid()
        # By whether the client's certificate is in it; and what the files were when they were read.
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._identity: list[tuple[int, ...] | None] = []

    def load(self) -> None:
        """Load the files now. Raises InvalidValueError for those that can't be used."""
        self._get_context(for_target=True)

    def _get_context(self, *, for_target: bool) -> ssl.SSLContext:
        # A host that a redirect leads to does not get the client's certificate.
        client = for_target and self._client[0] is not None
        if self._pid != os.getpid():
            # A lock that another thread held when the process forked is held for ever.
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            self._reload_replaced_files()
            if client not in self._contexts:
                self._contexts[client] = self._create_context(verify=self._verify, client=client)
            return self._contexts[client]

    def _reload_replaced_files(self) -> None:
        identity = [_identify(path) for path in self._files]
        if identity == self._identity:
            return
        # Once for each replacement, whatever comes of it.
        self._identity = identity
        if not self._contexts:
            return
        try:
            self._contexts = {
                client: self._create_context(verify=self._verify, client=client)
                for client in self._contexts
            }
        except InvalidValueError as exc:
            log.warning("can't use replaced certificate files, the last good ones stay: %s", exc)
        else:
            log.info("certificate files were replaced and are loaded: %s", ", ".join(self._files))

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        return self._create_context(verify=False, client=False)

    def _create_context(self, *, verify: bool, client: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca_file is not None:
            load_authorities(context, self._ca_file)
        else:
            _load_system_trust(context)
        certificate, key = self._client
        if client and certificate is not None:
            load_client_certificate(context, certificate, key)
            # Some ask only once they have seen the request (RFC 8446, 4.6.2).
            context.post_handshake_auth = True
        return context

    def handshake(
        self,
        sock: DeadlineSocket,
        attempt: Attempt,
        *,
        reconnect: Connect,
        server_name: str | None = None,
    ) -> TLSStream:
        """Shake hands over `sock`.

        `server_name` is the host that a redirect leads to, None for the target itself. The attempt
        gets the certificate, even if verification failed: then `reconnect` opens a second
        connection to read it. Raises OSError (ssl.SSLError, TimeoutError among them) and
        CheckFailedError.
        """
        name = self._name if server_name is None else server_name
        context = self._get_context(for_target=server_name is None)
        deadline = attempt.deadline
        deadline.limit_bytes(MAX_HANDSHAKE_BYTES)
        try:
            tls = TLSStream(sock, context, name, deadline)
        except ssl.SSLCertVerificationError:
            # ssl shows no certificate that it did not accept, so connect once more; by a deadline
            # of its own, since the verdict is known and must not become a timeout.
            with suppress(OSError, CheckFailedError):
                again = Deadline(min(deadline.remaining() / 2, 1.0), owner=deadline.owner)
                with reconnect(again) as second:
                    again.limit_bytes(MAX_HANDSHAKE_BYTES)
                    stream = TLSStream(second, self._unverified, name, again)
                    _note_certificates(stream, attempt)
            raise
        attempt.trace.tls_version = (tls.version() or "").replace("TLSv", "TLS ")
        _note_certificates(tls, attempt)
        return tls


def _note_certificates(tls: TLSStream, attempt: Attempt) -> None:
    attempt.trace.certificate = tls.certificate
    attempt.trace.earliest_expiry = _earliest_expiry(tls.chain)
    attempt.trace.verified_chain_expiry = _earliest_expiry(tls.verified_chain)


def _earliest_expiry(chain: Iterable[bytes]) -> float | None:
    certificates = map(read_certificate, chain)
    return min((one.expires for one in certificates if one), default=None)


def load_authorities(context: ssl.SSLContext, path: str, name: str = "ca_file") -> None:
    """Trust each certificate in a PEM file as it stands. Raises InvalidValueError."""
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as exc:
        expected = f"a PEM file of certificates ({_describe_file_error(exc)})"
        raise InvalidValueError(name, path, expected) from None
    # An intermediate, or the target's own certificate, is enough: no root is asked for.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def load_client_certificate(
    context: ssl.SSLContext, certificate: str, key: str | None, name: str = "client_cert"
) -> None:
    """Show a certificate when asked; `key` is the file of its key, None for the same file.

    Raises InvalidValueError.
    """
    try:
        # Without a password OpenSSL would ask a terminal for the one of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as exc:
        why = _describe_file_error(exc)
        expected = f"a PEM file of a certificate with a matching unencrypted key ({why})"
        raise InvalidValueError(name, certificate, expected) from None


def _describe_file_error(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        said = describe_tls_error(exc)
        # OpenSSL says no more, whether it found nothing or could not read it.
        return "a part is missing, cut off or encrypted" if said == "pem lib" else said
    return str(getattr(exc, "strerror", None) or exc).lower()


def _identify(path: str) -> tuple[int, ...] | None:
    """What changes when a file is written or replaced; None where there is none."""
    from pathlib import Path  # only for TLS

    try:
        seen = Path(path).stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _load_system_trust(context: ssl.SSLContext) -> None:
    """Trust what the system trusts, or, where it has no such list, what requests does."""
    from pathlib import Path  # only for TLS

    system = ssl.get_default_verify_paths()
    hashed = system.capath is not None and any(
        re.fullmatch(r"[0-9a-f]{8}\.0", path.name) for path in Path(system.capath).iterdir()
    )
    if hashed and system.openssl_cafile_env not in os.environ:
        # Read one at a time when they are needed: the bundle takes 15 ms and more than 1 MiB.
        context.load_verify_locations(capath=system.capath)
    elif hashed or system.cafile is not None:
        context.load_default_certs()
    else:
        import requests.certs  # few systems have no list

        context.load_verify_locations(requests.certs.where())
