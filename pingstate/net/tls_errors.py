"""What went wrong in TLS, in words for people."""

from __future__ import annotations

import re
import ssl

from pingstate.text import one_line

# What OpenSSL calls the alerts (RFC 8446, 6.2) that a peer sends; from 3.2 on, all of them alike.
_ALERT = re.compile("(?:sslv3|tlsv1|tlsv13|ssl/tls) (?:alert )?(.+)")
_HELP = {
    "certificate required": ": it asks for a client certificate (PINGSTATE_CLIENT_CERT)",
    "no application protocol": ": it wants another one than HTTP/1.1 (ALPN)",
    "unrecognized name": ": it serves another name (PINGSTATE_SERVER_NAME)",
}


def describe_tls_failure(exc: ssl.SSLError) -> str:
    """What went wrong between this end and the target."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {exc.verify_message.removesuffix('.')}"
    return f"TLS failed: {describe_tls_error(exc)}"


def describe_tls_error(exc: ssl.SSLError) -> str:
    """What OpenSSL could not do, or what alert it was sent, without its names for them."""
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "the target closed the connection"
    # The name that OpenSSL has for the reason, or else its text: `[SSL] the text (_ssl.c:1000)`.
    text = re.sub(r"^\[[^]]*\] *| *\(_ssl\.c:[0-9]+\)$", "", str(exc.strerror or exc))
    words = one_line((exc.reason or text).lower().replace("_", " "), 160)
    if words == "unexpected eof while reading":
        return "the target closed the connection"
    if alert := _ALERT.fullmatch(words):
        return f"the target sent the alert '{alert[1]}'{_HELP.get(alert[1], '')}"
    return "OpenSSL has no word for it" if words in ("", "unknown error") else words
