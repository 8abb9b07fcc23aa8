"""The audit record: what is logged of a request, and what its span says, where there are traces."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from dicom_core import errors
from dicom_core.authorization import UNKNOWN
from dicom_core.resources import Resource
from dicom_core.storage.rest import Kind, tally, waits

Fields = Mapping[str, str | int | float]
"""What is recorded of a request: no attribute values, only UIDs, numbers and names of functions, and who asked."""

log = logging.getLogger("dicom")

_LONG = 0.1
_NOTHING = Resource()
_MOST_NAMED = 100  # studies of one Store: the record has room for no more


class Span(Protocol):
    """What a trace shows of a request."""

    def enter(self) -> None:
        """Have what is logged from now on belong to it."""

    def end(self, fields: Fields, *, failed: bool) -> None:
        """End it."""


class Tracing(Protocol):
    """What makes traces of requests, where that is configured."""

    def begin(self, name: str) -> Span:
        """Begin the span of a request."""


class Line:
    """What is logged of one request, and what its span says."""

    def __init__(self, method: str, name: str, tracing: Tracing | None) -> None:
        self.resource: Resource | None = None
        self.about: tuple[Resource, ...] = ()
        self.caller = UNKNOWN
        self.name = name
        self._started = time.perf_counter()
        self._counts: Counter[Kind] = Counter()
        self._method = method
        self._span = None if tracing is None else tracing.begin(self.name)
        self._waits: list[float] = []
        self._enter()

    @property
    def path(self) -> str:
        """Which studies, series or instances it was about, as far as the request or the answer names them."""
        more = len(self.about) - _MOST_NAMED
        listed = self.about[:_MOST_NAMED] or (self.resource or _NOTHING,)
        named = ",".join(resource.path for resource in listed if resource.study is not None) or "-"
        return f"{named}+{more}" if more > 0 else named

    @property
    def has_taken_long(self) -> bool:
        """So long that the user agent may have gone: to ask costs more than to encode a short answer."""
        return time.perf_counter() - self._started > _LONG

    def end(self, status: int, size: int, fault: str = "") -> None:
        """Log the end of a request."""
        milliseconds = (time.perf_counter() - self._started) * 1000
        fields = None if self._span is None else self._fields(status, size, milliseconds, fault)
        log.info(
            "%s %s %s status=%d bytes=%d who=%s app=%s ms=%.1f %s%s",
            self.name,
            self._method,
            self.path,
            status,
            size,
            self.caller.subject,
            self.caller.application,
            milliseconds,
            " ".join(f"{kind}={count}" for kind, count in sorted(self._counts.items())),
            f" broken={fault}" if fault else "",
            extra=fields and {"fields": fields},
        )
        if self._span is not None and fields is not None:
            self._span.end(fields, failed=status >= 500 or bool(fault))

    def exception(self, error: Exception) -> None:
        """Log where an unexpected error came from."""
        log.error("%s %s failed: %s", self.name, self.path, errors.described(error))

    async def through(self, status: int, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a body on, and log the end when it has ended."""
        self._enter()
        size, fault = 0, ""
        try:
            async for chunk in body:
                size += len(chunk)
                yield chunk
        except BaseException as error:
            fault = type(error).__name__
            raise
        finally:
            self.end(status, size, fault)

    def _enter(self) -> None:
        """Have what storage is asked for count as this request's, here and now."""
        tally.set(self._counts)
        if self._span is not None:
            waits.set(self._waits)
            self._span.enter()

    def _fields(
        self, status: int, size: int, milliseconds: float, fault: str
    ) -> dict[str, str | int | float]:
        """The line as data (docs/operations.md)."""
        named = self.about[:_MOST_NAMED] or (self.resource or _NOTHING,)
        uids = {
            "study": ",".join(one.study or "" for one in named),
            "series": named[0].series,
            "instance": named[0].instance,
        }
        return {
            "transaction": self.name,
            "method": self._method,
            **{level: uid for level, uid in uids.items() if uid},
            "status": status,
            "bytes": size,
            "who": self.caller.subject,
            "app": self.caller.application,
            "ms": round(milliseconds, 1),
            **{str(kind): count for kind, count in sorted(self._counts.items())},
            "storage_ms": round(sum(self._waits) * 1000, 1),
            "storage_longest_ms": round(max(self._waits, default=0.0) * 1000, 1),
            **({"broken": fault} if fault else {}),
        }
