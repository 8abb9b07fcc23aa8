"""The parameters of the change feed: defaults, limits, times, and what clients write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.errors import BadRequest
from dicom_core.web import changefeed_parameters
from dicom_core.web.changefeed_parameters import LIMITS, NAMES, Parsed
from tests.serving import ROOT

EIGHT = datetime(2026, 1, 31, 8, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def parse(text: str, version: int = 2) -> Parsed:
    """Parse a query string."""
    return changefeed_parameters.parse(parse_qsl(text, keep_blank_values=True), version)


@pytest.mark.parametrize(("version", "limit"), [(1, 10), (2, 100)])
def test_defaults(version: int, limit: int) -> None:
    """From the beginning, a page of the version's size, with metadata."""
    assert parse("", version) == Parsed(0, limit, None, None, metadata=True, warnings=())


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("offset=7&limit=1", 1, (7, 1, True)),
        ("limit=100", 1, (0, 100, True)),
        ("offset=9223372036854775807&limit=200", 2, (2**63 - 1, 200, True)),
        ("OFFSET=2&Limit=3&includemetadata=FALSE", 2, (2, 3, False)),
        ("?offset=5&includeMetadata=True", 1, (0, 10, True)),
        (" limit = 4 ", 2, (0, 4, True)),
    ],
    ids=["v1", "v1 most", "v2 most", "case", "C#", "blanks"],
)
def test_numbers_and_truth(text: str, version: int, expected: tuple[int, int, bool]) -> None:
    """Names and truth in any case; numbers up to the limits of the version."""
    found = parse(text, version)

    assert (found.offset, found.limit, found.metadata) == expected


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("limit=101", 1),
        ("limit=201", 2),
        *(
            (text, version)
            for version in (1, 2)
            for text in (
                "limit=-1",
                "limit=0",
                "limit=blah",
                "limit=",
                "limit=1.0",
                "limit=٣",
                "offset=-1",
                "offset=92233720368547758070",
                "offset=9223372036854775808",
                "offset=blah",
                "includeMetadata=0",
                "includeMetadata=true-ish",
                "includeMetadata=boolean",
                "includeMetadata=",
                "limit=1&limit=1",
                "limit=1&LIMIT=1",
            )
        ),
    ],
)
def test_malformed_values(text: str, version: int) -> None:
    """They are refused, by a text that names the parameter and repeats no value."""
    with pytest.raises(
        BadRequest, match=r"^(limit|offset|includeMetadata) (must be|is given twice)"
    ) as caught:
        parse(text, version)

    assert "blah" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T08:00:00Z", EIGHT),
        ("2026-01-31t08:00z", EIGHT),
        ("2026-01-31T10:00:00%2B02:00", EIGHT),
        ("2026-01-31T10:00:00+02:00", EIGHT),
        ("2026-01-31%2010:00:00%2B0200", EIGHT),
        ("2026-01-31T03:30:00-04:30", EIGHT),
        ("2026-01-31T10:00:00%2B02", EIGHT),
        ("2026-01-31T08:00:00.0000000%2B00:00", EIGHT),
        ("2026-01-31T08:00:00.5Z", EIGHT + timedelta(seconds=0.5)),
        ("2026-01-31T08:00:00,123456Z", EIGHT + timedelta(microseconds=123456)),
        ("2026-01-31T08:00:00.1234560Z", EIGHT + timedelta(microseconds=123456)),
        ("2026-01-31T08:00:00.1234561Z", EIGHT + timedelta(microseconds=123457)),
        ("0001-01-01T00:00:00.0000000%2B00:00", FIRST),
        ("0001-01-01T00:00:00%2B14:00", FIRST),
    ],
)
def test_times(text: str, time: datetime) -> None:
    """ISO 8601 with a zone; a plus sign may not have been encoded; what the feed's times cannot show is rounded up."""
    assert parse(f"startTime={text}").start == time


def test_end_of_the_calendar() -> None:
    """What clients write for an end that is open is as late as can be."""
    assert parse("endTime=9999-12-31T23:59:59.9999999%2B00:00").end == LAST


@pytest.mark.parametrize(
    "text", ["startTime=9999-12-31T23:59:59.9999999Z", "endTime=0001-01-01T00:00:00.0000000Z"]
)
def test_one_time_alone(text: str) -> None:
    """There is no other that it could contradict: nothing lies beyond the ends of the calendar."""
    found = parse(text)

    assert (found.start, found.end) in ((LAST, None), (None, FIRST))


@pytest.mark.parametrize(
    "text",
    [
        "startTime=foo&endTime=2023-05-03T10:58:00Z",
        "startTime=2023-05-03T10:58:00Z&endTime=bar",
        "startTime=2023-05-03T10:58:00&endTime=2023-05-03T11:00:00Z",
        "startTime=2023-05-03T10:58:00Z&endTime=2023-05-03T11:00:00",
        "startTime=2023-05-03T10:58:00Z&endTime=2023-05-03T10:58:00Z",
        "startTime=2023-05-03T10:59:00Z&endTime=2023-05-03T10:58:00Z",
        "startTime=2023-05-03T10:58:00Z&endTime=2023-05-03T12:58:00%2B02:00",
        "startTime=",
        "startTime=2023-05-03",
        "startTime=2023-05-03Z",
        "startTime=2023-02-30T10:58:00Z",
        "startTime=2023-05-03T24:00:00Z",
        "startTime=2023-05-03T10:58:60Z",
        "startTime=0000-05-03T10:58:00Z",
        "startTime=2023-05-03T10:58:00%2B24:00",
        "startTime=2023-05-03T10:58:00+00:00Z",
        "startTime=2023-05-03T10:58:00Z&STARTTIME=2023-05-03T10:58:00Z",
    ],
)
def test_malformed_times(text: str) -> None:
    """No zone, no time, an end that is not after the start: refused."""
    with pytest.raises(BadRequest, match=r"^(startTime|endTime) "):
        parse(text)


@given(st.datetimes(), st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
def test_times_are_read_as_they_are_written(time: datetime, zone: timedelta) -> None:
    """What Python writes in any zone is the same time, as far as the calendar goes."""
    minutes = zone // timedelta(minutes=1)
    sign = "-" if minutes < 0 else "%2B"
    written = f"{time.isoformat()}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    try:
        expected = time.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    except OverflowError:
        expected = LAST if time.year > 1 else FIRST

    if expected != LAST:  # before the end that is open
        assert parse(f"startTime={written}").start == expected


@pytest.mark.parametrize(
    ("text", "version", "named"),
    [
        ("startTime=foo&endTime=bar", 1, ["startTime", "endTime"]),
        ("partition=1&partition=2", 2, ["partition"]),
        ("%3Cb%3E=1", 2, ["a parameter"]),
    ],
)
def test_unknown_parameters(text: str, version: int, named: list[str]) -> None:
    """They are ignored, each with one warning that names it; times are unknown to version 1."""
    warnings = parse(text, version).warnings

    assert [warning.partition(" is no")[0] for warning in warnings] == named


def test_parameters_of_the_latest() -> None:
    """Whether its metadata are wanted, and nothing else."""
    found = changefeed_parameters.parse_latest([("includemetadata", "false"), ("limit", "x")])

    assert (found.metadata, len(found.warnings)) == (False, 1)
    with pytest.raises(BadRequest, match=r"^includeMetadata"):
        changefeed_parameters.parse_latest([("includeMetadata", "asdf")])


@given(
    st.lists(st.tuples(st.sampled_from([*NAMES[2], "x"]) | st.text(), st.text()), max_size=4),
    st.sampled_from([1, 2]),
)
def test_any_parameters(parameters: list[tuple[str, str]], version: int) -> None:
    """They are read, or refused."""
    try:
        found = changefeed_parameters.parse(parameters, version)
    except BadRequest:
        return
    assert 1 <= found.limit <= LIMITS[version].most


def test_conformance_statement_has_the_limits() -> None:
    """Parameters of the conformance statement = those that are read, with their limits."""
    text = (ROOT / "docs" / "conformance.md").read_text()
    head = "| parameter | `/v1` | `/v2` |\n|---|---|---|\n"
    rows = [row.strip("|").split("|") for row in text.partition(head)[2].partition("\n\n")[0].splitlines()]
    told = {name.strip(): (first.strip(), second.strip()) for name, first, second in rows}

    assert tuple(told) == NAMES[2]
    assert tuple(name for name, (first, _) in told.items() if first) == NAMES[1]
    assert told["limit"] == tuple(
        f"1 to {LIMITS[version].most}, {LIMITS[version].default} unless given" for version in (1, 2)
    )
