"""Import an object by its `module:attribute` path."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pingstate.text import describe_exception


def import_from_string(path: str) -> Any:
    """The object behind `module:attribute`, imported. Raises ValueError when there is none."""
    name, _, attribute = path.partition(":")
    if not name or not attribute:
        raise ValueError(f"{path!r} is not of the form module:attribute")
    try:
        found: Any = import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as exc:  # the module is the user's
        raise ValueError(f"{path!r} can't be loaded: {describe_exception(exc)}") from exc
    return found
