"""Names of transactions and versions."""

from __future__ import annotations

import re
import time

import pytest

from dicom_core import versions


def test_transaction_is_a_ulid() -> None:
    """26 characters of Crockford's base 32."""
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", versions.new_transaction())


def test_transactions_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later millisecond is a later name, whatever the random bits."""
    monkeypatch.setattr(versions, "_last", 0)  # and put it back: names go on from the latest that was given
    names = []
    for millisecond in (1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, (1 << 48) - 1):
        monkeypatch.setattr(time, "time_ns", lambda at=millisecond: at * 1_000_000)
        names += [versions.new_transaction()]

    assert names == sorted(set(names))


def test_transactions_are_unique() -> None:
    """Within one millisecond, too."""
    assert len({versions.new_transaction() for _ in range(10_000)}) == 10_000


def test_transaction_after_one_of_the_past_is_of_now() -> None:
    """A name tells when."""
    before = versions.new_transaction()

    assert before <= versions.transaction_after("0" * 26)[:10] + "Z" * 16


def test_transaction_after_one_of_the_future_is_later() -> None:
    """Another host's clock may be ahead; names go on from there, as often as need be."""
    name = "7ZZZZZZZZ0" + "Z" * 16
    for _ in range(100):
        later = versions.transaction_after(name)
        assert later > name
        assert len(later) == 26
        name = later


def test_transactions_after_the_same_differ() -> None:
    """Two transactions that go on from the same name, of a clock ahead, are two."""
    name = "7ZZZZZZZZ0" + "Z" * 16

    assert versions.transaction_after(name) != versions.transaction_after(name)


@pytest.mark.parametrize("part", [0, 1, 0xFFFF])
def test_version_tells_its_transaction(part: int) -> None:
    """Versions of one transaction sort by part, and share its name."""
    name = versions.new_transaction()
    version = versions.version_of(name, part)

    assert versions.transaction_of(version) == name
    assert version == f"{name}-{part:04x}"


def test_spread_is_two_digits_that_differ() -> None:
    """Blobs of different transactions lie in different places of the service."""
    places = {versions.spread(versions.new_transaction()) for _ in range(5000)}

    assert len(places) > 200
    assert all(re.fullmatch("[0-9a-f]{2}", place) for place in places)
