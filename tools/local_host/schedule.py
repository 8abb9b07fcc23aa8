"""Schedules of timer triggers: NCRONTAB expressions of six fields, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# name, lowest, highest, words and the number of the first one
_FIELDS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_HORIZON = timedelta(days=366 * 8 + 2)  # the longest gap between two 29th of February


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values each field may have, in ascending order."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    def next(self, after: datetime) -> datetime:
        """The first moment later than `after`.

        Raises
        ------
        ValueError
            There is none (the 30th of February).
        """
        earliest = after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day, last = earliest.date(), earliest.date() + _HORIZON
        while day <= last:
            if self._includes(day):
                is_first = day == earliest.date()
                floor = (earliest.hour, earliest.minute, earliest.second) if is_first else (0, 0, 0)
                time = self._first_time(floor)
                if time is not None:
                    return datetime(day.year, day.month, day.day, *time, tzinfo=UTC)
            day += timedelta(days=1)
        raise ValueError("the schedule never occurs")

    def _includes(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _first_time(self, floor: tuple[int, int, int]) -> tuple[int, int, int] | None:
        return min(
            (
                time
                for hour in self.hours
                if hour >= floor[0]
                for minute in self.minutes
                if (hour, minute) >= floor[:2]
                for second in self.seconds
                if (time := (hour, minute, second)) >= floor
            ),
            default=None,
        )


def parse(expression: str) -> Schedule:
    """Read `{second} {minute} {hour} {day} {month} {day of week}`; five fields have the second 0.

    Raises
    ------
    ValueError
        The expression is malformed; the message names the field.
    """
    fields = expression.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != len(_FIELDS):
        raise ValueError(f"schedule {expression!r} has {len(fields)} fields, not 6")
    return Schedule(*(_field(text, *rule) for text, rule in zip(fields, _FIELDS, strict=True)))


def _field(text: str, name: str, low: int, high: int, words: Sequence[str]) -> tuple[int, ...]:
    values: set[int] = set()
    try:
        for item in text.split(","):
            values.update(_item(item, low, high, words))
    except ValueError as error:
        raise ValueError(f"schedule field {name!r}: {text!r} is malformed") from error
    return tuple(sorted(values))


def _item(item: str, low: int, high: int, words: Sequence[str]) -> range:
    span, _, step = item.partition("/")
    every = int(step) if step else 1
    if span == "*":
        first, last = low, high
    elif "-" in span:
        first, last = (_number(end, low, words) for end in span.split("-"))
    else:
        first = _number(span, low, words)
        last = high if step else first
    if not (low <= first <= last <= high and every > 0):
        raise ValueError(item)
    return range(first, last + 1, every)


def _number(text: str, low: int, words: Sequence[str]) -> int:
    word = text.lower()[:3]
    if word in words:
        return words.index(word) + low
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
