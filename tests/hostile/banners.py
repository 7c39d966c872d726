"""TCP services, from slow to absurd."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.hostile.catalogue import UP, UP_SOON, Expected, down, served, streams
from tests.hostile.peers import SECRET, Peer, noise

SSH = "banner_contains:SSH-2.0"
LATE = down("timeout")


def banner(expected: Expected) -> Mapping[str, Expected]:
    return streams(expected)


tcp = partial(served, "Banners", check=SSH)


@tcp(banner(LATE))
def no_banner(peer: Peer) -> None:
    """accepts and says nothing"""
    peer.hold()


@tcp(banner(UP_SOON))
def whole_banner(peer: Peer) -> None:
    """the banner, then silence"""
    peer.send(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    peer.hold()


@tcp(banner(UP_SOON))
def banner_in_pieces(peer: Peer) -> None:
    """the banner in three segments, then silence"""
    peer.pieces(b"SS", b"H-2", b".0-OpenSSH\r\n")
    peer.hold()


@tcp(banner(UP_SOON))
def banner_after_greeting(peer: Peer) -> None:
    """a line of greeting first, then the banner"""
    peer.pieces(b"Authorized users only\r\n", b"SSH-2.0-OpenSSH\r\n")
    peer.hold()


@tcp(banner(UP_SOON))
def banner_then_reset(peer: Peer) -> None:
    """the banner, then RST"""
    peer.pieces(b"SSH-2.0-OpenSSH\r\n")
    peer.reset()


@tcp(banner(UP_SOON))
def banner_then_end(peer: Peer) -> None:
    """the banner, then the end"""
    peer.send(b"SSH-2.0-OpenSSH\r\n")
    peer.close()


@tcp(banner(UP_SOON))
def banner_then_flood(peer: Peer) -> None:
    """the banner, then bytes without an end"""
    peer.send(b"SSH-2.0-OpenSSH\r\n")
    peer.flood(b"and more\r\n")


@tcp(banner(UP))
def dripped_banner(peer: Peer) -> None:
    """the banner, a byte at a time but in time"""
    peer.drip(b"SSH-2.0", every=0.01)
    peer.hold()


@tcp(banner(LATE))
def banner_dripped_for_ever(peer: Peer) -> None:
    """a banner without the text, a byte at a time, for ever"""
    peer.drip_for_ever(b"SSH-1.99 ")


@tcp(banner(down("response", "check", "body", "timeout")))
def endless_banner(peer: Peer) -> None:
    """a banner without the text and without an end"""
    peer.flood(b"SSH-1.99 ")


@tcp(banner(down("response", "check", "body", soon=True)))
def wrong_banner(peer: Peer) -> None:
    """another banner, then the end"""
    peer.send(b"220 mail.test ESMTP\r\n")
    peer.close()


@tcp(banner(down("response", "check", "body", soon=True)))
def banner_cut_short(peer: Peer) -> None:
    """the end in the middle of the banner"""
    peer.send(b"SSH-2")
    peer.close()


@tcp(banner(down("response", "check", "body", soon=True)))
def reset_in_banner(peer: Peer) -> None:
    """RST in the middle of the banner"""
    peer.pieces(b"SSH-2")
    peer.reset()


@tcp(banner(down("response", "check", "body", "connect", soon=True)))
def reset_at_once(peer: Peer) -> None:
    """RST instead of a banner"""
    peer.reset()


@tcp(banner(down("response", "check", "body", soon=True)))
def end_at_once(peer: Peer) -> None:
    """the end instead of a banner"""
    peer.close()


@tcp(banner(down("response", "check", "body", soon=True)))
def binary_banner(peer: Peer) -> None:
    """random bytes, then the end"""
    peer.send(noise(3000))
    peer.close()


@tcp(banner(UP_SOON))
def text_in_binary_banner(peer: Peer) -> None:
    """the text between zero bytes and bytes that are not UTF-8, then silence"""
    peer.send(b"\0\xff\xfeSSH-2.0\0\x80\x1b[31m")
    peer.hold()


@tcp(banner(down("response", "check", "body", soon=True)))
def banner_of_escapes(peer: Peer) -> None:
    """terminal escapes, carriage returns and bidi marks, then the end"""
    peer.send(b"\x1b[2J\x1b]0;owned\x07\r\x9b31m\x7f" + "\u202e\u2028\u0085".encode() * 100)
    peer.close()


@served("Banners", banner(UP_SOON), check=None)
def banner_unread(peer: Peer) -> None:
    """a banner without an end, to a check of the connect alone"""
    peer.flood(b"and more ")


@served("Banners", banner(UP_SOON), check="banner_contains:grüße")
def banner_cut_in_a_letter(peer: Peer) -> None:
    """a UTF-8 banner, one letter of it in two segments"""
    text = "viele grüße".encode()
    peer.pieces(text[:9], text[9:])
    peer.hold()


# --- what was sent ----------

for name, send in {
    "a-command": f"AUTH {SECRET}\r\n",
    "two-commands": f"AUTH {SECRET}\r\nPING\r\n",
}.items():

    @served(
        "Secrets",
        banner(down("check", soon=True)),
        name=f"echo-{name}",
        what=f"what was sent, `{send!r}`, and the end",
        check="banner_contains:+OK",
        send=send.encode(),
    )
    def echoes(peer: Peer) -> None:
        peer.send(b"-ERR unknown command: " + peer.sock.recv(65536))
        peer.close()

    @served(
        "Secrets",
        banner(LATE),
        name=f"echo-{name}-and-hold",
        what=f"what was sent, `{send!r}`, and silence",
        check="banner_contains:+OK",
        send=send.encode(),
    )
    def echoes_and_holds(peer: Peer) -> None:
        peer.send(b"-ERR unknown command: " + peer.sock.recv(65536))
        peer.hold()

    @served(
        "Secrets",
        banner(down("check", soon=True)),
        name=f"echo-word-of-{name}",
        what=f"the second word of what was sent, `{send!r}`, and the end",
        check="banner_contains:+OK",
        send=send.encode(),
    )
    def echoes_a_word(peer: Peer) -> None:
        word = peer.sock.recv(65536).split()[1]
        peer.send(b"-ERR no password is " + word + b"\r\n")
        peer.close()
