"""Schedules of timer triggers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tools.local_host import schedule


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * * *", "2024-01-31 23:59:59", "2024-02-01 00:00:00"),
        ("0 */5 * * * *", "2024-01-01 00:05:00", "2024-01-01 00:10:00"),
        ("30 */5 * * * *", "2024-01-01 00:05:00", "2024-01-01 00:05:30"),
        ("*/15 * * * * *", "2024-01-01 00:00:50", "2024-01-01 00:01:00"),
        ("0 0 3 * * *", "2024-01-01 03:00:00", "2024-01-02 03:00:00"),
        ("0 30 9-17 * * Mon-Fri", "2024-01-05 17:30:00", "2024-01-08 09:30:00"),
        ("0 0 0 1,15 * *", "2024-01-02 00:00:00", "2024-01-15 00:00:00"),
        ("0 0 0 29 feb *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"),
        ("0 0 0 * * 0", "2024-01-01 00:00:00", "2024-01-07 00:00:00"),
        ("0 10/20 * * * *", "2024-01-01 00:31:00", "2024-01-01 00:50:00"),
        ("15 10 * * *", "2024-01-01 00:00:00", "2024-01-01 10:15:00"),
    ],
)
def test_schedule_next(expression: str, after: str, expected: str) -> None:
    """The next moment is the first later one whose every field fits."""
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (after, expected))

    assert schedule.parse(expression).next(start) == end


def test_schedule_impossible() -> None:
    """A day that no month has never comes."""
    with pytest.raises(ValueError, match="never"):
        schedule.parse("0 0 0 30 2 *").next(datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * * *", "second"),
        ("* * 24 * * *", "hour"),
        ("* * * 0 * *", "day"),
        ("* * * * foo *", "month"),
        ("* * * * * 5-1", "day of week"),
        ("*/0 * * * * *", "second"),
        ("* * *", "fields"),
    ],
)
def test_schedule_malformed(expression: str, field: str) -> None:
    """A malformed schedule is refused and the field named."""
    with pytest.raises(ValueError, match=field):
        schedule.parse(expression)
