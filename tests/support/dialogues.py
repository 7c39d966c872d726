"""What servers say and are asked before TLS begins, and servers that say it."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tests.support.servers import talker

Script = Sequence[bytes]
LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"


def ldap_response(code: int, message: bytes = b"", number: int = 1, tag: int = 0x78) -> bytes:
    """An ExtendedResponse (RFC 4511, 4.12)."""
    response = b"\x0a\x01" + bytes([code]) + b"\x04\x00" + b"\x04" + bytes([len(message)]) + message
    body = b"\x02\x01" + bytes([number]) + bytes([tag, len(response)]) + response
    return b"\x30" + bytes([len(body)]) + body


LDAP_OK = ldap_response(0)
# The same with lengths in the long form (X.690, 8.1.3.5).
LDAP_LONG = b"\x30\x84" + struct.pack(">I", len(LDAP_OK) - 2) + LDAP_OK[2:]

# By protocol: what the server says and, in between, what it waits for.
SCRIPTS: Mapping[str, Script] = {
    "smtp": [
        b"220 mail.test ESMTP\r\n",
        b"EHLO [127.0.0.1]\r\n",
        b"250-mail.test\r\n250-SIZE 1000\r\n250 STARTTLS\r\n",
        b"STARTTLS\r\n",
        b"220 go ahead\r\n",
    ],
    "smtp in lines": [
        b"220-one\r\n220-two\r\n220 three\r\n",
        b"EHLO [127.0.0.1]\r\n",
        b"250-mail.test\r\n250-starttls\r\n250-8BITMIME\r\n250 HELP\r\n",
        b"STARTTLS\r\n",
        b"220-go\n220 ahead\n",
    ],
    "imap": [b"* OK [CAPABILITY IMAP4rev1] ready\r\n", b"a STARTTLS\r\n", b"a OK begin\r\n"],
    "imap with news": [
        b"* OK ready\r\n",
        b"a STARTTLS\r\n",
        b"* CAPABILITY IMAP4rev2\r\n* OK still here\r\na ok begin\r\n",
    ],
    "pop3": [b"+OK ready <1@x>\r\n", b"STLS\r\n", b"+OK begin\r\n"],
    "postgres": [b"", struct.pack(">II", 8, 80877103), b"S"],
    "ldap": [b"", LDAP_REQUEST, LDAP_OK],
    "ldap in long form": [b"", LDAP_REQUEST, LDAP_LONG],
}


def _follow(sock: socket.socket, script: Script, *, every_byte: bool = False) -> bool:
    """Follow a script; False where something else was asked."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for turn, text in enumerate(script):
        if turn % 2:
            asked = b""
            while len(asked) < len(text) and (data := sock.recv(len(text) - len(asked))):
                asked += data
            if asked != text:
                return False
        else:
            for piece in [bytes([byte]) for byte in text] if every_byte else [text]:
                sock.sendall(piece)
    return True


def scripted(script: Script, *, every_byte: bool = False) -> AbstractContextManager[Any]:
    """A server that follows a script and then says nothing."""

    def talk(sock: socket.socket) -> None:
        if _follow(sock, script, every_byte=every_byte):
            while sock.recv(4096):
                pass

    return talker(talk)


def upgrading(
    script: Script, context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], object]
) -> AbstractContextManager[Any]:
    """A server that follows a script and goes on inside TLS."""

    def upgrade(sock: socket.socket) -> None:
        if _follow(sock, script):
            with context.wrap_socket(sock, server_side=True) as inside:
                talk(inside)

    return talker(upgrade)
