"""Videos (PS3.5 8.2.5 and following, A.4): the bit stream that fragments hold, joined as they flow by."""

from __future__ import annotations

import struct

from dicom_core.representations.source import InvalidInstance

_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_HEADER = 8


class Joiner:
    """Takes the value of encapsulated pixel data, from its first item on, and gives what its fragments hold.

    The first item is the Basic Offset Table, which is left out.
    """

    __slots__ = ("_head", "_items", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._items = self._left = 0

    def feed(self, chunk: bytes) -> bytes:
        """What a chunk holds of the video.

        Raises
        ------
        InvalidInstance
            Something else than an item stands between the fragments.
        """
        joined: list[bytes] = []
        at = 0
        while at < len(chunk):
            if self._left:
                piece = chunk[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                if self._items > 1:
                    joined.append(piece)
                continue
            taken = chunk[at : at + _HEADER - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == _HEADER and self._is_end():
                break
        return joined[0] if len(joined) == 1 else b"".join(joined)

    def _is_end(self) -> bool:
        """Begin the item of the header that was read; says if it is the delimiter of the sequence."""
        group, element, length = struct.unpack("<HHL", self._head)
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            return True  # the header stays: what follows is nothing of the video
        if tag != _ITEM:
            raise InvalidInstance("the video has something else than an item between its fragments")
        self._head, self._left = b"", length
        self._items += 1
        return False
