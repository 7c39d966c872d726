"""What is said in plain text before TLS begins: small dialogues that end with the deadline."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from pingstate.net.deadline import Deadline
from pingstate.net.der import parse_items
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket
from pingstate.text import excerpt

MAX_DIALOGUE_BYTES = 65536
_NOT_OFFERED = "the target offers no STARTTLS, it said"


def start_tls(sock: DeadlineSocket, protocol: str, deadline: Deadline) -> None:
    """Bring an open connection to where the TLS handshake begins.

    `protocol` is a key of `STARTTLS_PORTS`. Raises OSError, and CheckFailedError that quotes what
    the target said instead.
    """
    deadline.start_phase("tls")
    deadline.limit_bytes(MAX_DIALOGUE_BYTES)
    dialogue = _Dialogue(sock)
    _DIALOGUES[protocol](dialogue)
    if dialogue.unread:
        # It would be taken for what came inside TLS (CVE-2011-0411).
        said = excerpt(bytes(dialogue.unread))
        raise CheckFailedError(f"the target said more in plain text after its go-ahead: {said}")


class _Dialogue:
    """Lines and blocks over a socket; `unread` holds what has come and was not read yet.

    In its methods `what` names what is read, for the CheckFailedError if it does not come.
    """

    def __init__(self, sock: DeadlineSocket) -> None:
        self._sock = sock
        self.unread = bytearray()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read_line(self, what: str) -> bytes:
        """The next line without its end."""
        while (end := self.unread.find(b"\n")) < 0:
            self._receive(what)
        line = bytes(self.unread[:end])
        del self.unread[: end + 1]
        return line.removesuffix(b"\r")

    def read_block(self, size: int, what: str) -> bytes:
        """The next `size` bytes."""
        while len(self.unread) < size:
            self._receive(what)
        block = bytes(self.unread[:size])
        del self.unread[:size]
        return block

    def _receive(self, what: str) -> None:
        try:
            data = self._sock.recv(4096)
        except TimeoutError:
            said = excerpt(bytes(self.unread))
            raise CheckFailedError(f"{what} has not come, so far it is {said}") from None
        if not data:
            said = f" after {excerpt(bytes(self.unread))}" if self.unread else ""
            raise CheckFailedError(f"the target closed the connection before {what}{said}")
        self.unread += data

    def address_literal(self) -> bytes:
        """This end as SMTP names a host without a name (RFC 5321, 4.1.3)."""
        if self._sock.family == socket.AF_UNIX:
            return b"[127.0.0.1]"
        address = str(self._sock.getsockname()[0]).partition("%")[0]
        return f"[IPv6:{address}]".encode() if ":" in address else f"[{address}]".encode()


def _smtp(dialogue: _Dialogue) -> None:
    """RFC 3207."""
    code, lines = _read_smtp_reply(dialogue, "the greeting")
    if code != b"220":
        raise CheckFailedError(f"the greeting is {excerpt(lines[-1])}, expected 220")
    dialogue.send(b"EHLO %s\r\n" % dialogue.address_literal())
    code, lines = _read_smtp_reply(dialogue, "the answer to EHLO")
    # Keywords have no case (RFC 5321, 2.4).
    keywords = [line[4:].upper().split()[:1] for line in lines]
    if code != b"250" or [b"STARTTLS"] not in keywords:
        raise CheckFailedError(f"{_NOT_OFFERED} {excerpt(lines[-1])}")
    dialogue.send(b"STARTTLS\r\n")
    code, lines = _read_smtp_reply(dialogue, "the answer to STARTTLS")
    if code != b"220":
        raise CheckFailedError(f"the target refuses STARTTLS: {excerpt(lines[-1])}")


def _read_smtp_reply(dialogue: _Dialogue, what: str) -> tuple[bytes, list[bytes]]:
    """The code and the lines of a reply (RFC 5321, 4.2)."""
    lines: list[bytes] = []
    while True:
        line = dialogue.read_line(what)
        if not re.match(rb"[2-5][0-9][0-9](?:[ -]|$)", line):
            raise CheckFailedError(f"{what} is no SMTP: {excerpt(line)}")
        lines.append(line)
        if line[3:4] != b"-":
            return line[:3], lines


def _imap(dialogue: _Dialogue) -> None:
    """RFC 9051, 6.2.1."""
    greeting = dialogue.read_line("the greeting")
    if not re.match(rb"\* (?:OK|PREAUTH|BYE)\b", greeting, re.IGNORECASE):
        raise CheckFailedError(f"the greeting is no IMAP: {excerpt(greeting)}")
    if greeting[2:4].upper() != b"OK":
        raise CheckFailedError(f"the greeting is {excerpt(greeting)}, expected OK")
    dialogue.send(b"a STARTTLS\r\n")
    answer = dialogue.read_line("the answer to STARTTLS")
    while answer.startswith(b"* "):
        answer = dialogue.read_line("the answer to STARTTLS")
    if not re.match(rb"a OK\b", answer, re.IGNORECASE):
        raise CheckFailedError(f"{_NOT_OFFERED} {excerpt(answer)}")


def _pop3(dialogue: _Dialogue) -> None:
    """RFC 2595, 4."""
    greeting = dialogue.read_line("the greeting")
    if not re.match(rb"\+OK|-ERR", greeting):
        raise CheckFailedError(f"the greeting is no POP3: {excerpt(greeting)}")
    if not greeting.startswith(b"+OK"):
        raise CheckFailedError(f"the greeting is {excerpt(greeting)}, expected +OK")
    dialogue.send(b"STLS\r\n")
    answer = dialogue.read_line("the answer to STLS")
    if not answer.startswith(b"+OK"):
        raise CheckFailedError(f"{_NOT_OFFERED} {excerpt(answer)}")


def _postgres(dialogue: _Dialogue) -> None:
    """SSLRequest of PostgreSQL's protocol 3.0 ("Message Flow", "SSL Session Encryption")."""
    dialogue.send(b"\0\0\0\x08\x04\xd2\x16\x2f")
    answer = dialogue.read_block(1, "the answer to SSLRequest")
    if answer == b"N":
        raise CheckFailedError("the target offers no TLS, it answered SSLRequest with 'N'")
    if answer != b"S":
        said = excerpt(answer + bytes(dialogue.unread))
        raise CheckFailedError(f"the answer to SSLRequest is {said}, expected 'S'")


# LDAPMessage 1 with an ExtendedRequest for StartTLS (RFC 4511, 4.12 and 4.14.1).
_LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
_SEQUENCE, _INTEGER, _ENUMERATED, _EXTENDED_RESPONSE = 0x30, 0x02, 0x0A, 0x78
_LDAP_RESULTS = {1: "operations error", 2: "protocol error", 51: "busy", 52: "unavailable"}


def _ldap(dialogue: _Dialogue) -> None:
    """RFC 4511, 4.14."""
    dialogue.send(_LDAP_REQUEST)
    what = "the answer to StartTLS"
    head = dialogue.read_block(2, what)
    size = head[1]
    if size & 0x80:
        more = dialogue.read_block(size & 0x7F, what)
        head += more
        size = int.from_bytes(more, "big")
    if head[0] != _SEQUENCE or size > MAX_DIALOGUE_BYTES:
        raise CheckFailedError(f"{what} is no LDAP: {excerpt(head + bytes(dialogue.unread))}")
    body = dialogue.read_block(size, what)
    try:
        (id_tag, number), (tag, response) = parse_items(body)[:2]
        (result_tag, result), _, (_, message) = parse_items(response)[:3]
    except ValueError:
        raise CheckFailedError(f"{what} is no LDAP: {excerpt(head + body)}") from None
    if (id_tag, tag, result_tag) != (_INTEGER, _EXTENDED_RESPONSE, _ENUMERATED):
        raise CheckFailedError(f"{what} is no LDAP: {excerpt(head + body)}")
    code = int.from_bytes(result[:4], "big")
    if code or number != b"\x01":
        words = _LDAP_RESULTS.get(code, f"result {code}")
        raise CheckFailedError(f"{_NOT_OFFERED} {excerpt(message)} ({words})")


_DIALOGUES: dict[str, Callable[[_Dialogue], None]] = {
    "smtp": _smtp,
    "imap": _imap,
    "pop3": _pop3,
    "postgres": _postgres,
    "ldap": _ldap,
}
