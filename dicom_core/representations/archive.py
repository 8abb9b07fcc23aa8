"""A zip archive of files whose bytes come one after the other; nothing of it is kept."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from typing import IO, cast

_TIME = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """What an archive is written to, and taken from."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class Archive:
    """One archive on its way: `begin` a file, `write` its bytes, and so on; `finish`. Files are not compressed."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._sink), "w", zipfile.ZIP_STORED)
        self._file: IO[bytes] | None = None

    def begin(self, name: str) -> None:
        """The next bytes are those of a file of this name."""
        self._end()
        self._file = self._zip.open(zipfile.ZipInfo(name, _TIME), "w", force_zip64=True)

    def write(self, chunk: bytes) -> bytes:
        """What the archive grows by."""
        assert self._file is not None
        self._file.write(chunk)
        return self._sink.take()

    def finish(self) -> bytes:
        """The end of the archive."""
        self._end()
        self._zip.close()
        return self._sink.take()

    def __del__(self) -> None:
        with suppress(ValueError):  # one that was broken off: its end goes nowhere
            self._end()
            self._zip.close()

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
