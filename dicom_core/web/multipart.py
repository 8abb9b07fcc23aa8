"""multipart/related payloads, decoded and encoded as a stream (PS3.18 8.6.1.2; RFC 2387, RFC 2046 5.1).

The decoder is pushed: it is fed chunks as they come and answers the events they complete. It keeps back only
what may turn out to be the beginning of a delimiter: a chunk inside of a part is passed on without a copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dicom_core.errors import BadRequest

MAX_HEADER = 16 * 1024

_BOUNDARY = re.compile(r"[\x20-\x7e]{1,200}")
_AFTER_BOUNDARY = re.compile(
    rb"(?P<close>--)|(?P<part>[ \t]{0,128}\r\n)|(?P<undecided>(?:-|[ \t]{0,128}\r?)\Z)"
)
_FOLD = re.compile(rb"\r\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins: its number from 1, and its header fields by lower-case name."""

    number: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of the part that has begun; never empty."""

    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The part that has begun is complete."""


Event = Begin | Data | End


class Decoder:
    """Decodes one multipart payload.

    Takes what clients really send: a preamble, a first boundary at byte 0 or after CRLF, white space after a
    boundary, no CRLF after the last one, an epilogue, parts without header fields or without content.

    Raises
    ------
    BadRequest
        The boundary cannot be one; later, the payload is malformed. The text names the part (from 1) and the
        byte (from 0) of the payload.
    """

    __slots__ = ("_closed", "_delimiter", "_glue", "_in_header", "_max_header", "_number", "_offset", "_rest")

    def __init__(self, boundary: str, *, max_header: int = MAX_HEADER) -> None:
        if _BOUNDARY.fullmatch(boundary) is None:
            raise BadRequest("Content-Type: the boundary is not 1 to 200 printable characters")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._max_header = max_header
        self._rest = b"\r\n"  # lets the first boundary stand at byte 0
        self._offset = -2  # of the rest, in the payload
        self._number = 0
        self._glue = 0  # bytes before the content that may belong to the delimiter, but never to the content
        self._in_header = False
        self._closed = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Decode the next chunk."""
        events: list[Event] = []
        data = self._rest + chunk if self._rest else chunk
        at, more = 0, not self._closed
        while more:
            at, more = self._header(data, at, events) if self._in_header else self._content(data, at, events)
        self._rest = b"" if self._closed else data[at:]
        self._offset += at
        return events

    def finish(self) -> list[Event]:
        """Say that no chunk follows."""
        if self._closed:
            return []
        size = self._offset + len(self._rest)
        if not self._number:
            raise BadRequest(f"multipart payload: none of its {size} bytes begins a line with the boundary")
        where = f"{'the header of ' if self._in_header else ''}part {self._number}"
        raise BadRequest(
            f"multipart payload: it ends inside {where}, at byte {size}, without the closing boundary"
        )

    def _content(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        """Pass on content up to the next delimiter; the preamble is content of no part."""
        end = data.find(self._delimiter, at)
        while end >= 0:
            after = _AFTER_BOUNDARY.match(data, end + len(self._delimiter))
            if after is None:  # text like the boundary
                end = data.find(self._delimiter, end + 2)
            elif after.lastgroup == "undecided":
                return self._pass_on(data, at, end, events), False
            else:
                self._pass_on(data, at, end, events)
                return self._delimited(after, events)
        return self._pass_on(data, at, self._held_back(data, at), events), False

    def _pass_on(self, data: bytes, at: int, end: int, events: list[Event]) -> int:
        """Pass on `data[at:end]` without the glue; it is nothing, or at least as long as the glue."""
        if end == at:
            return at
        at += self._glue
        self._glue = 0
        if end > at and self._number:
            events.append(Data(data[at:end]))
        return end

    def _held_back(self, data: bytes, at: int) -> int:
        """Where the data may end with the beginning of a delimiter, whose only CR is its first byte."""
        start = data.rfind(b"\r", max(at, len(data) - len(self._delimiter)))
        return start if start >= 0 and self._delimiter.startswith(data[start:]) else len(data)

    def _delimited(self, after: re.Match[bytes], events: list[Event]) -> tuple[int, bool]:
        """End a part, and begin the next unless the boundary closes the payload."""
        if self._number:
            events.append(End())
        self._closed = after.lastgroup == "close"
        if self._closed:
            return after.end(), False
        self._number += 1
        self._in_header = True
        return (
            after.end() - 2,
            True,
        )  # the line end before the header, which may be empty

    def _header(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        """Read the header of a part, from the line end before it."""
        end = data.find(b"\r\n\r\n", at)
        if (end if end >= 0 else len(data) - 3) - at > self._max_header:  # 3 bytes may begin the end
            raise BadRequest(
                f"multipart payload: the header of part {self._number}, at byte {self._offset + at + 2}, "
                f"is larger than {self._max_header} bytes"
            )
        if end < 0:
            return at, False
        events.append(Begin(self._number, self._fields(data[at + 2 : end], at + 2)))
        self._in_header = False
        self._glue = 2
        return end + 2, True

    def _fields(self, block: bytes, at: int) -> dict[str, str]:
        """Read header fields (RFC 2045, RFC 5322 2.2); fields of one name are joined as RFC 9110 5.3 does."""
        headers: dict[str, str] = {}
        lines = _FOLD.sub(b" ", block).split(b"\r\n") if block else []
        for number, line in enumerate(lines, 1):
            raw, colon, value = line.decode("latin-1").partition(":")
            name = raw.rstrip().lower()
            if not colon or not name or name[0].isspace():
                raise BadRequest(
                    f"multipart payload: field {number} in the header of part {self._number}, "
                    f"at byte {self._offset + at}, is not 'name: value'"
                )
            value = value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


class Encoder:
    """Encodes one multipart payload: the head of each part, and the tail behind the last."""

    __slots__ = ("_delimiter", "_line_end")

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"--" + boundary.encode("ascii")
        self._line_end = b""

    def head(self, headers: Mapping[str, str]) -> bytes:
        """What stands before the content of a part.

        The first boundary stands at byte 0, and names are written as `Content-Type`: viewers look for both.
        """
        fields = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items())
        return self._next_delimiter() + b"\r\n" + fields.encode("latin-1") + b"\r\n"

    def tail(self) -> bytes:
        """What stands behind the content of the last part."""
        return self._next_delimiter() + b"--\r\n"

    def _next_delimiter(self) -> bytes:
        delimiter = self._line_end + self._delimiter
        self._line_end = b"\r\n"
        return delimiter
