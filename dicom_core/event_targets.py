"""Where events about changes go to, as a setting lists it, and what each of these is called."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

QUEUE = "queue:"
"""What a queue of the storage account is named with."""

_LONGEST_NAME = 63
_QUEUE_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
_TOPIC_HOST = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+\.eventgrid\.azure\.[a-z]+")
_NO_NAME = re.compile(r"[^a-z0-9]+")


class Kind(StrEnum):
    """What takes the events."""

    TOPIC = "topic"
    QUEUE = "queue"
    WEBHOOK = "webhook"


class TargetError(ValueError):
    """A target cannot be what it is said to be; the text never shows the query of a URL, which may be a secret."""


@dataclass(frozen=True, slots=True)
class EventTarget:
    """One target: the URL of a topic or a webhook, or the name of a queue.

    `name` follows from the address alone, so that a target keeps its place in the feed wherever the setting lists it.
    """

    kind: Kind
    address: str = field(repr=False)
    name: str


def parse(text: str, *, local: bool) -> tuple[EventTarget, ...]:
    """Read targets, separated by commas; only a local run may send to http://.

    Raises
    ------
    TargetError
        One is malformed, or there twice.
    """
    targets = tuple(_target(member.strip(), local) for member in text.split(",") if member.strip())
    names = [target.name for target in targets]
    for target in targets:
        if names.count(target.name) > 1:
            raise TargetError(f"{target.name} is listed twice (the query of a URL does not tell it apart)")
    return targets


def _target(text: str, local: bool) -> EventTarget:
    if text.startswith(QUEUE):
        return _queue(text.removeprefix(QUEUE))
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise TargetError("a URL is malformed") from None
    where = f"{url.scheme}://{host}"
    if url.scheme != "https" and not (local and url.scheme == "http"):
        raise TargetError(f"{where[:100]} is neither a URL that begins with https:// nor {QUEUE}NAME")
    if not host or url.username is not None or url.fragment:
        raise TargetError(f"{where[:100]} has no host, or a user or a fragment, which it cannot have")
    kind = Kind.TOPIC if _TOPIC_HOST.fullmatch(host) else Kind.WEBHOOK
    digest = _digest(f"{url.scheme}://{url.netloc.lower()}{url.path}")
    label = host.split(".")[0] if kind is Kind.TOPIC else host
    return EventTarget(kind, text, f"{kind}-{_NO_NAME.sub('-', label)[:40].strip('-')}-{digest}")


def _queue(name: str) -> EventTarget:
    if _QUEUE_NAME.fullmatch(name) is None:
        raise TargetError(
            f"{QUEUE}{name[:100]} does not name a queue: 3 to 63 small letters, digits, hyphens"
        )
    called = f"queue-{name}"
    if len(called) > _LONGEST_NAME:
        digest = _digest(name)
        called = f"{called[: _LONGEST_NAME - len(digest) - 1]}-{digest}"
    return EventTarget(Kind.QUEUE, name, called)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
