"""Pass the last state to the worker that replaces a killed one."""

from __future__ import annotations

import marshal
import mmap
import struct
import zlib
from typing import Any

_SLOT = 65536
_NUMBER = struct.Struct("<QL")
_HEADER = struct.Struct("<QLL")


class Handover:
    """Memory that the processes forked after it was made share: one writes, its successor reads.

    A writer may be killed at any moment, so two slots are written in turn, each with its number
    and a checksum over all of it: a torn slot is not read, and the other has the value before.
    One writer and no reader at a time.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * _SLOT)
        self._count = 0

    def save(self, value: Any) -> None:
        """Keep a value of plain types. Raises ValueError for one of more than 64 KiB."""
        data = marshal.dumps(value)
        if _HEADER.size + len(data) > _SLOT:
            raise ValueError(f"{len(data)} bytes are too many to keep")
        self._count += 1
        record = _HEADER.pack(self._count, len(data), _checksum(self._count, data)) + data
        at = self._count % 2 * _SLOT
        self._memory[at : at + len(record)] = record

    def load(self) -> Any:
        """The last value that was saved whole, None when there is none."""
        found: list[tuple[int, bytes]] = []
        for at in (0, _SLOT):
            count, length, checksum = _HEADER.unpack_from(self._memory, at)
            data = self._memory[at + _HEADER.size : at + _SLOT][:length]
            if count and checksum == _checksum(count, data):
                found.append((count, data))
        if not found:
            return None
        self._count, data = max(found)
        return marshal.loads(data)  # noqa: S302  # our own, and whole


def _checksum(count: int, data: bytes) -> int:
    # The number is in it: a torn one would make an old value the newest.
    return zlib.crc32(data, zlib.crc32(_NUMBER.pack(count, len(data))))
