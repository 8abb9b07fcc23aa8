"""Where in a data set an element stands: the nesting, and what is gathered of the whole header on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dicom_core.record import Dataset
from dicom_core.representations.charsets import DEFAULT, Encodings
from dicom_core.representations.source import ELEMENT, Source

Element = dict[str, Any]
"""One element of DICOM JSON: `{"vr": …, "Value": […]}`."""


@dataclass(slots=True)
class Ambiguous:
    """An element whose VR depends on others that may follow it (PS3.6: US or SS, OB or OW …)."""

    element: Element
    level: Level
    key: str
    vr: str
    offset: int
    length: int
    value: bytes | None


@dataclass(slots=True)
class Context:
    """What is gathered of one data set while it is read."""

    source: Source
    little: bool = True
    problems: dict[str, str] = field(default_factory=dict)
    bulkdata: dict[str, tuple[int, int]] = field(default_factory=dict)
    ambiguous: list[Ambiguous] = field(default_factory=list)
    raw: dict[int, bytes] = field(default_factory=dict)
    stopped: tuple[int, str | None, int] | None = None


def _never(tag: int) -> bool:
    return False


@dataclass(slots=True)
class Level:
    """A data set being read: the top one or an item of a sequence.

    `prefix` is what the paths of its bulk data begin with, `top` the top-level element that it is nested in, `limit`
    the end of the innermost sequence of defined length around it; `until` says at which tags its reader returns.
    """

    context: Context
    implicit: bool
    dataset: Dataset = field(default_factory=dict)
    encodings: Encodings = DEFAULT
    prefix: str = ""
    top: str = ""
    parent: Level | None = None
    depth: int = 0
    limit: int = sys.maxsize
    until: Callable[[int], bool] = _never

    def item(self, key: str, number: int, limit: int, *, implicit: bool) -> Level:
        """The level of an item of the sequence `key`, counted from 1."""
        return Level(
            self.context,
            implicit,
            encodings=self.encodings,
            prefix=f"{self.prefix}{key}/{number}/",
            top=self.top or key,
            parent=self,
            depth=self.depth + 1,
            limit=limit,
        )

    def count(self, number: int, size: int = ELEMENT) -> None:
        """Count what is about to be made of a value toward what a header may take.

        Raises
        ------
        InvalidInstance
            It is too much.
        """
        self.context.source.count(number * size)

    def problem(self, key: str, reason: str) -> None:
        """Note what is wrong with an element: once for each top-level element, the first wins."""
        self.context.problems.setdefault(self.top or key, reason)

    def locate(self, key: str, vr: str, offset: int, length: int) -> Element:
        """An element whose value stays where it is."""
        path = f"{self.prefix}{key}"
        self.count(2, len(path) + ELEMENT)
        self.context.bulkdata[path] = (offset, length)
        return {"vr": vr, "BulkDataURI": f"bulkdata/{path}"}
