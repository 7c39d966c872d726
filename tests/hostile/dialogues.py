"""What comes before TLS where it must be asked for: endless, dripped, broken off, forged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.hostile.catalogue import UP, UP_SOON, Expected, down, served
from tests.hostile.peers import Peer, noise, server_context, well_behaved
from tests.support.dialogues import SCRIPTS, ldap_response

FAMILY = "Dialogues before TLS"
LATE = down("timeout", says="tls")
FAILS = down("tls", soon=True)
RESETS = down("tls", "connect", soon=True)
ENDLESS = down("tls", "timeout")

# What a good server says; between two of these it is asked something.
TURNS: Mapping[str, tuple[bytes, ...]] = {
    starttls: tuple(SCRIPTS[script][::2])
    for starttls, script in {
        "smtp": "smtp",
        "imap": "imap with news",
        "pop3": "pop3",
        "postgres": "postgres",
        "ldap": "ldap",
    }.items()
}
Turns = tuple[bytes, ...]
Then = Callable[[Peer], None]


def says(turns: Turns, then: Then, every: float | None = None) -> Then:
    """Says each turn, the next one when it is asked for, and then does something else.

    `every` is the seconds before each byte, None for all at once.
    """

    def mode(peer: Peer) -> None:
        for number, turn in enumerate(turns):
            if number and not peer.sock.recv(65536):
                raise ConnectionAbortedError
            peer.send(turn) if every is None else peer.drip(turn, every)
        then(peer)

    return mode


def good(peer: Peer) -> None:
    peer.start_tls(server_context())
    well_behaved(peer)


def plain(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.send(b"250 what is this?\r\n")
    peer.hold()


def dialogue(starttls: str, name: str, what: str, expected: Expected, mode: Then) -> None:
    called, told = f"{starttls}-{name}", f"{starttls}: {what}"
    verdict = {"tls": expected}
    served(FAMILY, verdict, tls=False, name=called, what=told, starttls=starttls)(mode)


def add(starttls: str, turns: Turns) -> None:
    """The ways that every dialogue has to go wrong."""
    injected = (*turns[:-1], turns[-1] + b"250 forged\r\n")
    for name, what, expected, mode in (
        ("good", "a good server", UP_SOON, says(turns, good)),
        ("in-pieces", "a good server, a byte at a time", UP, says(turns, good, every=0.001)),
        ("silent-after-go-ahead", "its go-ahead, then silence", LATE, says(turns, Peer.hold)),
        ("injection", "more in plain text with its go-ahead", FAILS, says(injected, Peer.hold)),
        ("noise", "random bytes", ENDLESS, says((noise(3000),), Peer.hold)),
        ("plain-after-go-ahead", "its go-ahead, then plain text", FAILS, says(turns, plain)),
    ):
        dialogue(starttls, name, what, expected, mode)


def add_turn(starttls: str, turns: Turns, step: int) -> None:
    """The ways to go wrong in one turn of a dialogue."""
    which = f"turn {step + 1} of {len(turns)}"
    half = (*turns[:step], turns[step][: len(turns[step]) // 2])
    none = (*turns[:step], b"")
    line = {"smtp": b"250-x\r\n", "imap": b"* OK x\r\n", "ldap": b"\x30\x82\xff\xff"}.get(
        starttls, b"x"
    )
    one_byte = FAILS if starttls == "postgres" else ENDLESS
    for name, what, expected, mode in (
        ("stalls", "stops in", LATE, says(half, Peer.hold)),
        ("closes", "a bare FIN in", FAILS, says(half, Peer.cut)),
        ("resets", "RST in", RESETS, says(half, Peer.reset)),
        ("drips", "a byte at a time, for ever, in", one_byte, says(none, lambda peer: peer.drip_for_ever(line))),
        ("floods", "bytes without an end in", ENDLESS, says(none, lambda peer: peer.flood(b"x"))),
        ("lines", "lines without an end in", ENDLESS, says(none, lambda peer: peer.flood(line))),
    ):  # fmt: skip
        dialogue(starttls, f"{name}-in-turn-{step + 1}", f"{what} {which}", expected, mode)


for protocol, script in TURNS.items():
    add(protocol, script)
    for number, text in enumerate(script):
        if text:
            add_turn(protocol, script, number)

REFUSALS: Mapping[str, Mapping[str, tuple[bytes, ...]]] = {
    "smtp": {
        "no greeting": (b"554 " + b"no service\r\n",),
        "no extension": (TURNS["smtp"][0], b"250 nothing\r\n"),
        "an old server": (TURNS["smtp"][0], b"500 EHLO?\r\n"),
        "not now": (*TURNS["smtp"][:2], b"454 not available\r\n"),
        "escapes": (b"220 \x1b[2J\x07\r\n", b"250 \x1b]0;owned\x07\r\n"),
        "codes of letters": (b"2x0 hello\r\n",),
        "a code and no more": (b"220\r\n", b"250\r\n"),
    },
    "imap": {
        "bye": (b"* BYE\r\n",),
        "a session already": (b"* PREAUTH\r\n",),
        "no": (TURNS["imap"][0], b"a NO\r\n"),
        "another tag": (TURNS["imap"][0], b"b OK\r\n"),
        "more to say": (TURNS["imap"][0], b"+ go on\r\n"),
    },
    "pop3": {"an error": (b"-ERR\r\n",), "unknown": (TURNS["pop3"][0], b"-ERR what?\r\n")},
    "postgres": {
        "no": (b"", b"N"),
        "no and more": (b"", b"N" + bytes(5000)),
        "an error": (b"", b"E" + b"\xff" * 5000),
    },
    "ldap": {
        "refused": (b"", ldap_response(2)),
        "unsolicited": (b"", ldap_response(52, number=0)),
        "another answer": (b"", ldap_response(0, tag=0x61)),
        "no length": (b"", b"\x30\x80"),
        "a length of lengths": (b"", b"\x30\xff" + b"\xff" * 127),
        "an empty answer": (b"", b"\x30\x00"),
        "zeroes": (b"", bytes(64)),
        "a long result": (
            b"",
            b"\x30\x81\x8c\x02\x01\x01\x78\x81\x86\x0a\x81\x80"
            + b"\xff" * 128
            + b"\x04\x00\x04\x00",
        ),
    },
}
for protocol, answers in REFUSALS.items():
    for why, said in answers.items():
        name = "says-" + why.replace(" ", "-")
        dialogue(protocol, name, f"says no: {why}", FAILS, says(said, Peer.hold))

# --- before it is asked ----------

EARLY = (b"".join(TURNS["smtp"]),)
dialogue("smtp", "all-at-once", "all turns before it is asked", LATE, says(EARLY, Peer.hold))
