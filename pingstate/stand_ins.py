"""Stand-ins for what gunicorn and Flask import and a sidecar never uses.

TLS, which pingstate's worker does not serve, templates and commands in Flask's way are a sixth of
the memory of a sidecar that checks a TCP port. Whoever imports the originals gets them as ever.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

# What Flask's modules import from it; no more than the names are used before a template is.
_TEMPLATING = (
    "DispatchingJinjaLoader", "Environment", "render_template", "render_template_string",
    "stream_template", "stream_template_string",
)  # fmt: skip


def install() -> None:
    """Put them in place, in a process of pingstate's own that has not imported the originals."""
    # The defaults of settings of TLS, and what finds a worker class by its name in a package; no
    # setting of pingstate's needs more.
    passing = {
        "ssl": {"PROTOCOL_TLS": 2, "PROTOCOL_SSLv23": 2, "CERT_NONE": 0},
        "importlib.metadata": {},
    }
    if not {*passing, "gunicorn.config"} & set(sys.modules):
        sys.modules |= {name: _create_module(name, **held) for name, held in passing.items()}
        try:
            import_module("gunicorn.config")
        finally:
            for name in passing:
                del sys.modules[name]
    if "flask" not in sys.modules:
        sys.modules["flask.templating"] = _create_module(
            "flask.templating", **dict.fromkeys(_TEMPLATING), _default_template_ctx_processor=dict
        )
        # An application keeps a group of commands, for `flask` to run.
        sys.modules["flask.cli"] = _create_module("flask.cli", AppGroup=SimpleNamespace)


def _create_module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name, "A stand-in: the original is not used here.")
    vars(module).update(contents)
    return module
