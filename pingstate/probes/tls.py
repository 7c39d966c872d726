"""A TLS check: the connect, the handshake, and what the target says inside."""

from __future__ import annotations

from collections.abc import Sequence

from pingstate.net.attempt import Attempt
from pingstate.net.connect import connect
from pingstate.net.deadline import MAX_REST_SECONDS, Deadline
from pingstate.net.sockets import DeadlineSocket
from pingstate.net.starttls import start_tls
from pingstate.net.tls_contexts import ClientTLS
from pingstate.probes.base import ProbeResult, run_check
from pingstate.probes.conditions import Check, Outcome
from pingstate.probes.conversation import Conversation
from pingstate.values import (
    DEFAULT_TIMEOUTS,
    STARTTLS_PORTS,
    authority,
    normalize_address,
    validate_ip_version,
    validate_port,
    validate_starttls,
    validate_timeout,
)

# A server of TLS 1.3 that asks for a certificate refuses one when the client is done already.
_OBJECTION_S = 0.1
# Inside TLS, its framing included: OpenSSL reads what it skips for as long as it comes.
MAX_BYTES = 16_777_216


class TLSProbe:
    """Connect, shake hands by TLS, and read the banner inside where the check needs one.

    `address`, `port`, `check` and `timeout` are those of `probe()`. `starttls` is `smtp`, `imap`,
    `pop3`, `postgres` or `ldap`, in whose protocol TLS is asked for first; None begins with TLS.
    `ca_file` is a PEM file of what to trust instead of the system's authorities: roots,
    intermediates or the target's own certificate; `client_cert` and `client_key` are PEM files;
    `server_name` is the name in the handshake and the one that is verified (None: `address`);
    `verify_tls` False accepts any certificate. No protocol is offered (RFC 7301).

    `send` is written inside TLS before a banner is read. A callable check gets the stream inside
    TLS, which has a socket's methods, `getpeercert()` and the `certificate`, and whose every call
    ends with the deadline. `ip_version` is 4 or 6, None for both. Certificate files that are
    replaced are used from the next check on. Thread-safe: each check has a connection of its own.
    Raises ValueError for what can't be probed, certificate files that can't be used among it.
    """

    def __init__(
        self,
        address: str,
        port: int | None = None,
        *,
        check: Check | Sequence[Check] | None = None,
        timeout: float | None = None,
        send: bytes = b"",
        starttls: str | None = None,
        verify_tls: bool = True,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        server_name: str | None = None,
        ip_version: int | None = None,
    ) -> None:
        self.address = normalize_address(address)
        self._starttls = None if starttls is None else validate_starttls(starttls)
        default = STARTTLS_PORTS[self._starttls] if self._starttls else 443
        self.port = validate_port(default if port is None else port)
        self._ip_version = validate_ip_version(ip_version, self.address)
        self.timeout = validate_timeout(DEFAULT_TIMEOUTS["tls"] if timeout is None else timeout)
        self._conversation = Conversation("tls", check, send, self.timeout)
        self._tls = ClientTLS(
            address=self.address,
            verify=verify_tls,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            server_name=server_name,
        )
        self._tls.load()
        self.name = f"tls://{authority(self.address, self.port)}"

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        return run_check(self._check, self.timeout, self, self._conversation.secrets)

    def _check(self, attempt: Attempt) -> Outcome:
        deadline = attempt.deadline
        with self._connect(deadline) as sock:
            attempt.trace.ip_protocol = sock.ip_protocol
            stream = self._tls.handshake(sock, attempt, reconnect=self._connect)
            deadline.limit_bytes(MAX_BYTES)
            if not self._conversation.reads:
                round_trip = deadline.seconds["connect"]
                stream.wait_for_objection(_OBJECTION_S + 2 * round_trip)
            connected = Outcome(ok=True, seen=f"connected, {attempt.trace.tls_version}")
            outcome = self._conversation.hold(stream, deadline, connected)
            deadline.stop(grace=MAX_REST_SECONDS)
            stream.say_goodbye(wait=self._conversation.reads)
            return outcome

    def _connect(self, deadline: Deadline) -> DeadlineSocket:
        """A connection that has come to where TLS begins."""
        sock = connect(self.address, self.port, deadline, self._ip_version)
        if self._starttls:
            try:
                start_tls(sock, self._starttls, deadline)
            except BaseException:
                sock.close()
                raise
        return sock
