"""Checks that are negated, compare, search or wait, against targets that make that hard."""

from __future__ import annotations

from functools import partial

from tests.hostile.answers import CHUNKED, LATE, OK, chunk, sized
from tests.hostile.catalogue import UP, UP_SOON, answer, down, served, streams
from tests.hostile.peers import Peer

FAMILY = "Checks with operators"
FAILS = down("check", soon=True)
ABSENT = "not:body_contains:maintenance"
EXPONENTIAL = "(a+)+$"
ALMOST = b"a" * 30_000 + b"b"

http = partial(answer, FAMILY)


@http(UP_SOON, check=ABSENT)
def absent_in_a_whole_body(peer: Peer) -> None:
    """a body without the unwanted text, and its end"""
    peer.request()
    peer.send(sized(b"ping pong"))
    peer.close()


@http(FAILS, check=ABSENT)
def unwanted_text_in_pieces(peer: Peer) -> None:
    """the unwanted text in two segments, then silence"""
    peer.request()
    peer.pieces(OK + b"\r\nin mainte", b"nance")
    peer.hold()


@http(down("check"), check=ABSENT)
def absent_in_an_endless_body(peer: Peer) -> None:
    """a body without the unwanted text and without an end"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.flood(b"ping pong ")


@http(LATE, check=ABSENT)
def absent_in_a_dripped_body(peer: Peer) -> None:
    """a body without the unwanted text, a byte at a time, for ever"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.drip_for_ever(b"ping pong ")


@http(LATE, check=ABSENT)
def absent_and_silence(peer: Peer) -> None:
    """half a body without the unwanted text, then silence"""
    peer.request()
    peer.send(OK + b"\r\nping pong")
    peer.hold()


@http(FAILS, check="not:json:/errors")
def absent_in_no_json(peer: Peer) -> None:
    """a page of HTML to a check that wants a value to be absent from JSON"""
    peer.request()
    peer.send(sized(b"<!doctype html><title>502</title>"))
    peer.close()


@http(down("check"), check="not:json:/errors")
def absent_in_endless_json(peer: Peer) -> None:
    """JSON without the unwanted value and without an end"""
    peer.request()
    peer.send(CHUNKED)
    while not peer.stop.is_set():
        peer.send(chunk(b'{"fine": [' + b"1, " * 20_000))


for name, body in {
    "arrays-in-arrays": b"[" * 60_000,
    "a-number-of-60000-digits": b'{"n": ' + b"9" * 60_000 + b"}",
    "more-than-infinity": b'{"n": 1e999}',
    "no-number": b'{"n": NaN}',
    "the-number-as-text": b'{"n": "7"}',
    "keys-that-repeat": b'{"n": 7, "n": null}',
}.items():
    for check in ("json:/n>5", "not:json:/n>5"):

        @http(
            FAILS,
            name=f"compares-{name}{'-negated' if check.startswith('not') else ''}",
            what=f"JSON of {name.replace('-', ' ')}, to `{check}`",
            check=check,
        )
        def compared(peer: Peer, body: bytes = body) -> None:
            peer.request()
            peer.send(sized(body))
            peer.close()


for name, check, answered in (
    ("body", f"body_matches:^{EXPONENTIAL}", sized(ALMOST)),
    ("body-negated", f"not:body_matches:{EXPONENTIAL}", sized(ALMOST)),
    ("header", f"header_matches:X-Long={EXPONENTIAL}", sized(b"", b"X-Long: " + ALMOST)),
    (
        "header-negated",
        f"not:header_matches:X-Long={EXPONENTIAL}",
        sized(b"", b"X-Long: " + ALMOST),
    ),
    ("json", f"json_matches:/a={EXPONENTIAL}", sized(b'{"a": "' + ALMOST + b'"}')),
    ("unfinished-body", "body_matches:^(a+)+c", OK + b"\r\n" + ALMOST[:-1] + b"d"),
):

    @http(
        LATE,
        name=f"exponential-pattern-{name}",
        what=f"what the pattern of `{check}` takes for ever to search",
        check=check,
    )
    def exponential(peer: Peer, answered: bytes = answered) -> None:
        peer.request()
        peer.send(answered)
        peer.hold()


@http(FAILS, check="body_matches:^pong")
def hopeless_flood(peer: Peer) -> None:
    """a body without an end that begins otherwise than the anchored pattern"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.flood(b"ping ")


@http(FAILS, check="body_matches:^pong")
def hopeless_drip(peer: Peer) -> None:
    """a body, dripped for ever, that begins otherwise than the anchored pattern"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.drip_for_ever(b"ping ")


@http(UP_SOON, check="header_matches:X-Many=^last$")
def last_of_many_lines(peer: Peer) -> None:
    """a header of 3,000 lines, of which the last is the wanted one"""
    peer.request()
    peer.send(sized(b"", *[b"X-Many: first"] * 3000, b"X-Many: last"))
    peer.close()


# --- what stays open, and what a TCP target must not say ----------

stream = partial(served, FAMILY)


@stream(streams(UP_SOON), check="open:0.1")
def stays_open(peer: Peer) -> None:
    """accepts and says nothing"""
    peer.hold()


@stream(streams(FAILS), check="open:0.9")
def closes_at_once(peer: Peer) -> None:
    """accepts and closes"""
    peer.close()


@stream(streams(down("response", "connect", soon=True)), check="open:0.9")
def resets_at_once(peer: Peer) -> None:
    """accepts and resets"""
    peer.reset()


@stream(streams(FAILS), check="open:0.9")
def closes_after_a_while(peer: Peer) -> None:
    """accepts and closes shortly before it was open for long enough"""
    peer.stop.wait(0.05)
    peer.close()


@stream(streams(UP_SOON), check="open:0.9")
def speaks_and_closes(peer: Peer) -> None:
    """says one byte and closes"""
    peer.send(b"x")
    peer.close()


@stream(streams(UP_SOON), check="open:0.9")
def drips_while_open(peer: Peer) -> None:
    """says a byte at a time, for ever"""
    peer.drip_for_ever(b"x")


@stream(streams(UP_SOON), check="open:0.9")
def floods_while_open(peer: Peer) -> None:
    """says more than anyone reads"""
    peer.flood(b"x")


@stream(streams(FAILS), check="not:open:0.1")
def stays_open_unwanted(peer: Peer) -> None:
    """stays open, to a check that wants it closed"""
    peer.hold()


@stream(streams(LATE), check=["open:0.1", "banner_contains:x"])
def open_and_silent(peer: Peer) -> None:
    """stays open, and never says what else is wanted"""
    peer.hold()


UNSAID = "not:banner_contains:-ERR"


@stream(streams(FAILS), check=UNSAID)
def unwanted_banner_in_pieces(peer: Peer) -> None:
    """the unwanted text in two segments, then silence"""
    peer.pieces(b"-E", b"RR\r\n")
    peer.hold()


@stream(streams(UP), check=UNSAID)
def unsaid_and_silence(peer: Peer) -> None:
    """something else than the unwanted text, then silence"""
    peer.send(b"+OK\r\n")
    peer.hold()


@stream(streams(UP), check=UNSAID)
def unsaid_and_drip(peer: Peer) -> None:
    """something else than the unwanted text, a byte at a time, for ever"""
    peer.drip_for_ever(b"+OK")


@stream(streams(down("check")), check=UNSAID)
def unsaid_and_flood(peer: Peer) -> None:
    """something else than the unwanted text, without an end"""
    peer.flood(b"+OK")


@stream(streams(LATE), check=UNSAID)
def says_nothing_at_all(peer: Peer) -> None:
    """nothing, to a check of what must not be said"""
    peer.hold()


@stream(streams(UP_SOON), check=["banner_contains:+OK", UNSAID])
def said_and_unsaid(peer: Peer) -> None:
    """the wanted text and not the unwanted one, then silence"""
    peer.pieces(b"+", b"OK\r\n")
    peer.hold()


@stream(streams(FAILS), check=r"banner_matches:^\+OK")
def hopeless_banner(peer: Peer) -> None:
    """what the anchored pattern can no longer match, then silence"""
    peer.send(b"-ERR\r\n")
    peer.hold()


@stream(streams(UP_SOON), check=r"banner_matches:^\x84\xff")
def bytes_of_a_banner(peer: Peer) -> None:
    """two bytes that are no text, in two segments"""
    peer.pieces(b"\x84", b"\xff")
    peer.hold()


@stream(streams(LATE), check=r"banner_matches:^(a+)+\x84$")
def exponential_pattern_banner(peer: Peer) -> None:
    """what the pattern takes for ever to search"""
    peer.send(ALMOST[:-1] + b"\x84b")
    peer.hold()
