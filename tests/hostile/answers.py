"""HTTP answers, from slow to absurd: in the clear, inside TLS, and to a TCP probe."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tests.hostile.catalogue import EITHER, UP, UP_SOON, answer, down, served
from tests.hostile.peers import SECRET, Peer, noise

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PONG = "body_contains:pong"
LATE = down("timeout")
BROKEN = down("response", soon=True)
COOKIE = b"Set-Cookie: x=y;" + b"a;" * 32000
CAP = 65536  # bytes of decoded body that a probe reads at most


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def sized(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with its Content-Length."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


# --- dripped ----------


@answer("Dripped", LATE)
def drips_status_line(peer: Peer) -> None:
    """sends the status line a byte at a time, for ever"""
    peer.request()
    peer.send(b"HTTP/1.1 200 ")
    peer.drip_for_ever(b"OK ")


@answer("Dripped", LATE)
def drips_head(peer: Peer) -> None:
    """sends header lines a byte at a time, for ever"""
    peer.request()
    peer.send(OK)
    peer.drip_for_ever(b"X-Drip: 1\r\n")


@answer("Dripped", LATE)
def drips_everything(peer: Peer) -> None:
    """sends a good answer, a byte at a time from its first one"""
    peer.request()
    peer.drip(sized(b"pong", b"X-Padding: " + b"x" * 2000))


@answer("Dripped", LATE)
def drips_interim_answer(peer: Peer) -> None:
    """sends the head of a 103 a byte at a time, for ever"""
    peer.request()
    peer.send(b"HTTP/1.1 103 Early Hints\r\n")
    peer.drip_for_ever(b"Link: </x>; rel=preload\r\n")


@answer("Dripped", LATE)
def drips_interim_answers(peer: Peer) -> None:
    """sends a whole 100 Continue every now and then, and never the answer"""
    peer.request()
    while not peer.stop.wait(0.04):
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")


@answer("Dripped", LATE, check=PONG)
def drips_body(peer: Peer) -> None:
    """sends a body without an end a byte at a time"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.drip_for_ever(b"ping ")


@answer("Dripped", UP_SOON)
def drips_body_unread(peer: Peer) -> None:
    """the same to a check of the status alone, which needs no body"""
    drips_body(peer)


@answer("Dripped", LATE, check=PONG)
def drips_sized_body(peer: Peer) -> None:
    """promises 1,000 bytes and sends them a byte at a time"""
    peer.request()
    peer.send(OK + b"Content-Length: 1000\r\n\r\n")
    peer.drip_for_ever(b"ping ")


@answer("Dripped", LATE, check=PONG)
def drips_one_byte_chunks(peer: Peer) -> None:
    """sends a chunk of one byte every now and then"""
    peer.request()
    peer.send(CHUNKED)
    while not peer.stop.wait(0.04):
        peer.send(chunk(b"x"))


@answer("Dripped", LATE, check=PONG)
def drips_inside_a_chunk(peer: Peer) -> None:
    """sends the data of one large chunk a byte at a time"""
    peer.request()
    peer.send(CHUNKED + b"10000\r\n")
    peer.drip_for_ever(b"ping ")


@answer("Dripped", LATE, check=PONG)
def drips_chunk_size(peer: Peer) -> None:
    """sends the digits of a chunk's size a byte at a time, for ever"""
    peer.request()
    peer.send(CHUNKED)
    peer.drip_for_ever(b"0")


@answer("Dripped", LATE, check=PONG)
def drips_chunk_extension(peer: Peer) -> None:
    """sends the extension of a chunk a byte at a time, for ever"""
    peer.request()
    peer.send(CHUNKED + b"4;x=")
    peer.drip_for_ever(b"y")


@answer("Dripped", LATE, check=PONG)
def drips_trailers(peer: Peer) -> None:
    """sends the trailers of a body without the text a byte at a time, for ever"""
    peer.request()
    peer.send(CHUNKED + chunk(b"ping") + b"0\r\n")
    peer.drip_for_ever(b"X-Trailer: 1\r\n")


@answer("Dripped", LATE, check=PONG)
def drips_gzip(peer: Peer) -> None:
    """sends a gzip body a byte at a time"""
    peer.request()
    peer.send(OK + b"Content-Encoding: gzip\r\n\r\n")
    peer.drip(gzip.compress(noise(4000)))


# --- silent ----------


@answer("Silent", LATE)
def says_nothing(peer: Peer) -> None:
    """takes the request and never answers"""
    peer.request()
    peer.hold()


@answer("Silent", LATE)
def stalls_in_status_line(peer: Peer) -> None:
    """stops in the middle of the status line"""
    peer.request()
    peer.send(b"HTTP/1.1 20")
    peer.hold()


@answer("Silent", LATE)
def stalls_in_head(peer: Peer) -> None:
    """stops in the middle of the head"""
    peer.request()
    peer.send(OK + b"X-Half: ")
    peer.hold()


@answer("Silent", LATE, check=PONG)
def stalls_before_body(peer: Peer) -> None:
    """stops after the head"""
    peer.request()
    peer.send(OK + b"Content-Length: 4\r\n\r\n")
    peer.hold()


@answer("Silent", LATE, check=PONG)
def stalls_in_body(peer: Peer) -> None:
    """stops in the middle of the body"""
    peer.request()
    peer.send(OK + b"Content-Length: 400\r\n\r\npo")
    peer.hold()


@answer("Silent", LATE)
def never_reads(peer: Peer) -> None:
    """accepts, and neither reads nor writes"""
    peer.stop.wait()


# --- endless ----------

ENDLESS_HEAD = down("response", "timeout")
ENDLESS_BODY = down("body", "check", "timeout")


@answer("Endless", ENDLESS_HEAD)
def endless_reason(peer: Peer) -> None:
    """a status line without an end"""
    peer.request()
    peer.send(b"HTTP/1.1 200 ")
    peer.flood(b"very ")


@answer("Endless", ENDLESS_HEAD)
def endless_header_lines(peer: Peer) -> None:
    """header lines without an end"""
    peer.request()
    peer.send(OK)
    peer.flood(b"X-Line: and another\r\n")


@answer("Endless", ENDLESS_HEAD)
def endless_header_line(peer: Peer) -> None:
    """one header line without an end"""
    peer.request()
    peer.send(OK + b"X-Line: ")
    peer.flood(b"and more ")


@answer("Endless", ENDLESS_HEAD)
def endless_folded_header(peer: Peer) -> None:
    """one header folded over lines without an end"""
    peer.request()
    peer.send(OK + b"X-Line: and\r\n")
    peer.flood(b" more\r\n")


@answer("Endless", ENDLESS_HEAD)
def endless_continues(peer: Peer) -> None:
    """100 Continue without an end"""
    peer.request()
    peer.flood(b"HTTP/1.1 100 Continue\r\n\r\n")


@answer("Endless", ENDLESS_HEAD)
def endless_early_hints(peer: Peer) -> None:
    """103 Early Hints, each with a large head, without an end"""
    peer.request()
    peer.flood(b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 2000 + b">\r\n\r\n")


@answer("Endless", ENDLESS_HEAD)
def endless_empty_lines(peer: Peer) -> None:
    """empty lines instead of a status line, without an end"""
    peer.request()
    peer.flood(b"\r\n")


@answer("Endless", ENDLESS_HEAD)
def endless_noise(peer: Peer) -> None:
    """random bytes without an end"""
    peer.request()
    peer.flood(noise(65536))


@answer("Endless", ENDLESS_HEAD)
def endless_zeros(peer: Peer) -> None:
    """zero bytes without an end"""
    peer.request()
    peer.flood(b"\0")


@answer("Endless", BROKEN)
def head_of_1_mb(peer: Peer) -> None:
    """a head of 15 lines of 65,000 bytes, properly ended"""
    peer.request()
    peer.send(sized(b"pong", *(b"X-Line-%d: " % n + b"x" * 65000 for n in range(15))))
    peer.close()


@answer("Endless", BROKEN)
def head_of_1_mb_of_cookies(peer: Peer) -> None:
    """a head of 15 cookies of 32,000 attributes each, properly ended"""
    peer.request()
    peer.send(sized(b"pong", *[COOKIE] * 15))
    peer.close()


@answer("Endless", UP_SOON)
def head_of_60_kb(peer: Peer) -> None:
    """a head of 60 lines of 1,000 bytes"""
    peer.request()
    peer.send(sized(b"pong", *(b"X-Line-%d: " % n + b"x" * 1000 for n in range(60))))
    peer.close()


@answer("Endless", UP_SOON)
def cookie_of_60_kb(peer: Peer) -> None:
    """a cookie of 30,000 attributes"""
    peer.request()
    peer.send(sized(b"pong", COOKIE[:60_000]))
    peer.close()


@answer("Endless", UP)
def ten_redirects_with_cookies_of_60_kb(peer: Peer) -> None:
    """ten redirects with a cookie of 30,000 attributes each, then a good answer"""
    step = int(peer.path()[1:] or "0")
    location = b"Location: /%d" % (step + 1)
    found = sized(b"", COOKIE[:60_000], location, status=b"302 Found")
    peer.send(sized(b"pong") if step == 10 else found)
    peer.close()


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_body(peer: Peer) -> None:
    """a body without a length and without an end"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.flood(b"ping ")


@answer("Endless", UP_SOON)
def endless_body_unread(peer: Peer) -> None:
    """the same to a check of the status alone"""
    endless_body(peer)


@answer("Endless", ENDLESS_BODY, check=PONG)
def two_gib_body(peer: Peer) -> None:
    """a body with a Content-Length of 2 GiB, sent at full speed"""
    peer.request()
    peer.send(OK + b"Content-Length: 2147483648\r\n\r\n")
    peer.flood(b"ping ")


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_chunks(peer: Peer) -> None:
    """chunks without an end"""
    peer.request()
    peer.send(CHUNKED)
    peer.flood(chunk(b"ping " * 1000))


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_tiny_chunks(peer: Peer) -> None:
    """chunks of one byte without an end"""
    peer.request()
    peer.send(CHUNKED)
    peer.flood(chunk(b"x"))


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_chunk(peer: Peer) -> None:
    """one chunk of 16 EiB"""
    peer.request()
    peer.send(CHUNKED + b"ffffffffffffffff\r\n")
    peer.flood(b"ping ")


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_chunk_size(peer: Peer) -> None:
    """the digits of a chunk's size without an end"""
    peer.request()
    peer.send(CHUNKED)
    peer.flood(b"0")


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_chunk_extension(peer: Peer) -> None:
    """the extension of a chunk without an end"""
    peer.request()
    peer.send(CHUNKED + b"4;x=")
    peer.flood(b"y")


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_trailers(peer: Peer) -> None:
    """trailer lines without an end"""
    peer.request()
    peer.send(CHUNKED + chunk(b"ping") + b"0\r\n")
    peer.flood(b"X-Trailer: and another\r\n")


@answer("Endless", ENDLESS_BODY, check=PONG)
def endless_trailer(peer: Peer) -> None:
    """one trailer line without an end"""
    peer.request()
    peer.send(CHUNKED + chunk(b"ping") + b"0\r\nX-Trailer: ")
    peer.flood(b"and more ")


# --- the text of body_contains ----------


@answer("Text in the body", down("check", soon=True), check="json:/0=1")
def json_of_empty_objects(peer: Peer) -> None:
    """64 KiB of JSON that is nothing but objects in objects"""
    peer.request()
    peer.send(sized(b"[" + b'{"":{}},' * 8191 + b"0]"))
    peer.close()


@answer("Text in the body", down("check", soon=True), check="json:/0=1")
def json_of_small_objects(peer: Peer) -> None:
    """64 KiB of JSON, of as many objects as are still read"""
    peer.request()
    peer.send(sized(b"[" + b'{"":{}  },' * 4000 + b"0]"))
    peer.close()


@answer("Text in the body", UP_SOON, check=PONG)
def text_then_silence(peer: Peer) -> None:
    """the text, then silence without an end of the body"""
    peer.request()
    peer.send(OK + b"\r\nping pong")
    peer.hold()


@answer("Text in the body", UP_SOON, check=PONG)
def text_then_drip(peer: Peer) -> None:
    """the text, then a body dripped for ever"""
    peer.request()
    peer.send(OK + b"\r\nping pong")
    peer.drip_for_ever(b"ping ")


@answer("Text in the body", UP_SOON, check=PONG)
def text_then_flood(peer: Peer) -> None:
    """the text, then a body without an end"""
    peer.request()
    peer.send(OK + b"\r\nping pong")
    peer.flood(b"ping ")


@answer("Text in the body", UP_SOON, check=PONG)
def text_in_unfinished_chunk(peer: Peer) -> None:
    """the text inside a chunk that never ends"""
    peer.request()
    peer.send(CHUNKED + b"10000\r\nping pong")
    peer.hold()


@answer("Text in the body", UP_SOON, check=PONG)
def text_in_pieces(peer: Peer) -> None:
    """the text in four segments, then silence"""
    peer.request()
    peer.pieces(OK + b"\r\np", b"o", b"n", b"g")
    peer.hold()


@answer("Text in the body", UP_SOON, check=PONG)
def text_over_chunks(peer: Peer) -> None:
    """the text in four chunks, then silence"""
    peer.request()
    peer.send(CHUNKED)
    peer.pieces(*(chunk(bytes([byte])) for byte in b"pong"))
    peer.hold()


@answer("Text in the body", UP_SOON, check=PONG)
def text_in_unfinished_gzip(peer: Peer) -> None:
    """the text in a gzip stream that is flushed but never ends"""
    peer.request()
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"ping pong") + packer.flush(zlib.Z_SYNC_FLUSH)
    peer.send(OK + b"Content-Encoding: gzip\r\n\r\n" + packed)
    peer.hold()


@answer("Text in the body", UP, check=PONG)
def text_ends_at_the_cap(peer: Peer) -> None:
    """the text in the last bytes that are read, then silence"""
    peer.request()
    peer.send(OK + b"\r\n" + b"x" * (CAP - 4) + b"pong")
    peer.hold()


@answer("Text in the body", down("body", "check"), check=PONG)
def text_over_the_cap(peer: Peer) -> None:
    """the text beyond the bytes that are read"""
    peer.request()
    peer.send(OK + b"\r\n" + b"x" * (CAP - 3) + b"pong")
    peer.hold()


@answer("Text in the body", UP, check=PONG)
def text_then_cut(peer: Peer) -> None:
    """the text, then the connection ends before the promised length"""
    peer.request()
    peer.send(OK + b"Content-Length: 1000\r\n\r\nping pong")
    peer.cut()


@answer("Text in the body", down("body", "check", soon=True), check=PONG)
def no_text(peer: Peer) -> None:
    """a whole body without the text"""
    peer.request()
    peer.send(sized(b"ping"))
    peer.hold()


@answer("Text in the body", down("body", "check", "response", soon=True), check=PONG)
def text_with_status_500(peer: Peer) -> None:
    """the text, but with status 500"""
    peer.request()
    peer.send(sized(b"pong", status=b"500 Broken"))
    peer.hold()


# --- encodings ----------


@cache
def bomb(depth: int = 1) -> bytes:
    """64 MiB of zeros that shrink a thousandfold with each gzip."""
    packed = b"".join([gzip.compress(bytes(16 << 20))] * 4)
    for _ in range(depth - 1):
        packed = gzip.compress(packed)
    return packed


@cache
def deflated() -> bytes:
    return zlib.compress(bytes(64 << 20))


@answer("Encodings", ENDLESS_BODY, check=PONG)
def gzip_bomb(peer: Peer) -> None:
    """64 MiB of zeros in 64 KiB of gzip, though no encoding was asked for"""
    peer.request()
    peer.send(sized(bomb(), b"Content-Encoding: gzip"))
    peer.hold()


@answer("Encodings", ENDLESS_BODY, check=PONG)
def deflate_bomb(peer: Peer) -> None:
    """the same in deflate"""
    peer.request()
    peer.send(sized(deflated(), b"Content-Encoding: deflate"))
    peer.hold()


@answer("Encodings", ENDLESS_BODY, check=PONG)
def raw_deflate_bomb(peer: Peer) -> None:
    """the same in deflate without its zlib wrapper"""
    peer.request()
    peer.send(sized(deflated()[2:-4], b"Content-Encoding: deflate"))
    peer.hold()


@answer("Encodings", ENDLESS_BODY, check=PONG)
def nested_gzip_bomb(peer: Peer) -> None:
    """gzip in gzip, and says so"""
    peer.request()
    peer.send(sized(bomb(2), b"Content-Encoding: gzip, gzip"))
    peer.hold()


@answer("Encodings", ENDLESS_BODY, check=PONG)
def endless_gzip_bomb(peer: Peer) -> None:
    """gzip bombs without an end, in chunks"""
    peer.request()
    peer.send(CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n")
    peer.flood(chunk(bomb()))


@answer("Encodings", ENDLESS_BODY, check=PONG)
def endless_empty_gzip(peer: Peer) -> None:
    """empty gzip members without an end: bytes that decode to none"""
    peer.request()
    peer.send(OK + b"Content-Encoding: gzip\r\n\r\n")
    peer.flood(gzip.compress(b""))


@answer("Encodings", ENDLESS_BODY, check=PONG)
def endless_gzip_header(peer: Peer) -> None:
    """a gzip header whose file name never ends"""
    peer.request()
    peer.send(OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\xff")
    peer.flood(b"name")


@answer("Encodings", down("body", "check", "response"), check=PONG)
def many_encodings(peer: Peer) -> None:
    """a Content-Encoding of a thousand gzips"""
    peer.request()
    peer.send(sized(bomb(), b"Content-Encoding: " + b", ".join([b"gzip"] * 1000)))
    peer.hold()


@answer("Encodings", down("body", "check", soon=True), check=PONG)
def corrupt_gzip(peer: Peer) -> None:
    """random bytes that claim to be gzip"""
    peer.request()
    peer.send(sized(noise(5000), b"Content-Encoding: gzip"))
    peer.hold()


@answer("Encodings", down("body", "check", soon=True), check=PONG)
def truncated_gzip(peer: Peer) -> None:
    """a gzip body that ends halfway"""
    peer.request()
    peer.send(sized(gzip.compress(noise(5000))[:2500], b"Content-Encoding: gzip"))
    peer.hold()


@answer("Encodings", down("body", "check"), check=PONG)
def claims_brotli(peer: Peer) -> None:
    """random bytes that claim to be br"""
    peer.request()
    peer.send(sized(noise(5000), b"Content-Encoding: br"))
    peer.hold()


@answer("Encodings", down("body", "check"), check=PONG)
def claims_zstd(peer: Peer) -> None:
    """random bytes that claim to be zstd"""
    peer.request()
    peer.send(sized(b"\x28\xb5\x2f\xfd" + noise(5000), b"Content-Encoding: zstd"))
    peer.hold()


@answer("Encodings", UP_SOON, check=PONG)
def unknown_encoding(peer: Peer) -> None:
    """the text in the clear under an encoding that nobody knows"""
    peer.request()
    peer.send(sized(b"pong", b"Content-Encoding: x-none"))
    peer.hold()


@answer("Encodings", UP_SOON, check=PONG)
def gzip_unasked(peer: Peer) -> None:
    """the text in gzip, though identity was asked for"""
    peer.request()
    peer.send(sized(gzip.compress(b"pong"), b"Content-Encoding: gzip"))
    peer.hold()


@answer("Encodings", UP_SOON, check=PONG)
def deflate_unasked(peer: Peer) -> None:
    """the text in deflate, though identity was asked for"""
    peer.request()
    peer.send(sized(zlib.compress(b"pong"), b"Content-Encoding: deflate"))
    peer.hold()


# --- redirects ----------


def moved(peer: Peer, location: bytes, *, status: bytes = b"302 Found", body: bytes = b"") -> None:
    peer.send(sized(body, b"Location: " + location, status=status))
    peer.close()


def target(peer: Peer) -> None:
    peer.send(sized(b"pong"))
    peer.close()


@answer("Redirects", UP, check=PONG)
def redirect_with_endless_body(peer: Peer) -> None:
    """a 302 whose body never ends, then a good answer"""
    if peer.path() != "/":
        return target(peer)
    peer.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\n\r\n")
    return peer.flood(b"moved ")


@answer("Redirects", UP_SOON)
def redirect_with_dripped_body(peer: Peer) -> None:
    """a 302 whose body is dripped for ever, then a good answer"""
    if peer.path() != "/":
        return target(peer)
    peer.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 100000\r\n\r\n")
    return peer.drip_for_ever(b"moved ")


@answer("Redirects", UP_SOON)
def redirect_with_2_gib_body(peer: Peer) -> None:
    """a 302 with a gzip body of 2 GiB, then a good answer"""
    if peer.path() != "/":
        return target(peer)
    peer.send(
        b"HTTP/1.1 302 Found\r\nLocation: /next\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 2147483648\r\n\r\n"
    )
    return peer.flood(bomb())


@answer("Redirects", down("response"))
def redirect_to_itself(peer: Peer) -> None:
    """a 302 to itself"""
    peer.path()
    moved(peer, b"/")


@answer("Redirects", down("response"))
def redirects_without_end(peer: Peer) -> None:
    """a 302 to a new path each time"""
    moved(peer, b"/%d" % (int(peer.path()[1:] or "0") + 1))


@answer("Redirects", UP)
def ten_redirects(peer: Peer) -> None:
    """ten redirects, then a good answer"""
    step = int(peer.path()[1:] or "0")
    target(peer) if step == 10 else moved(peer, b"/%d" % (step + 1))


@answer("Redirects", down("response"))
def eleven_redirects(peer: Peer) -> None:
    """eleven redirects, then a good answer"""
    step = int(peer.path()[1:] or "0")
    target(peer) if step == 11 else moved(peer, b"/%d" % (step + 1))


@answer("Redirects", LATE)
def slow_redirects(peer: Peer) -> None:
    """redirects that each take 0.8 of the timeout"""
    step = int(peer.path()[1:] or "0")
    peer.stop.wait(0.8 * peer.timeout)
    moved(peer, b"/%d" % (step + 1))


@answer("Redirects", LATE)
def redirect_to_a_drip(peer: Peer) -> None:
    """a redirect to a head that is dripped for ever"""
    if peer.path() == "/":
        return moved(peer, b"/next")
    peer.send(OK)
    return peer.drip_for_ever(b"X-Drip: 1\r\n")


def add_redirect(name: str, location: str, expected: Any, **options: Any) -> None:
    def redirect(peer: Peer) -> None:
        if peer.path().split("?")[0] != "/":
            return target(peer)
        return moved(
            peer, location.format(url=peer.url, host=peer.url.split("//")[-1]).encode("latin-1")
        )

    shown = location.encode("ascii", "backslashreplace").decode()
    what = f"a 302 to `{shown[:60]}`" if location else "a 302 with an empty Location"
    answer("Redirects", expected, name=f"redirect-{name}", what=what, **options)(redirect)


REFUSED = down("response", soon=True)

add_redirect("absolute", "{url}/next", UP_SOON)
add_redirect("relative", "next", UP_SOON)
add_redirect("without-scheme", "//{host}/next", UP_SOON)
add_redirect("to-a-query", "/next?a=b&c=d#fragment", UP_SOON)
add_redirect("to-raw-utf-8", "/nächste".encode().decode("latin-1"), UP_SOON)
add_redirect("to-ftp", "ftp://127.0.0.1/next", REFUSED)
add_redirect("to-file", "file:///etc/passwd", REFUSED)
add_redirect("to-javascript", "javascript:alert(1)", REFUSED)
add_redirect("to-gopher", "gopher://127.0.0.1:70/next", REFUSED)
add_redirect("to-unix-socket", "http+unix://%2Frun%2Fdocker.sock/next", REFUSED)
add_redirect("to-half-an-ipv6-address", "http://[::1/next", REFUSED)
add_redirect("to-no-host", "http:///next", EITHER)
add_redirect("to-a-bad-host", "http://127.0.0.1 \x01/next", REFUSED)
add_redirect("to-non-utf-8-host", "http://\xff\xfe/next", down("response", "dns", "connect"))
add_redirect("to-port-99999", "http://127.0.0.1:99999/next", REFUSED)
add_redirect("to-port-65536-more", "http://127.0.0.1:65537/next", REFUSED)
add_redirect("to-port-abc", "http://127.0.0.1:abc/next", REFUSED)
add_redirect("to-port-minus-1", "http://127.0.0.1:-1/next", REFUSED)
add_redirect("to-escapes", "ftp://\x1b[31m\x07\x9b/next", REFUSED)
add_redirect("to-a-huge-place", "ftp://127.0.0.1/" + "x" * 60000, REFUSED)
add_redirect("to-credentials", "ftp://somebody:hunter2@127.0.0.1/next?token=hunter2", REFUSED)
add_redirect(
    "to-credentials-refused",
    "http://somebody:hunter2@127.0.0.1:1/next?token=hunter2",
    down("connect"),
)
add_redirect("to-a-password-for-a-port", "http://somebody:hunter2/next", REFUSED)
add_redirect("to-a-password-and-a-bad-port", "http://somebody:hunter2@127.0.0.1:hunter2/", REFUSED)
add_redirect("to-a-password-and-port-99999", "http://somebody:hunter2@127.0.0.1:99999/", REFUSED)
add_redirect("to-a-password-in-half-an-ipv6-address", "http://somebody:hunter2@[::1/", REFUSED)
add_redirect("to-a-closed-port", "http://127.0.0.1:1/next", down("connect", soon=True))
add_redirect("to-backslashes", "\\\\127.0.0.1:1\\next", UP_SOON)
add_redirect("to-a-backslash-in-the-host", "http://127.0.0.1\\@127.0.0.1:1/next", REFUSED)
add_redirect("to-bad-percent-signs", "/next%zz%?%%%", UP_SOON)
add_redirect("to-controls", "/next\x01\x1b[31m\x7f", UP_SOON)
add_redirect("to-blanks-and-quotes", '/next "a" <b> {{c}} |d|', UP_SOON)
add_redirect("to-40-kb-of-dots", "/next/" + "../" * 13_000 + "next", UP_SOON)
add_redirect("to-40-kb-of-slashes", "/next" + "/" * 40_000, UP_SOON)
add_redirect("to-20-kb-of-non-ascii", "/next?" + "\xff" * 20_000, UP_SOON)
add_redirect("to-40-kb-of-non-ascii", "/next?" + "\xff" * 40_000, REFUSED)
add_redirect("to-20-kb-of-quotes-and-non-ascii", "/next?" + '"\xff' * 10_000, UP_SOON)
add_redirect("to-40-kb-of-colons", "http://127.0.0.1" + ":1" * 20_000 + "/next", REFUSED)
add_redirect("to-40-kb-of-at-signs", "http://" + "a@" * 20_000 + "127.0.0.1:0/next", REFUSED)
add_redirect("to-40-kb-of-labels", "http://" + "a." * 20_000 + "/next", REFUSED)
add_redirect("to-percent-encoded-nothing", "http://%00%ff/next", REFUSED)
add_redirect("to-a-bad-label", "http://" + "x" * 64 + ".test/next", down("response", "dns"))


@answer("Redirects", down("response", "tls", "timeout"))
def redirect_to_the_other_scheme(peer: Peer) -> None:
    """a redirect to the same port with http for https, or https for http"""
    peer.request()
    other = {"http": "https", "https": "http"}.get(peer.protocol, "http")
    moved(peer, peer.url.replace(peer.protocol, other, 1).encode() + b"/next")


@answer("Redirects", down("response", "check", soon=True))
def redirect_to_nowhere(peer: Peer) -> None:
    """a 302 without a Location"""
    peer.request()
    peer.send(sized(b"", status=b"302 Found"))
    peer.close()


@answer("Redirects", down("response", "check"))
def redirect_to_empty_location(peer: Peer) -> None:
    """a 302 with an empty Location"""
    peer.request()
    moved(peer, b"")


for code in (301, 302, 303, 307, 308):

    @answer("Redirects", UP_SOON, name=f"follows-{code}", what=f"a {code}, then a good answer")
    def follows(peer: Peer, code: int = code) -> None:
        target(peer) if peer.path() != "/" else moved(peer, b"/next", status=b"%d Moved" % code)

    @answer(
        "Redirects",
        UP_SOON,
        name=f"listed-{code}",
        what=f"a {code} to nothing good, to a check that lists {code}",
        check=f"status:{code}",
    )
    def listed(peer: Peer, code: int = code) -> None:
        peer.reset() if peer.path() != "/" else moved(peer, b"/next", status=b"%d Moved" % code)


for code in (300, 304, 305, 306):

    @answer(
        "Redirects",
        down("response", "check", soon=True),
        name=f"does-not-follow-{code}",
        what=f"a {code} with a Location",
    )
    def does_not_follow(peer: Peer, code: int = code) -> None:
        target(peer) if peer.path() != "/" else moved(peer, b"/next", status=b"%d Moved" % code)


# --- statuses ----------

for status in (
    b"000", b"0", b"99", b"099", b"600", b"700", b"999", b"1000", b"2000", b"-200", b"+200", b"2OO",
    b"20", b"2 00",
    b"200.0", b"0200", b"0xc8", b"2_00", b"\xb2\xb0\xb0", b"200;", b"", b"9" * 5000,
):  # fmt: skip

    @answer(
        "Statuses",
        BROKEN,
        name=f"status-{status[:8].decode('ascii', 'backslashreplace') or 'missing'}",
        what=f"the status `{status[:8].decode('ascii', 'backslashreplace') or ' '}`",
    )
    def odd_status(peer: Peer, status: bytes = status) -> None:
        peer.request()
        peer.send(sized(b"pong", status=status + b" Fine"))
        peer.close()


for status in (b"400", b"404", b"418", b"500", b"503", b"599"):

    @answer(
        "Statuses",
        down("response", "check", soon=True, says=status.decode()),
        name=f"status-{status.decode()}",
        what=f"the status {status.decode()}",
    )
    def bad_status(peer: Peer, status: bytes = status) -> None:
        peer.request()
        peer.send(sized(b"pong", status=status + b" Sorry"))
        peer.close()


@answer("Statuses", UP_SOON)
def status_without_reason(peer: Peer) -> None:
    """a 200 without a reason"""
    peer.request()
    peer.send(sized(b"pong", status=b"200"))
    peer.close()


@answer("Statuses", UP_SOON)
def http_1_0(peer: Peer) -> None:
    """a 200 by HTTP/1.0, body until the end"""
    peer.request()
    peer.send(b"HTTP/1.0 200 OK\r\n\r\npong")
    peer.close()


@answer("Statuses", UP_SOON)
def no_content_with_body(peer: Peer) -> None:
    """a 204 with a length and a body"""
    peer.request()
    peer.send(sized(b"pong" * 1000, status=b"204 No Content"))
    peer.hold()


@answer("Statuses", down("body", "check", "response", soon=True), check=PONG)
def no_content_without_text(peer: Peer) -> None:
    """a 204 where a text is wanted, held open"""
    peer.request()
    peer.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 1000\r\n\r\n")
    peer.hold()


@answer("Statuses", UP_SOON, check="status:304")
def not_modified_listed(peer: Peer) -> None:
    """a 304 with a length and a body, to a check that lists 304"""
    peer.request()
    peer.send(sized(b"pong" * 1000, status=b"304 Not Modified"))
    peer.hold()


@answer("Statuses", UP_SOON)
def empty_body(peer: Peer) -> None:
    """a 200 whose body is empty, ended by the connection"""
    peer.request()
    peer.send(OK + b"\r\n")
    peer.close()


@answer("Statuses", UP_SOON, check=PONG)
def interim_answers_first(peer: Peer) -> None:
    """100, 102 and 103 before the 200"""
    peer.request()
    for interim in (b"100 Continue", b"102 Processing", b"103 Early Hints"):
        peer.send(b"HTTP/1.1 " + interim + b"\r\nLink: </x>\r\n\r\n")
    target(peer)


@answer("Statuses", down("response", "check", soon=True))
def switches_protocols(peer: Peer) -> None:
    """a 101 that nobody asked for"""
    peer.request()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x04pong")
    peer.close()


@answer("Statuses", LATE)
def interim_answer_only(peer: Peer) -> None:
    """a 103, and nothing after it"""
    peer.request()
    peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    peer.hold()


# --- cut short ----------

for end in (Peer.close, Peer.cut, Peer.reset):
    how = {"close": "the end of the stream", "cut": "a bare FIN", "reset": "RST"}[end.__name__]

    @answer(
        "Cut short",
        down("send", "response", soon=True),
        name=f"{end.__name__}-before-answer",
        what=f"{how} instead of an answer",
    )
    def before_answer(peer: Peer, end: Any = end) -> None:
        peer.request()
        end(peer)

    @answer(
        "Cut short",
        down("connect", "send", "response", "tls", soon=True),
        name=f"{end.__name__}-before-request",
        what=f"{how} before the request is read",
    )
    def before_request(peer: Peer, end: Any = end) -> None:
        end(peer)

    for place, text in {
        "in-status-line": b"HTTP/1.1 200 O",
        "after-status-line": OK,
        "in-header": OK + b"Content-Le",
        "after-header": OK + b"Content-Length: 4\r\n",
        "in-blank-line": OK + b"Content-Length: 4\r\n\r",
        "after-interim": b"HTTP/1.1 100 Continue\r\n\r\n",
        "in-interim": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n",
    }.items():

        @answer(
            "Cut short",
            down("response", soon=True),
            name=f"{end.__name__}-{place}",
            what=f"{how} {place.replace('-', ' ')}",
        )
        def in_head(peer: Peer, end: Any = end, text: bytes = text) -> None:
            peer.request()
            peer.pieces(text)
            end(peer)

    for place, text in {
        "in-body": OK + b"Content-Length: 1000\r\n\r\nping",
        "before-body": OK + b"Content-Length: 1000\r\n\r\n",
        "in-chunk": CHUNKED + b"ff\r\nping",
        "in-chunk-size": CHUNKED + b"4",
        "in-trailers": CHUNKED + chunk(b"ping") + b"0\r\nX-Trai",
        "in-gzip": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(noise(500))[:300],
    }.items():

        @answer(
            "Cut short",
            down("body", "check", soon=True),
            name=f"{end.__name__}-{place}",
            what=f"{how} {place.replace('-', ' ')}, the text not yet seen",
            check=PONG,
        )
        def in_body(peer: Peer, end: Any = end, text: bytes = text) -> None:
            peer.request()
            peer.pieces(text)
            end(peer)

    @answer(
        "Cut short",
        UP_SOON,
        name=f"{end.__name__}-after-text",
        what=f"the text, then {how}",
        check=PONG,
    )
    def after_text(peer: Peer, end: Any = end) -> None:
        peer.request()
        peer.pieces(OK + b"Content-Length: 1000\r\n\r\nping pong")
        end(peer)


# --- malformed heads and framing ----------

for name, said in {
    "http-0-9": b"<html>pong</html>",
    "http-2-settings": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d\0\x04\0@\0\0\0\x06\0\0@\0",
    "http-2-status": b"HTTP/2 200 OK\r\n\r\npong",
    "icy": b"ICY 200 OK\r\n\r\npong",
    "lower-case": b"http/1.1 200 ok\r\n\r\npong",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"220 mail.test ESMTP\r\n",
    "tls-alert": b"\x15\x03\x03\0\x02\x02\x28",
    "json": b'{"status": 200}',
    "zeros": bytes(100),
    "noise": noise(2000),
    "escapes": b"\x1b[2J\x1b]0;owned\x07\x9b31m HTTP/1.1 200 OK\r\n\r\n",
    "half-a-word": b"HTT",
    "empty-lines": b"\r\n\r\n\r\n",
    "bidi": "\u202e HTTP/1.1 200 OK".encode() + b"\r\n\r\n",
}.items():

    @answer(
        "Garbage",
        down("response", soon=True),
        name=f"speaks-{name}",
        what=f"`{said[:30].decode('ascii', 'backslashreplace')!r}` instead of an answer",
    )
    def garbage(peer: Peer, said: bytes = said) -> None:
        peer.request()
        peer.send(said)
        peer.close()


for name, headers in {
    "two-lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n",
    "negative-length": b"Content-Length: -4\r\n",
    "length-of-words": b"Content-Length: four\r\n",
    "length-of-5000-digits": b"Content-Length: " + b"9" * 5000 + b"\r\n",
    "length-and-chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "unknown-transfer": b"Transfer-Encoding: x-none\r\n",
    "blank-before-colon": b"Transfer-Encoding : chunked\r\n",
    "length-of-nothing": b"Content-Length:\r\n",
    "folds-only": b" folded\r\n" * 9000,
    "13000-lines": b"X: 1\r\n" * 13_000,
    "9000-names": b"".join(b"%x:1\r\n" % number for number in range(9000, 18_000)),
    "no-colon": b"Content-Length 4\r\n",
    "no-name": b": 4\r\n",
    "zero-bytes": b"X-\0: \0\0\r\n",
    "bare-returns": b"X-A: 1\rX-B: 2\r\n",
    "cookie-bomb": b"Set-Cookie: a=" + b"b" * 30000 + b"\r\n",
}.items():

    @answer(
        "Malformed heads",
        EITHER,
        name=f"head-{name}",
        what=f"a 200 with `{headers[:40].decode('ascii', 'backslashreplace')!r}`",
    )
    def odd_head(peer: Peer, headers: bytes = headers) -> None:
        peer.request()
        peer.send(OK + headers + b"\r\npong")
        peer.close()


for name, body in {
    "negative-chunk": b"-4\r\nping\r\n0\r\n\r\n",
    "word-for-chunk-size": b"four\r\nping\r\n0\r\n\r\n",
    "chunk-size-of-5000-digits": b"f" * 5000 + b"\r\nping\r\n0\r\n\r\n",
    "prefixed-chunk-size": b"0x4\r\nping\r\n0\r\n\r\n",
    "text-in-a-chunk-of--1": b"-1\r\npong\r\n0\r\n\r\n",
    "text-in-a-chunk-of-0x5": b"0x5\r\npong!\r\n0\r\n\r\n",
    "text-in-a-chunk-of-+5": b"+5\r\npong!\r\n0\r\n\r\n",
    "text-in-a-chunk-of-5_0": b"5_0\r\n" + b"pong" * 20 + b"\r\n0\r\n\r\n",
    "chunk-without-end": b"4\r\npingping\r\n0\r\n\r\n",
    "empty-chunk-size": b"\r\n\r\n\r\n",
    "noise-for-chunks": noise(3000),
}.items():

    @answer(
        "Malformed heads",
        down("body", "check", soon=True),
        name=name,
        what=f"the chunks `{body[:20].decode('ascii', 'backslashreplace')!r}`",
        check=PONG,
    )
    def odd_chunks(peer: Peer, body: bytes = body) -> None:
        peer.request()
        peer.send(CHUNKED + body)
        peer.close()


# --- what a detail may quote ----------

for name, reason in {
    "escapes": b"\x1b[31mred\x1b]0;owned\x07 \x9b2J",
    "returns": b"fine\rHTTP/1.1 200 OK",
    "bidi": "\u202edne\u2066 \u200b".encode(),
    "non-utf-8": b"\xff\xfe\x80",
    "60-kb": b"x" * 60000,
    "line-separators": "a\u2028b\u0085c".encode(),
}.items():

    @answer(
        "Quoted text",
        down("response", "check", soon=True, says="500"),
        name=f"reason-of-{name}",
        what=f"a 500 with the reason `{reason[:24].decode('ascii', 'backslashreplace')!r}`",
    )
    def quoted(peer: Peer, reason: bytes = reason) -> None:
        peer.request()
        peer.send(sized(b"pong", status=b"500 " + reason))
        peer.close()


# --- secrets ----------

# Longer than any quotation, so that one is cut in the midst of it.
LONG_SECRET = f"{SECRET}-" * 12


def header_of(head: bytes, name: bytes) -> bytes:
    """The value of a header of a request."""
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    return lines[name]


def of_basic_auth(head: bytes) -> bytes:
    return base64.b64decode(header_of(head, b"Authorization").removeprefix(b"Basic "))


def as_query(secret: str) -> dict[str, Any]:
    return {"path": f"/?token={quote(secret, safe='')}"}


def as_header(secret: str) -> dict[str, Any]:
    return {"headers": {"X-Secret": secret}}


def as_password(secret: str) -> dict[str, Any]:
    return {"basic_auth": ("somebody", secret)}


# What is echoed, and what of the probe's arguments holds the secret then.
ECHOED: dict[str, tuple[Callable[[bytes], bytes], Callable[[str], dict[str, Any]]]] = {
    "request": (
        lambda head: head.replace(b"\r\n", b" "),
        lambda secret: as_query(secret) | as_header(secret) | as_password(secret),
    ),
    "path": (lambda head: head.split()[1], as_query),
    "decoded query": (
        lambda head: unquote_to_bytes(head.split()[1].partition(b"=")[2]),
        as_query,
    ),
    "header": (lambda head: header_of(head, b"X-Secret"), as_header),
    "authorization": (lambda head: header_of(head, b"Authorization"), as_password),
    "password": (of_basic_auth, as_password),
}


def as_json(said: bytes) -> bytes:
    return json.dumps({"echo": said.decode()}).encode()


# How an echo is told, and a check that quotes it.
TOLD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "body": (sized, "body_contains:nobody says this"),
    "body-searched": (sized, "body_matches:nobody says this"),
    "header": (lambda said: sized(b"", b"X-Echo: " + said), "header:X-Echo=nobody says this"),
    "json": (lambda said: sized(as_json(said)), "json:/echo=nobody says this"),
    "no-json": (sized, "json:/echo=nobody says this"),
    "garbage": (lambda said: said + b"\r\n\r\n", "status:200"),
    "failure": (lambda said: sized(said, status=b"503 No"), "status:200"),
    "long-failure": (lambda said: sized(said * 40, status=b"503 No"), "status:200"),
}

# What the echo is the end of, and a form of the secret that is not the same in each quotation.
for form, (before, secret) in {
    "": ("", LONG_SECRET),
    "cut": ("x" * 40, LONG_SECRET),
    "cut in bytes": ("é" * 28, LONG_SECRET),
    "in UTF-8": ("", f"grüße-{SECRET}"),
    "with quotes": ("", f'"a"-{SECRET}'),
    "with a slash": ("", f"a/{SECRET}=="),
}.items():
    for echoed, (echo, holding) in ECHOED.items():
        for told, (tell, quoting) in TOLD.items():

            def echoing(
                peer: Peer,
                before: str = before,
                echo: Callable[[bytes], bytes] = echo,
                tell: Callable[[bytes], bytes] = tell,
            ) -> None:
                peer.send(tell(before.encode() + echo(peer.request())))
                peer.close()

            served(
                "Secrets",
                {"http": down("response", "body", "check", soon=True)},
                name=f"echo-{echoed}-as-{told}-{form}".replace(" ", "-").rstrip("-"),
                what=f"the {echoed} of the request as {told}, the secret {form or 'as it is'}",
                check=quoting,
                **holding(secret),
            )(echoing)


# --- charsets ----------


def reads_text(response: Any) -> tuple[bool, str]:
    """A user's check that wants text."""
    return "pong" in response.text, response.text


for charset in (
    "undefined", "idna", "punycode", "nul\0nul", "zlib", "bz2", "base64", "rot13", "unicode_escape",
    "utf-7", "mbcs",
    "x" * 10000, "../../etc", "utf-8\x1b[31m",
):  # fmt: skip
    shown = charset[:14].encode("unicode_escape").decode()
    for check, how in {PONG: "bytes", reads_text: "text"}.items():

        @answer(
            "Charsets",
            UP_SOON,
            name=f"charset-{shown.replace('/', '_')}-{how}",
            what=f"the charset `{shown}`, checked by its {how}",
            check=check,
        )
        def odd_charset(peer: Peer, charset: str = charset) -> None:
            peer.request()
            peer.send(sized(b"ping pong", b"Content-Type: text/plain; charset=" + charset.encode()))
            peer.close()


@answer("Charsets", UP_SOON, check=reads_text)
def body_is_not_text(peer: Peer) -> None:
    """a body that is no text in the charset it claims"""
    peer.request()
    peer.send(sized(b"pong \xff\xfe\x1b[31m\r\n\0", b"Content-Type: text/plain; charset=utf-8"))
    peer.close()


# --- cookies of redirects ----------

JAR = {
    "thousands": b"".join(b"Set-Cookie: c%d=1\r\n" % number for number in range(4000)),
    "one-of-60-kb": b"Set-Cookie: a=" + b"x" * 60_000 + b"\r\n",
    "60-kb-of-attributes": b"Set-Cookie: a=1;" + b"a;" * 30_000 + b"\r\n",
    "twenty-of-4-kb": b"".join(b"Set-Cookie: c%d=%s\r\n" % (n, b"x" * 4000) for n in range(20)),
    "controls": b"Set-Cookie: a=\x01\x1b[31m\r\nSet-Cookie: b=1\x00; Path=/\r\n",
    "a-line-break": b"Set-Cookie: a=1\rX-Injected: 1\r\n",
    "no-name": b"Set-Cookie: =1\r\nSet-Cookie: ;\r\nSet-Cookie:\r\nSet-Cookie: ===\r\n",
    "dates": b"".join(
        b"Set-Cookie: a=1; Expires=%s; Max-Age=%s\r\n" % pair
        for pair in (
            (b"9" * 3000, b"9" * 900),
            (b"31 Feb 99999 99:99:99", b"-"),
            (b"\xff", b"\xb2"),
        )
    ),
    "domains": b"".join(
        b"Set-Cookie: a=1; Domain=%s\r\n" % name
        for name in (b".", b"..", b"1", b"0.0.1", b"\xff", b"*", b"localhost", b"x" * 3000)
    ),
    "paths": b"Set-Cookie: a=1; Path=/" + b"/" * 3000 + b"\r\nSet-Cookie: b=1; Path=/%ff\xff\r\n",
    "utf-8": "Set-Cookie: größe=ü; Path=/\r\n".encode(),
}

for name, lines in JAR.items():

    @answer(
        "Cookies",
        UP,
        name=f"cookies-{name}",
        what=f"ten redirects that set cookies, {name.replace('-', ' ')}, then a good answer",
    )
    def sets_cookies(peer: Peer, lines: bytes = lines) -> None:
        request = peer.request()
        step = int(request.split(b" ")[1][1:] or b"0") if request else 0
        if b"\nX-Injected" in request or len(request) > 20_000:
            peer.send(b"HTTP/1.1 500 Injected\r\n\r\n")
        elif step == 10:
            return target(peer)
        else:
            head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /%d\r\n" % (step + 1)
            peer.send(head + lines + b"\r\n")
        return peer.close()


# --- what follows a verdict ----------

FAILED = b"HTTP/1.1 503 No\r\n"
FAILS_SOON = down("check", soon=True, says="HTTP 503")

for form, framing in {
    "": b"\r\n",
    "sized": b"Content-Length: 65536\r\n\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
    "gzip": b"Content-Encoding: gzip\r\n\r\n",
}.items():
    for verdict, head, expected in (("good", OK, UP_SOON), ("failed", FAILED, FAILS_SOON)):
        for way, send in {
            "silence": lambda _: None,
            "a-drip": lambda peer: peer.drip_for_ever(b"1"),
            "a-flood": lambda peer: peer.flood(b"1" * 65536),
            "noise": lambda peer: peer.send(noise(5000)),
            "a-bomb": lambda peer: peer.flood(bomb()),
        }.items():

            @answer(
                "After the verdict",
                expected,
                name=f"{way}-after-a-{verdict}-head-{form}".rstrip("-"),
                what=f"{way.replace('-', ' ')} as the {form or 'endless'} body of a {verdict} answer",
                check="status:200",
            )
            def goes_on(
                peer: Peer,
                start: bytes = head + framing,
                send: Callable[[Peer], Any] = send,
            ) -> None:
                peer.request()
                peer.send(start)
                send(peer)
                peer.hold()


for end in (Peer.close, Peer.cut, Peer.reset):

    @answer(
        "After the verdict",
        FAILS_SOON,
        name=f"{end.__name__}-in-a-failures-body",
        what=f"`{end.__name__}` in the middle of the body of a failed answer",
    )
    def ends_in_failure(peer: Peer, end: Any = end) -> None:
        peer.request()
        peer.send(FAILED + b"Content-Length: 1000\r\n\r\nhalf of it")
        end(peer)


# --- what is done with a request's body ----------

LARGE = "x" * 100_000  # about what an environment variable can hold
NOT_TAKEN = down("check", "response", "send", soon=True)


@answer("Request bodies", LATE, body=LARGE)
def never_reads_the_body(peer: Peer) -> None:
    """reads the head of a request and none of its body"""
    peer.request()
    peer.hold()


@answer("Request bodies", LATE, body=LARGE)
def reads_the_body_by_bytes(peer: Peer) -> None:
    """reads the body of a request a byte at a time"""
    peer.request()
    while not peer.stop.wait(0.04):
        peer.sock.recv(1)


for end in (Peer.close, Peer.cut, Peer.reset):

    @answer(
        "Request bodies",
        NOT_TAKEN,
        name=f"refuses-the-body-and-{end.__name__}s",
        what=f"answers 413 before the body has come, then `{end.__name__}`",
        body=LARGE,
    )
    def refuses_the_body(peer: Peer, end: Any = end) -> None:
        peer.request()
        peer.send(sized(b"too large", status=b"413 Content Too Large"))
        end(peer)


@answer("Request bodies", EITHER, body="x")
def answers_before_the_body(peer: Peer) -> None:
    """answers 200 at once, and ends"""
    peer.send(sized(b"pong"))
    peer.request()
    peer.close()


@answer("Request bodies", down("response", soon=True), body="x")
def sends_the_body_round(peer: Peer) -> None:
    """a 307 to itself, so that the body is sent again and again"""
    peer.request()
    moved(peer, b"/", status=b"307 Temporary Redirect")
