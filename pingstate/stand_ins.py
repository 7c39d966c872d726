"""Stand-ins for what gunicorn and Flask import and a sidecar never uses.

TLS, which pingstate's worker does not serve, templates and commands in Flask's way are a sixth of
the memory of a sidecar that checks a TCP port. Whoever uses the originals gets them as ever.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What Flask's modules import from it, each to be called.
_TEMPLATING = (
    "DispatchingJinjaLoader", "Environment", "_default_template_ctx_processor", "render_template",
    "render_template_string", "stream_template", "stream_template_string",
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
        templating = {name: _Late("flask.templating", name) for name in _TEMPLATING}
        _late["flask.templating"] = _create_late_module("flask.templating", **templating)
        group = _LateGroup("flask.cli", "AppGroup")
        _late["flask.cli"] = _create_late_module("flask.cli", AppGroup=group)
        sys.meta_path.insert(0, _Finder())


_late: dict[str, ModuleType] = {}
"""The stand-ins whose originals nobody has used yet."""

_lock = threading.RLock()


class _Finder:
    """Imports them, so that each is an attribute of its package as well."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in _late else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _late.get(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Late:
    """A function or class whose module is loaded when it is called or inherited from."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _original(self) -> Any:
        return getattr(_load(self._module), self._name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._original()(*args, **options)

    def __mro_entries__(self, _bases: Any) -> tuple[Any, ...]:
        return (self._original(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._original())


class _LateGroup(_Late):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return super().__call__(*args, **options) if args or options else _Group()

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, _Group) or super().__instancecheck__(instance)


class _Group:
    """The commands that an application keeps for `flask`: Flask's own once there are any."""

    name: str | None = None

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if type(self) is _Group:
                group = _load("flask.cli").AppGroup
                vars(self).update(vars(group(self.name)))
                self.__class__ = group
        return getattr(self, name)


def _load(name: str) -> Any:
    """The original."""
    with _lock:
        if _late.pop(name, None) is not None:
            del sys.modules[name]
        return import_module(name)


def _create_late_module(name: str, **contents: Any) -> ModuleType:
    def load(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(_load(name), attribute)

    return _create_module(name, **contents, __getattr__=load)


def _create_module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name, "A stand-in: the original is not used here.")
    vars(module).update(contents)
    return module
