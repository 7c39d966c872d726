"""How to shake hands, and whom to trust: contexts that are made once for the life of a probe."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import requests

from pingstate.net.attempt import Attempt
from pingstate.net.certificate import read_certificate
from pingstate.net.deadline import Deadline
from pingstate.net.sockets import DeadlineSocket, connect
from pingstate.net.tls import TLSStream
from pingstate.values import normalize_host

MAX_HANDSHAKE_BYTES = 262_144


class ClientTLS:
    """How to shake hands: contexts are costly, so each is made once, when it is first needed."""

    def __init__(
        self,
        *,
        home: str,
        verify: bool,
        ca_file: str | None,
        client_cert: str | None,
        client_key: str | None,
        server_name: str | None,
    ) -> None:
        self._verify = verify
        self._ca_file = ca_file
        self._client = (client_cert, client_key)
        if server_name is not None:
            self._name = normalize_host(server_name, "server_name")
        else:
            self._name = "localhost" if home.startswith("unix:") else normalize_host(home)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """For the given address, with the client's certificate."""
        return self._context(verify=self._verify, client=True)

    @cached_property
    def _redirect_context(self) -> ssl.SSLContext:
        # Who a redirect leads to has no business with the client's certificate.
        return self._context(verify=self._verify, client=False) if self._client[0] else self.context

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        return self._context(verify=False, client=False)

    def _context(self, *, verify: bool, client: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        else:
            _load_system_trust(context)
        certificate, key = self._client
        if client and certificate is not None:
            # Without a password OpenSSL would ask a terminal for the one of an encrypted key.
            context.load_cert_chain(certificate, key, password="")
        return context

    def handshake(
        self,
        sock: DeadlineSocket,
        attempt: Attempt,
        *,
        address: str,
        port: int,
        server_name: str | None = None,
    ) -> TLSStream:
        """Shake hands over `sock`, which is connected to `address` and `port`.

        `server_name` is who a redirect leads to, None for the target itself. The attempt gets the
        certificate, even if verification failed. Raises OSError (ssl.SSLError, TimeoutError).
        """
        name = self._name if server_name is None else server_name
        context = self.context if server_name is None else self._redirect_context
        deadline = attempt.deadline
        deadline.limit_bytes(MAX_HANDSHAKE_BYTES)
        try:
            tls = TLSStream(sock, context, name, deadline)
        except ssl.SSLCertVerificationError:
            # The standard library shows no certificate that it did not accept, so ask once more;
            # on a budget of its own, for the verdict is there and must not turn into a timeout.
            with suppress(OSError):
                again = Deadline(min(deadline.remaining() / 2, 1.0), owner=deadline.owner)
                with connect(address, port, again) as second:
                    again.limit_bytes(MAX_HANDSHAKE_BYTES)
                    shown = TLSStream(second, self._unverified, name, again)
                    _note_certificates(shown, attempt)
            raise
        attempt.tls_version = tls.version
        _note_certificates(tls, attempt)
        return tls


def _note_certificates(tls: TLSStream, attempt: Attempt) -> None:
    certificates = [read_certificate(der) for der in tls.chain]
    attempt.certificate = certificates[0] if certificates else None
    attempt.earliest_expiry = min((one.expires for one in certificates if one), default=None)


def _load_system_trust(context: ssl.SSLContext) -> None:
    """Trust what the system trusts, or, where it has no such list, what requests does."""
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
        context.load_verify_locations(requests.certs.where())
