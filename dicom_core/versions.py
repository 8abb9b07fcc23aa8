"""Names of transactions and of stored versions.

A transaction is named by a ULID: 48 bits of time in milliseconds and 80 random bits in Crockford's base 32, so
that names sort by time (github.com/ulid/spec). The version of an instance is `{transaction}-{part}`, the number
of its part in the request in four hex digits: it names the blob, orders "latest", and is the ETag.
"""

from __future__ import annotations

import hashlib
import secrets
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
MAX_PARTS = 10_000
"""Parts of one request: the decision names them all, in an entity of at most 1 MiB that each batch writes anew."""


_last = 0


def new_transaction() -> str:
    """Name a transaction that starts now; later than any name that this process has given before."""
    global _last
    _last = max((time.time_ns() // 1_000_000) << 80 | secrets.randbits(80), _last + (1 << 40))
    return _encode(_last)


def transaction_after(transaction: str) -> str:
    """Name a transaction that sorts after the given one, and is of now if that is later; each call names another."""
    return max(new_transaction(), _encode((_value(transaction) >> 80) + 1 << 80 | secrets.randbits(80)))


def age_of(transaction: str) -> float:
    """Seconds since a transaction started, by the clock of the host that named it and of this one."""
    return time.time() - (_value(transaction) >> 80) / 1000


def version_of(transaction: str, part: int) -> str:
    """Name the version that a part (from 0) of a transaction stores."""
    return f"{transaction}-{part:04x}"


def transaction_of(version: str) -> str:
    """Return the transaction that stored a version."""
    return version.partition("-")[0]


def spread(transaction: str) -> str:
    """Two hex digits that spread the blobs of transactions over storage partitions."""
    return hashlib.blake2b(transaction.encode(), digest_size=1).hexdigest()


def _value(transaction: str) -> int:
    value = 0
    for character in transaction:
        value = value << 5 | _VALUES[character]
    return value


def _encode(value: int) -> str:
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
