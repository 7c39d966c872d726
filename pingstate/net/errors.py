"""What went wrong on the wire, in words for people."""

from __future__ import annotations

import os
import re
import ssl

from pingstate.text import one_line

# What OpenSSL calls the alerts (RFC 8446, 6.2) that a peer sends.
_ALERT = re.compile("(?:sslv3|tlsv1|tlsv13) (?:alert )?(.+)")
_HELP = {
    "certificate required": ": it asks for a client certificate (PINGSTATE_CLIENT_CERT)",
    "unrecognized name": ": it serves another name (PINGSTATE_SERVER_NAME)",
}


class CheckFailedError(Exception):
    """A check that failed for a reason of ours, in the phase that the deadline is in."""


def describe_failure(exc: BaseException) -> str:
    """What went wrong in a few words; "" where the deadline alone says it."""
    exc = _innermost(exc)
    if isinstance(exc, CheckFailedError):
        return str(exc)
    if isinstance(exc, TimeoutError) and exc.errno is None:
        return ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {exc.verify_message.removesuffix('.')}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {describe_tls_error(exc)}"
    if isinstance(exc, OSError):
        said = exc.strerror or (os.strerror(exc.errno) if exc.errno else str(exc))
        said = said[:1].lower() + said[1:]
    elif isinstance(exc, (MemoryError, RecursionError)):
        said = "it takes too much memory or depth to read"
    else:
        said = str(exc)
    return one_line(said, 160) or "no reason is known"


def _innermost(exc: BaseException) -> BaseException:
    while not isinstance(exc, CheckFailedError):
        # urllib3 makes exceptions of exceptions that it does not raise.
        held = next((arg for arg in exc.args if isinstance(arg, BaseException)), None)
        inner = exc.__cause__ or (held if exc.__suppress_context__ else exc.__context__ or held)
        if inner is None:
            break
        exc = inner
    return exc


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
