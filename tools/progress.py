"""How far a tool is: a line that is redrawn on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

_REDRAW_SECONDS = 0.2
_REPORT_SECONDS = 10.0
_BAR = 24
_ERASE = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class State:
    """How far it is; the totals are 0 until they are known.

    `things` says what is counted, `size` is None if they have no bytes to speak of.
    """

    files: int
    size: int | None
    failed: int
    seconds: float
    total_files: int = 0
    total_size: int = 0
    things: str = "files"

    def __str__(self) -> str:
        total = f" of {self.total_files:,}" if self.total_files else ""
        parts = [f"{self.files:,}{total} {self.things}"]
        done, whole = self._amounts
        speed = done / self.seconds if self.seconds else 0.0
        if self.size is not None:
            parts += [amount(done), f"{amount(speed)}/s"]
        if self.total_files and speed:
            left = round(max(whole - done, 0) / speed)
            parts.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    @property
    def bar(self) -> str:
        """The part of the bytes that are done, or of the files if all are empty."""
        done, total = self._amounts if self.total_size else (self.files, self.total_files)
        filled = min(_BAR, _BAR * done // total) if total else 0
        return f"[{'#' * filled}{'-' * (_BAR - filled)}]"

    @property
    def _amounts(self) -> tuple[int, int]:
        """What is done, and the whole: in bytes where things have them."""
        return (self.files, self.total_files) if self.size is None else (self.size, self.total_size)


class Display:
    """Shows the state until cancelled, and notes between."""

    def __init__(self, stream: TextIO, state: Callable[[], State]) -> None:
        self._stream = stream
        self._state = state
        self._redraws = stream.isatty()

    async def run(self) -> None:
        """Show the state again and again."""
        while True:
            await asyncio.sleep(_REDRAW_SECONDS if self._redraws else _REPORT_SECONDS)
            state = self._state()
            text = f"{_ERASE}{state.bar} {state}" if self._redraws else f"{state}\n"
            self._write(text)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._write(f"{_ERASE if self._redraws else ''}{text}\n")

    def end(self) -> None:
        """Take the redrawn line away."""
        if self._redraws:
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def amount(size: float) -> str:
    """A number of bytes to read: 1.5 MB."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
