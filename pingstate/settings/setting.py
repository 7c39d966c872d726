"""What a declaration of a setting holds, and how one is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PREFIX = "PINGSTATE_"


@dataclass(frozen=True)
class Setting:
    """One declaration.

    `parse` makes the value of a text, or of one line of it where the setting is `repeatable`, and
    raises InvalidValueError. `redact` makes of a text what anyone may read. `default_text` is how
    the default reads. An empty text is "not set", unless the setting `refuses_empty`.
    """

    name: str
    default: Any
    section: str
    parse: Callable[[str], Any]
    metavar: str
    help: str
    default_text: str
    redact: Callable[[str], str]
    repeatable: bool
    refuses_empty: bool

    @property
    def flag(self) -> str:
        """The command line's word for it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's word for it."""
        return PREFIX + self.name.upper()

    @property
    def is_path(self) -> bool:
        """Whether it names a file."""
        return self.metavar == "FILE"

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.default, bool)


def declare(
    section: str,
    default: Any,
    parse: Callable[[str], Any],
    metavar: str,
    help: str,
    *,
    default_text: str = "",
    redact: Callable[[str], str] = str,
    repeatable: bool = False,
    refuses_empty: bool = False,
) -> Any:
    """A field of a dataclass, whose metadata is the rest of its `Setting`."""
    return field(
        default=default,
        metadata={
            "section": section,
            "parse": parse,
            "metavar": metavar,
            "help": help,
            "default_text": default_text or f"`{default}`",
            "redact": redact,
            "repeatable": repeatable,
            "refuses_empty": refuses_empty,
        },
    )
