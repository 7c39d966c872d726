"""What every mode is expected to come to; the modes' modules register themselves here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pingstate import probe
from tests.hostile.peers import INSIDE, SILENT, Mode, ca_file, serving

MakeProbe = Callable[..., Any]


@dataclass(frozen=True)
class Expected:
    """A verdict; `ok` is None where either is right.

    `phases` are those that a failure may name (any, if empty); `soon` is within half the timeout;
    `says` is part of the detail; `alone` is how it begins where it is a user's own.
    """

    ok: bool | None
    phases: tuple[str, ...] = ()
    soon: bool = False
    says: str = ""
    alone: str = ""


UP = Expected(ok=True)
EITHER = Expected(ok=None, soon=True)
UP_SOON = Expected(ok=True, soon=True)


def down(*phases: str, soon: bool = False, says: str = "", alone: str = "") -> Expected:
    return Expected(ok=False, phases=phases, soon=soon, says=says, alone=alone)


def streams(expected: Expected) -> Mapping[str, Expected]:
    """The same for a target that speaks first, in plain text and inside TLS."""
    return dict.fromkeys(SILENT, expected)


@dataclass(frozen=True)
class Target:
    """Where a probe is sent, and what of its arguments is known only once the server runs."""

    address: str
    port: int
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Case:
    """One mode against one protocol's probe."""

    name: str
    family: str
    what: str
    protocol: str
    open: Callable[[float], AbstractContextManager[Target]]  # takes the probe's timeout in seconds
    expected: Expected
    options: Mapping[str, Any]
    repeat: int = 1  # checks in all, by so many workers
    workers: int = 1
    namespace: bool = False  # needs a network namespace with a resolver of ours
    make: MakeProbe = probe

    @property
    def id(self) -> str:
        return f"{self.name}-{self.protocol}"


CASES: list[Case] = []

# A TCP probe is sent to the HTTP modes too. It waits for a text that none of them says.
NEVER_SAID = "banner_contains:nobody says this"


def register(
    opener: Callable[[str, float], AbstractContextManager[Target]],
    name: str,
    family: str,
    what: str,
    expected: Mapping[str, Expected],
    options: Mapping[str, Any],
    *,
    repeat: int = 1,
    workers: int = 1,
    namespace: bool = False,
    make: MakeProbe = probe,
) -> None:
    """Add one case for each protocol in `expected`; `opener` takes the protocol and the timeout."""
    for protocol, verdict in expected.items():
        if any(case.id == f"{name}-{protocol}" for case in CASES):
            raise ValueError(f"there are two modes called {name}")
        CASES.append(
            Case(
                name,
                family,
                what.strip().rstrip("."),
                protocol,
                partial(opener, protocol),
                verdict,
                options,
                repeat,
                workers,
                namespace,
                make,
            )
        )


def served(
    family: str,
    expected: Mapping[str, Expected],
    *,
    tls: bool = True,
    host: str = "127.0.0.1",
    name: str = "",
    what: str = "",
    **options: Any,
) -> Callable[[Mode], Mode]:
    """Register a mode that is a conversation; with `tls`, https and tls find it inside a proper TLS."""

    def add(mode: Mode) -> Mode:
        @contextlib.contextmanager
        def opener(protocol: str, timeout: float) -> Iterator[Target]:
            inside = tls and protocol in INSIDE
            with serving(mode, protocol=protocol, timeout=timeout, tls=inside, host=host) as port:
                yield Target(host, port, {"ca_file": ca_file()} if protocol in INSIDE else {})

        register(
            opener,
            name or mode.__name__.replace("_", "-"),
            family,
            what or (mode.__doc__ or "").splitlines()[0],
            expected,
            options,
        )
        return mode

    return add


def answer(
    family: str, expected: Expected, *, name: str = "", what: str = "", **options: Any
) -> Callable[[Mode], Mode]:
    """Register an answer to an HTTP request: to http, inside TLS to https, unasked to tcp."""

    def add(mode: Mode) -> Mode:
        served(family, {"tcp": down()}, name=name, what=what, check=NEVER_SAID)(mode)
        return served(
            family, {"http": expected, "https": expected}, name=name, what=what, **options
        )(mode)

    return add


def load() -> list[Case]:
    """Every case, in the order in which the modules declare them."""
    import tests.hostile.answers
    import tests.hostile.banners
    import tests.hostile.callables
    import tests.hostile.connects
    import tests.hostile.dialogues
    import tests.hostile.handshakes
    import tests.hostile.names
    import tests.hostile.verdicts  # noqa: F401  # each registers its modes when it is imported

    return CASES
