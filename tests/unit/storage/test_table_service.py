"""Requests to the Table service: what is checked before, how they are written, how replies are read."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import pytest

from dicom_core.errors import StorageUnavailable
from dicom_core.storage import table_service
from dicom_core.storage.rest import Client, Kind, Reply
from dicom_core.storage.table_service import (
    Action,
    Conflict,
    Operation,
    Table,
    check,
    check_condition,
    literal,
)


class Replies:
    """A client that gives prepared replies, and keeps what it was asked."""

    endpoint = "https://account.table.core.windows.net"

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.asked: list[dict[str, Any]] = []

    async def send(self, kind: Kind, method: str, path: str, **how: Any) -> Reply:
        """Give the next reply."""
        assert kind is Kind.TABLE
        self.asked.append({"method": method, "path": path, **how})
        return self._replies.pop(0)


def table(*replies: Reply) -> tuple[Table, Replies]:
    """A table with prepared replies."""
    client = Replies(*replies)
    return Table(cast(Client, client), "rows"), client


def page(keys: Sequence[str], **continuation: str) -> Reply:
    """A page of a query."""
    headers = {f"x-ms-continuation-{name}": value for name, value in continuation.items()}
    return Reply(200, headers, orjson.dumps({"value": [{"RowKey": key} for key in keys]}))


def parts(*answers: str) -> Reply:
    """The reply to a batch."""
    body = "".join(f"--c\r\nContent-Type: application/http\r\n\r\n{answer}\r\n" for answer in answers)
    return Reply(202, {}, f"--b\r\n{body}--c--\r\n--b--\r\n".encode())


CREATED = "HTTP/1.1 204 No Content\r\nETag: W/\"datetime'2026-01-01T00%3A00%3A00Z'\"\r\n"
DELETED = "HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n"


def refused(status: int, index: int) -> str:
    """The part that says why a batch failed."""
    error = {
        "odata.error": {
            "code": "Code",
            "message": {"lang": "en-US", "value": f"{index}:It failed.\nRequestId"},
        }
    }
    return f"HTTP/1.1 {status} Failed\r\nContent-Type: application/json\r\n\r\n{orjson.dumps(error).decode()}"


@pytest.mark.parametrize("name", ["00100010", "a-b", "a b", "", "é", "a" * 256, "9"])
def test_property_name_the_service_refuses(name: str) -> None:
    """Names follow the rules of C# identifiers; the emulator does not look."""
    with pytest.raises(ValueError, match="cannot be the name"):
        check("p", "r", {name: "1"})


@pytest.mark.parametrize("name", ["t00100010", "_a", "A1", "a" * 255])
def test_property_name_the_service_takes(name: str) -> None:
    """Letters, digits and underscores."""
    check("p", "r", {name: "1", f"{name}@odata.type": "Edm.String"})


@pytest.mark.parametrize("key", ["a/b", "a\\b", "a#b", "a?b", "a\tb", "a\x00", "a\x7f", "a\x9f", "a" * 513])
def test_key_the_service_refuses(key: str) -> None:
    """Keys have no slashes, number signs, question marks or control characters, and 1 KiB at most."""
    with pytest.raises(ValueError, match="key"):
        check(key, "r", {})
    with pytest.raises(ValueError, match="key"):
        check("p", key, {})


@pytest.mark.parametrize("key", ["", "a|b", "~a", "1.2'3", "a" * 512])
def test_key_the_service_takes(key: str) -> None:
    """Everything else."""
    check(key, key, {})


def test_number_of_properties() -> None:
    """252 beside the keys and the time stamp; what names the type of one is none of its own."""
    properties: dict[str, Any] = {f"p{number}": "1" for number in range(252)}
    check("p", "r", properties | {"p0@odata.type": "Edm.String"})

    with pytest.raises(ValueError, match="253 properties"):
        check("p", "r", properties | {"more": 1})


@pytest.mark.parametrize(
    ("properties", "fits"),
    [
        ({"p": "a" * (32 << 10)}, True),
        ({"p": "a" * ((32 << 10) + 1)}, False),
        ({"p": "\U0001f600" * (16 << 10)}, True),
        ({"p": "\U0001f600" * ((16 << 10) + 1)}, False),
        ({"p": base64.b64encode(bytes(64 << 10)).decode(), "p@odata.type": "Edm.Binary"}, True),
        ({"p": base64.b64encode(bytes((64 << 10) + 1)).decode(), "p@odata.type": "Edm.Binary"}, False),
        ({f"p{number}": "a" * (32 << 10) for number in range(15)}, True),
        ({f"p{number}": "a" * (32 << 10) for number in range(17)}, False),
    ],
    ids=["text", "long text", "wide text", "long wide text", "bytes", "many bytes", "entity", "large entity"],
)
def test_size_of_properties(properties: Mapping[str, Any], fits: bool) -> None:
    """64 KiB a property, UTF-16 for text, and 1 MiB an entity."""
    if fits:
        check("p", "r", properties)
        return
    with pytest.raises(ValueError, match="the service takes"):
        check("p", "r", properties)


async def test_batch_of_too_many_operations() -> None:
    """100 operations; nothing is sent."""
    rows, client = table()

    with pytest.raises(ValueError, match="101 operations"):
        await rows.transact("p", [Operation(Action.INSERT, f"{number}") for number in range(101)])
    assert not client.asked


async def test_batch_of_too_many_bytes() -> None:
    """4 MiB; nothing is sent."""
    rows, client = table()
    properties = {f"p{number}": "a" * (32 << 10) for number in range(14)}

    with pytest.raises(ValueError, match="a transaction of"):
        await rows.transact("p", [Operation(Action.INSERT, f"{number}", properties) for number in range(10)])
    assert not client.asked


async def test_batch_is_written_as_the_service_reads_it() -> None:
    """A change set of whole HTTP requests with absolute URLs (Performing entity group transactions)."""
    rows, client = table(parts(CREATED, CREATED, DELETED))

    await rows.transact(
        "p|1",
        [
            Operation(Action.INSERT, "a", {"n": 1}),
            Operation(Action.UPSERT, "b'c", {"n": 2}, 'W/"e"'),
            Operation(Action.DELETE, "d", etag='W/"f"'),
        ],
    )

    sent = b"".join(client.asked[0]["body"]).decode()
    requests = [part.split("\r\n\r\n", 1)[1] for part in sent.split("--changeset_0\r\n")[1:]]
    url = f"{Replies.endpoint}/rows"
    assert requests[0].startswith(f"POST {url} HTTP/1.1\r\n")
    assert '\r\n\r\n{"PartitionKey":"p|1","RowKey":"a","n":1}\r\n' in requests[0]
    assert requests[1].startswith(f"PUT {url}(PartitionKey='p%7C1',RowKey='b%27%27c') HTTP/1.1\r\n")
    assert 'If-Match: W/"e"\r\n' in requests[1]
    assert requests[2].startswith(f"DELETE {url}(PartitionKey='p%7C1',RowKey='d') HTTP/1.1\r\n")
    assert 'If-Match: W/"f"\r\n' in requests[2]
    assert sent.endswith("--changeset_0--\r\n--batch_0--\r\n")


async def test_batch_gives_etags_in_their_order() -> None:
    """One for each operation; a deletion has none."""
    rows, _ = table(parts(CREATED.replace("01T", "05T"), DELETED, CREATED))
    operations = [
        Operation(Action.INSERT, "a"),
        Operation(Action.DELETE, "b", etag="*"),
        Operation(Action.UPSERT, "c"),
    ]

    etags = await rows.transact("p", operations)

    assert etags == [
        "W/\"datetime'2026-01-05T00%3A00%3A00Z'\"",
        "",
        "W/\"datetime'2026-01-01T00%3A00%3A00Z'\"",
    ]


@pytest.mark.parametrize("status", [404, 409, 412])
async def test_batch_names_the_operation_in_conflict(status: int) -> None:
    """The index at the beginning of the service's message."""
    rows, _ = table(parts(refused(status, 17)))

    with pytest.raises(Conflict) as conflict:
        await rows.transact("p", [Operation(Action.INSERT, "a")])

    assert (conflict.value.index, conflict.value.status) == (17, status)


async def test_batch_is_repeated_after_a_time_out_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that is busy says so in a part of an answer that is accepted as a whole."""
    monkeypatch.setattr(table_service, "_BATCH_DELAYS", (0.0, 0.0, 0.0))
    rows, client = table(parts(refused(500, 0)), parts(refused(503, 0)), parts(CREATED))

    assert len(await rows.transact("p", [Operation(Action.INSERT, "a")])) == 1
    assert len(client.asked) == 3


@pytest.mark.parametrize(
    "replies",
    [[parts(refused(400, 0))], [Reply(403, {}, b"")], [parts(refused(500, 0))] * 3],
    ids=["bad", "forbidden", "busy"],
)
async def test_batch_that_is_no_race_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, replies: list[Reply]
) -> None:
    """Whatever else goes wrong, the outcome is unknown."""
    monkeypatch.setattr(table_service, "_BATCH_DELAYS", (0.0, 0.0, 0.0))
    rows, client = table(*replies)

    with pytest.raises(StorageUnavailable):
        await rows.transact("p", [Operation(Action.INSERT, "a")])
    assert len(client.asked) == len(replies)


async def test_query_follows_continuations() -> None:
    """Pages may be short or empty; the next is asked for with what the last one said, and nothing from before."""
    rows, client = table(
        page(["a"], NextPartitionKey="p1", NextRowKey="r1"), page([], NextPartitionKey="p2"), page(["b"])
    )

    found = [row["RowKey"] async for rows_ in rows.query("x", ["RowKey"]) for row in rows_]

    assert found == ["a", "b"]
    same = {"$filter": "x", "$select": "RowKey"}
    assert [asked["query"] for asked in client.asked] == [
        same,
        same | {"NextPartitionKey": "p1", "NextRowKey": "r1"},
        same | {"NextPartitionKey": "p2"},
    ]


async def test_get_of_nothing_is_none() -> None:
    """404 is an answer."""
    rows, _ = table(Reply(404, {}, b""))

    assert await rows.get("p", "r", ["a"]) is None


@pytest.mark.parametrize(
    ("value", "expected"), [("a", "'a'"), ("a'b", "'a''b'"), ("''", "''''''"), ("", "''")]
)
def test_literal_doubles_quotes(value: str, expected: str) -> None:
    """A quote within a string of a filter is written twice."""
    assert literal(value) == expected


def test_filter_of_too_many_comparisons_is_refused() -> None:
    """The service takes 15 in a filter, Azurite any number; what stands within literals is none."""
    fifteen = " or ".join(f"RowKey eq 'a ge b, {number}'" for number in range(15))

    check_condition(fifteen)
    with pytest.raises(ValueError, match="16 comparisons"):
        check_condition(f"{fifteen} or n lt 5")
