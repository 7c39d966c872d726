"""Import modules when they are first used, where Python can (3.15, PEP 810).

A start then loads two thirds of the modules that its dependencies name. It is for pingstate's own
processes: a program that imports pingstate decides for itself. Before 3.15 nothing changes.
"""

from __future__ import annotations

import sys
from importlib import import_module

# A user's module is imported whole and at once, since it may be imported for what that does; so is
# what it imports that is not named here.
_KNOWN = sys.stdlib_module_names | {
    "_regex", "blinker", "certifi", "charset_normalizer", "click", "flask", "gunicorn", "idna",
    "itsdangerous", "jinja2", "markupsafe", "pingstate", "prometheus_client", "regex", "requests",
    "urllib3", "werkzeug",
}  # fmt: skip

# The latency of the first check is the target's, and the first request may be a liveness probe's:
# neither waits for an import.
_EAGER = ("pingstate.monitor", "pingstate.net", "pingstate.probes", "pingstate.worker")
_FIRST_CHECK = ("requests._types", "urllib3.util.request")
_FIRST_REQUEST = (
    "email.utils", "gunicorn.http.body", "gunicorn.http.message", "gunicorn.http.parser",
    "gunicorn.http.unreader", "gunicorn.http.wsgi",
)  # fmt: skip


def enable() -> None:
    """Let this process import known modules lazily from here on."""
    if sys.version_info >= (3, 15):
        sys.set_lazy_imports_filter(is_lazy)
        sys.set_lazy_imports("all")


def is_lazy(importing: str | None, imported: str, _names: tuple[str, ...] | None = None) -> bool:
    """Whether a module (`importing`) may have another (`imported`) loaded at its first use.

    `importing` is None for code of no module, as `exec` and templates run it.
    """
    if importing is None or (importing.startswith(_EAGER) and imported != "ssl"):
        return False
    return importing.partition(".")[0] in _KNOWN and imported.partition(".")[0] in _KNOWN


def load_first_uses() -> None:
    """Load what libraries leave to the first check, where it is HTTP's, and the first request."""
    for name in _FIRST_REQUEST + (_FIRST_CHECK if "requests" in sys.modules else ()):
        import_module(name)
