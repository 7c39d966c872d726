"""What went wrong on the wire, in words for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from pingstate.text import one_line

if TYPE_CHECKING:
    from ssl import SSLError


class CheckFailedError(Exception):
    """A check that failed for a reason that pingstate found, in the deadline's current phase."""


def describe_failure(exc: BaseException) -> str:
    """What went wrong in a few words; "" for a timeout of the deadline, which says nothing more."""
    exc = _innermost(exc)
    if isinstance(exc, CheckFailedError):
        return str(exc)
    if isinstance(exc, TimeoutError) and exc.errno is None:
        return ""
    if type(exc).__module__ == "ssl":
        from pingstate.net.tls_errors import describe_tls_failure  # ssl, 1 MiB

        return describe_tls_failure(cast("SSLError", exc))
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
