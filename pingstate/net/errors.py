"""What went wrong on the wire, in words for people."""

from __future__ import annotations

import ssl

from pingstate.text import describe


class CheckFailedError(Exception):
    """A check that failed for a reason of ours, in the phase that the deadline is in."""


def describe_failure(exc: BaseException) -> str:
    """What went wrong in a few words; "" where the deadline alone says it."""
    while (inner := exc.__cause__ or exc.__context__) is not None and not isinstance(
        exc, CheckFailedError
    ):
        exc = inner
    if isinstance(exc, CheckFailedError):
        return str(exc)
    if isinstance(exc, TimeoutError):
        return ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return (
            f"TLS failed: {(exc.reason or 'the connection was closed').lower().replace('_', ' ')}"
        )
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[:1].lower() + exc.strerror[1:]
    return describe(exc)
