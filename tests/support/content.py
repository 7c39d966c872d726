"""Conditions on content, evaluated on pieces of bytes as they come."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable

from pingstate.net.deadline import Deadline
from pingstate.probes.checks import parse_check
from pingstate.probes.conditions import ContentCondition, Outcome
from pingstate.probes.decoding import BodyDecoder
from pingstate.probes.stream import Content, read_until_decided


def evaluate(
    check: str,
    *pieces: bytes,
    content_type: str | None = None,
    limit: int = 65536,
    timeout: float = 5.0,
    ends: bool = True,
) -> Outcome:
    """The outcome of a check on a body, or a banner, that comes in these pieces.

    Without `ends` nothing comes after the last piece, and waiting for it is an AssertionError.
    """
    on_body = check.removeprefix("not:").startswith(("body", "json"))
    protocol = "http" if on_body else "tcp"
    condition = parse_check(protocol, check)
    assert isinstance(condition, ContentCondition)
    decoder = (
        BodyDecoder(content_type)
        if on_body
        else codecs.getincrementaldecoder("utf-8")("surrogateescape")
    )
    content = Content(decoder, Deadline(timeout).remaining, limit, "PINGSTATE_MAX_BODY_BYTES")
    outcomes = read_until_decided(reader(pieces, ends=ends), [condition], content)
    assert len(outcomes) == 1
    return outcomes[0]


def reader(pieces: Iterable[bytes], *, ends: bool = True) -> Callable[[int, float | None], bytes]:
    """A read function for these pieces; each is given in as many calls as it takes."""
    left = [piece for piece in pieces if piece]

    def read(size: int, _: float | None) -> bytes:
        if not left:
            assert ends, "read on though nothing more comes"
            return b""
        piece = left.pop(0)
        if len(piece) > size:
            left.insert(0, piece[size:])
        return piece[:size]

    return read
