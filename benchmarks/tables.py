"""A Table service that keeps any number of rows in memory, and answers reads over HTTP as Azure does.

The emulator compares every row of a table with each query, so that ten thousand studies would take it more than an hour
to store. Here the keys of a partition are sorted once. Rows are written by this process itself, not over HTTP.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

from dicom_core.storage.table_service import MAX_PAGE, Entity, Operation
from tests.fake_tables import FakeTable, Service, _compiled

Key = tuple[str, str]
"""Partition and row."""

_COMPARISON = re.compile(r"(PartitionKey|RowKey) (eq|ge|gt|le|lt) '((?:[^']|'')*)'")
_TARGET = re.compile(r"/\w+/(\w+)\((?:PartitionKey='(.*)',RowKey='(.*)')?\)", re.DOTALL)
_LAST = "\U0010ffff"
_CONTINUATION = ("NextPartitionKey", "NextRowKey")


@dataclass(slots=True)
class Tables(Service):
    """The tables of the account; `keys` has those of partitions, sorted when a query first needs them."""

    keys: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def table(self, name: str) -> SortedTable:
        """One table."""
        return SortedTable(self, name)


class SortedTable(FakeTable):
    """A table whose queries look at the rows between two keys only."""

    def __init__(self, tables: Tables, name: str) -> None:
        super().__init__(tables, name)
        self._tables = tables

    async def query(
        self, condition: str, select: Sequence[str], *, etag: bool = False, most: int | None = None
    ) -> AsyncGenerator[list[Entity], None]:
        """Read what meets a condition, page by page."""
        after: Key | None = ("", "")
        while after is not None:
            await self._turn()
            page, after = self.page(condition, select, after, most, etag=etag)
            yield page

    def page(
        self,
        condition: str,
        select: Sequence[str],
        after: Key,
        most: int | None = None,
        *,
        etag: bool = False,
    ) -> tuple[list[Entity], Key | None]:
        """Read one page of what meets a condition, behind a key; and the last key, if there is more."""
        size = min(MAX_PAGE, most or MAX_PAGE)
        keys = list(islice(self._meeting(condition, after), size + 1))
        more, keys = len(keys) > size, keys[:size]
        rows = [
            self._selected(*key, self._tables.rows(self._name, key[0])[key[1]], select, etag) for key in keys
        ]
        return rows, keys[-1] if more else None

    def _carry_out(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        self._tables.keys.pop((self._name, partition), None)
        return super()._carry_out(partition, operations)

    def _meeting(self, condition: str, after: Key) -> Iterator[Key]:
        partitions, rows, meets = _parsed(condition)
        for partition in self._partitions(*partitions):
            if partition < after[0]:
                continue
            keys, found = self._sorted(partition), self._tables.rows(self._name, partition)
            start = bisect_left(keys, rows[0])
            if partition == after[0]:
                start = max(start, bisect_right(keys, after[1]))
            for at in range(start, bisect_right(keys, rows[1])):
                if meets(partition, keys[at], found[keys[at]][0]):
                    yield partition, keys[at]

    def _partitions(self, first: str, last: str) -> list[str]:
        there = self._tables.tables.get(self._name, {})
        if first == last:
            return [first] if first in there else []
        return sorted(partition for partition in there if first <= partition <= last)

    def _sorted(self, partition: str) -> list[str]:
        key = (self._name, partition)
        if key not in self._tables.keys:
            self._tables.keys[key] = sorted(self._tables.rows(*key))
        return self._tables.keys[key]


def application(tables: Tables) -> web.Application:
    """What answers reads of these tables over HTTP."""

    async def answer(request: web.Request) -> web.Response:
        target = _TARGET.fullmatch(request.path)
        if target is None:
            return _refusal(400, "InvalidUri")
        name, partition, row = target.groups()
        etag = "minimalmetadata" in request.headers.get("Accept", "")
        select = request.query["$select"].split(",")
        if partition is None:
            return _queried(tables.table(name), request.query, select, etag)
        found = await tables.table(name).get(_unquoted(partition), _unquoted(row), select, etag=etag)
        return _refusal(404, "ResourceNotFound") if found is None else _json(found)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    return application


def _queried(table: SortedTable, asked: Mapping[str, str], select: Sequence[str], etag: bool) -> web.Response:
    after = (unquote(asked.get(_CONTINUATION[0], "")), unquote(asked.get(_CONTINUATION[1], "")))
    most = int(asked["$top"]) if "$top" in asked else None
    rows, last = table.page(asked["$filter"], select, after, most, etag=etag)
    response = _json({"value": rows})
    for name, value in zip(_CONTINUATION, last or (), strict=False):
        response.headers[f"x-ms-continuation-{name}"] = quote(value, safe="")
    return response


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")


def _refusal(status: int, code: str) -> web.Response:
    return web.Response(status=status, headers={"x-ms-error-code": code})


def _unquoted(key: str) -> str:
    return key.replace("''", "'")


@lru_cache(1000)
def _parsed(condition: str) -> tuple[Key, Key, Callable[[str, str, Mapping[str, Any]], bool]]:
    """The first and the last partition and row that can meet a condition, and what compares with it.

    Comparisons of the partition hold for the whole condition; those of rows narrow it unless there are alternatives.
    """
    spans = {"PartitionKey": ("", _LAST), "RowKey": ("", _LAST)}
    has_alternatives = " or " in _COMPARISON.sub("", condition)
    for name, operator, text in _COMPARISON.findall(condition):
        if name == "PartitionKey" or not has_alternatives:
            first, last = spans[name]
            value = _unquoted(text)
            spans[name] = (
                max(first, value) if operator in ("eq", "ge", "gt") else first,
                min(last, value) if operator in ("eq", "le", "lt") else last,
            )
    return spans["PartitionKey"], spans["RowKey"], _compiled(condition)
