"""Tags, lengths and contents (X.690): what certificates and LDAP are made of."""

from __future__ import annotations


def parse_items(data: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs that a run of DER or BER of definite length consists of.

    Raises ValueError for what is cut short.
    """
    items = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("cut short")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("cut short")
        items.append((tag, data[at : at + length]))
        at += length
    return items
