"""What the answer to a request means for its files, and what is to be sent again.

| answer | meaning |
|---|---|
| 200, 202, 409 | the Store Instances Response Module says what became of each (PS3.18 10.5.3, Annex I) |
| 408, 429, 503 | the service is busy: the same again, after Retry-After or a back-off |
| 500, 502, 504, no answer | one of the files may be why: again in halves, after a back-off |
| 413, 400 and others | refused as a whole: again in halves, at once; a single file has failed |
| 3xx, 401, 403, 404, 405 | the URL or the token is wrong: the end |
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from tools.upload.files import Batch, File
from tools.upload.outcomes import Fate, Outcome, failed

ATTEMPTS = 8
"""How often a file is tried before it has failed: about a minute, longer if the service says so."""

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_LONGEST_RETRY_AFTER = 120.0

_MODULE = (200, 202, 409)
_BUSY = (408, 429, 503)
_FAULT = (500, 502, 504)
_STOP = (401, 403, 404, 405)
_HINTS = {404: "is that the root of its DICOMweb resources, with its version (…/v2)?"}

_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_REFERENCED_SOP_INSTANCE = "00081155"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"
_FAILED_ATTRIBUTES = "00741048"
_ERROR_COMMENT = "00000902"

_IDENTICAL = 0xB00E
_FAILURES = {
    0x0110: "could not be processed",
    0x0111: "another instance has the same UIDs",
    0x0122: "the SOP class is not supported",
    0x0124: "not authorized",
    0xA901: "the study differs from the one in the path",
    0xB00E: "other bytes are stored under the same UIDs",
    0xC122: "the transfer syntax is not supported",
}
_FAILURE_RANGES = {
    range(0xA700, 0xA800): "the service is out of resources",
    range(0xA900, 0xAA00): "a required attribute is missing or not valid",
    range(0xC000, 0xD000): "could not be understood",
}
_WARNINGS = {
    0x0001: "attributes are not valid",
    0xB000: "data elements were coerced",
    0xB006: "elements were discarded",
    0xB007: "does not match its SOP class, or has implicit VR",
}

Item = Mapping[str, Any]


class Stop(Exception):
    """There is no use in sending anything more; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request; header names are in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The first line, if the answer is plain text."""
        plain = self.headers.get("content-type", "").startswith("text/plain")
        return self.body[:300].decode(errors="replace").strip().partition("\n")[0] if plain else ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of files of a batch, and what is to be sent again after a wait of so many seconds."""

    outcomes: tuple[Outcome, ...] = ()
    again: tuple[Batch, ...] = ()
    wait: float = 0.0
    why: str = ""


def judge(batch: Batch, reply: Reply) -> Verdict:
    """Read the answer to a batch.

    Raises
    ------
    Stop
        No other file would fare better.
    """
    if reply.status in _MODULE:
        return _stored(batch, reply)
    why = f"the service answered {reply.status}"
    if reply.status in _STOP or 300 <= reply.status < 400:
        more = reply.text or reply.headers.get("location", "") or _HINTS.get(reply.status, "")
        raise Stop(": ".join(filter(None, (why, more))))
    if reply.status in _BUSY:
        return _later(batch, (batch,), why, reply.text, wait=_retry_after(reply))
    if reply.status in _FAULT:
        return broken(batch, why, reply.text)
    if len(batch.files) > 1:
        return Verdict(again=_halves(batch), why=why)
    return Verdict(_all_failed(batch, why, reply.text))


def broken(batch: Batch, why: str, comment: str = "") -> Verdict:
    """What to do after a batch that the service broke down over, or that got no answer."""
    return _later(batch, _halves(batch), why, comment)


def back_off(attempt: int) -> float:
    """Seconds to wait after an attempt: twice as long each time, and never the same for two senders."""
    doubled: float = _FIRST_WAIT * 2 ** (attempt - 1)
    return min(_LONGEST_WAIT, doubled) * random.uniform(0.5, 1.0)


def _later(
    batch: Batch, pieces: Iterable[Batch], why: str, comment: str, wait: float | None = None
) -> Verdict:
    if batch.attempt >= ATTEMPTS:
        return Verdict(_all_failed(batch, f"{why}, {batch.attempt} times", comment))
    again = tuple(Batch(piece.files, batch.attempt + 1) for piece in pieces)
    return Verdict(again=again, wait=back_off(batch.attempt) if wait is None else wait, why=why)


def _halves(batch: Batch) -> tuple[Batch, ...]:
    middle = (len(batch.files) + 1) // 2
    parts = (batch.files[:middle], batch.files[middle:])
    return tuple(Batch(files, batch.attempt) for files in parts if files)


def _all_failed(batch: Batch, reason: str, comment: str = "") -> tuple[Outcome, ...]:
    comments = (comment,) if comment else ()
    return tuple(failed(file.path, file.size, reason, *comments) for file in batch.files)


def _retry_after(reply: Reply) -> float | None:
    """Retry-After in seconds (RFC 9110 10.2.3); None if there is none that can be read."""
    value = reply.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _stored(batch: Batch, reply: Reply) -> Verdict:
    """Find each file in the answer; those that it does not name are sent again, each alone."""
    failures, references = _items(reply.body)
    if len(batch.files) == 1:
        return Verdict((_alone(batch.files[0], reply, failures, references),))
    by_instance = {_first(item, _REFERENCED_SOP_INSTANCE): _stored_outcome(item) for item in references}
    by_instance |= {_first(item, _REFERENCED_SOP_INSTANCE): _failed_outcome(item) for item in failures}
    named = [(file, by_instance.get(file.instance)) for file in batch.files]
    return Verdict(
        tuple(found.of(file) for file, found in named if found is not None),
        tuple(Batch((file,)) for file, found in named if found is None),
        why="the answer does not name every file",
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What an item of the answer says."""

    fate: Fate
    reason: str = ""
    code: str = ""
    comments: tuple[str, ...] = ()

    def of(self, file: File) -> Outcome:
        return Outcome(file.path, file.size, self.fate, self.reason, self.code, self.comments)


def _alone(file: File, reply: Reply, failures: list[Item], references: list[Item]) -> Outcome:
    """The outcome of the only file of a request, whatever its UID."""
    if failures:
        return _failed_outcome(failures[0]).of(file)
    if references:
        return _stored_outcome(references[0]).of(file)
    if reply.status == 200:
        return Outcome(file.path, file.size, Fate.STORED)
    return failed(file.path, file.size, f"the service answered {reply.status} and does not say why")


def _items(body: bytes) -> tuple[list[Item], list[Item]]:
    """The items of Failed SOP Sequence and of Referenced SOP Sequence; none if the body is something else."""
    try:
        dataset = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [], []
    if isinstance(dataset, list):
        dataset = dataset[0] if dataset else {}
    return _values(dataset, _FAILED_SOP_SEQUENCE), _values(dataset, _REFERENCED_SOP_SEQUENCE)


def _failed_outcome(item: Item) -> _Found:
    code = _first(item, _FAILURE_REASON) or 0
    ranges = (text for codes, text in _FAILURE_RANGES.items() if code in codes)
    reason = _FAILURES.get(code) or next(ranges, "not stored")
    comments = tuple(comment for comment in _comments(item) if comment != reason)
    return _Found(Fate.FAILED, reason, f"{code:04X}", comments)


def _stored_outcome(item: Item) -> _Found:
    code = _first(item, _WARNING_REASON)
    if not code:
        return _Found(Fate.STORED)
    if code == _IDENTICAL:
        return _Found(Fate.IDENTICAL)
    return _Found(Fate.WARNED, _WARNINGS.get(code, "warning"), f"{code:04X}", _comments(item))


def _comments(item: Item) -> tuple[str, ...]:
    """Error Comments, of the item itself or of its Failed Attributes Sequence."""
    items = (item, *_values(item, _FAILED_ATTRIBUTES))
    texts = (text for one in items for text in _values(one, _ERROR_COMMENT))
    return tuple(str(text).removeprefix("DICOM100: ") for text in texts)


def _values(item: Item, tag: str) -> list[Any]:
    element = item.get(tag, {}) if isinstance(item, Mapping) else {}
    return list(element.get("Value") or ())


def _first(item: Item, tag: str) -> Any:
    return next(iter(_values(item, tag)), None)
