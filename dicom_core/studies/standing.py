"""What stands now of the instances that a page of the change feed names, in few reads and bounded memory.

Few instances of a series are read one by one, some at once, while those before are sent. Many are read by their series
in one request; their headers, too, if the series is not much larger than what is asked for, and they are not large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from dicom_core.changes import Change
from dicom_core.ports import StudyIndex
from dicom_core.record import Columns, Instance
from dicom_core.resources import Resource
from dicom_core.studies.ahead import ahead

MANY = 16
"""Instances of a series from which on the series is read: two rounds of single reads."""

MUCH_LARGER = 5
"""How many times as large as what is asked for a series may be whose headers are read.

A row of many costs a fifteenth of one that is read by itself; for 200 entries 1,000 rows are read at most, by one
request.
"""

ROOM = 16 << 20
"""Bytes of headers that are kept until it is their turn."""

Standing = Mapping[Resource, Instance | None]
"""What stands of some instances; None where nothing does."""


async def known(index: StudyIndex, changes: Sequence[Change], *, headers: bool) -> Standing:
    """What is known before an answer begins: of the series of which there are many instances."""
    wanted = _by_series(changes)
    found: dict[Resource, Instance | None] = {}
    room = ROOM
    async with aclosing(ahead(index.records(series, Columns.NONE) for series in wanted)) as reads:
        for series, members in wanted.items():
            rows = _by_name(await anext(reads))
            found |= dict.fromkeys(member for member in members if member not in rows)
            standing: Standing = {member: rows[member] for member in members if member in rows}
            if headers and standing:
                standing = await _with_headers(index, series, list(standing), len(rows), room)
                room -= sum(map(_size, standing.values()))
            found |= standing
    return found


async def each(
    index: StudyIndex, changes: Sequence[Change], known: Standing, *, headers: bool
) -> AsyncGenerator[tuple[Change, Instance | None], None]:
    """Each change with what stands of its instance, which is read once, if there is room to keep it that long."""
    columns = Columns.HEADER if headers else Columns.NONE
    needed = Counter(change.resource for change in changes)
    unread = dict.fromkeys(resource for resource in needed if resource not in known)
    kept = dict(known)
    room = ROOM - sum(map(_size, kept.values()))
    async with aclosing(ahead(_read(index, resource, columns) for resource in tuple(unread))) as reads:
        for change in changes:
            resource = change.resource
            if resource in unread:
                del unread[resource]
                row = await anext(reads)
            elif resource in kept:
                row = kept.pop(resource)
                room += _size(row)
            else:
                row = await _read(index, resource, columns)
            needed[resource] -= 1
            if needed[resource] and _size(row) <= room:
                kept[resource] = row
                room -= _size(row)
            yield change, row


def _by_series(changes: Sequence[Change]) -> dict[Resource, list[Resource]]:
    """The instances of each series that has many of them here."""
    members: dict[Resource, list[Resource]] = {}
    for resource in dict.fromkeys(change.resource for change in changes):
        series = Resource(resource.study, resource.series, partition=resource.partition)
        members.setdefault(series, []).append(resource)
    return {series: found for series, found in members.items() if len(found) >= MANY}


async def _with_headers(
    index: StudyIndex, series: Resource, members: Sequence[Resource], count: int, room: int
) -> Standing:
    """Instances of a series that has so many, with their headers; none if those would take too much room.

    The headers of a series are much alike: the first says how large all will be.
    """
    if count > MUCH_LARGER * len(members):
        return {}
    if _size(await _read(index, members[0], Columns.HEADER)) * count > room:
        return {}
    rows = _by_name(await index.records(series, Columns.HEADER))
    return {member: rows.get(member) for member in members}


async def _read(index: StudyIndex, resource: Resource, columns: Columns) -> Instance | None:
    return next(iter(await index.records(resource, columns)), None)


def _by_name(rows: Sequence[Instance]) -> dict[Resource, Instance]:
    return {row.resource: row for row in rows}


def _size(row: Instance | None) -> int:
    return 0 if row is None else len(row.header)
