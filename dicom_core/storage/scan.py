"""Reads rows of a study together with the deletions that bear on them, as they were at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from dicom_core.errors import StorageUnavailable
from dicom_core.storage import rows
from dicom_core.storage.rows import Span
from dicom_core.storage.table_service import Entity, Table, literal

_ROUNDS = 20
"""How often a scan catches up with what others changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Instance rows with their ETags, and the versions that large deletions hide."""

    rows: list[Entity]
    dead: set[str]
    pages: int = 1

    def live(self) -> list[Entity]:
        """The rows that no deletion hides."""
        return [row for row in self.rows if row["version"] not in self.dead] if self.dead else self.rows


async def scan(studies: Table, partition: str, keys: Span, select: Sequence[str]) -> Scan:
    """Read rows as they were at one moment between the call and the return.

    A page is of one moment, several are not: what was committed between them could be seen by half. So if it takes
    more than one, the decisions are read before and after, and what they touched is read again until they rest.
    """
    seen = await read(studies, partition, keys, select, most=2)
    if seen.pages == 1:
        return seen
    known, _ = await _decisions(studies, partition)
    seen = await read(studies, partition, keys, select)
    for _ in range(_ROUNDS):
        latest, dead = await _decisions(studies, partition)
        changed = [key for key, etag in latest.items() if known.get(key) != etag]
        if not changed:
            return Scan(seen.rows, dead, seen.pages)
        stale = await _stale(studies, partition, keys, changed)
        if stale is not None:
            again = await read(studies, partition, stale, select)
            kept = (row for row in seen.rows if not stale[0] <= row["RowKey"] <= stale[1])
            merged = sorted([*kept, *again.rows], key=lambda row: str(row["RowKey"]))
            seen = Scan(merged, dead, seen.pages)
        known = latest
    raise StorageUnavailable("the study is being changed by too many others")


async def read(
    studies: Table, partition: str, keys: Span, select: Sequence[str], *, most: int | None = None
) -> Scan:
    """Read rows page by page, at most so many pages; each page is of its own moment.

    Deletions sort last: one that began to delete rows read here is seen, and hides them all.
    """
    found: list[Entity] = []
    dead: set[str] = set()
    pages = 0
    columns = [*select, *rows.DEAD_COLUMNS]
    async with aclosing(studies.query(rows.scope(partition, keys), columns, etag=True)) as query:
        async for page in query:
            pages += 1
            for row in page:
                if row["RowKey"].startswith(rows.DELETING):
                    dead |= rows.dead(row)
                else:
                    found.append(row)
            if pages == most:
                break
    return Scan(found, dead, pages)


async def _decisions(studies: Table, partition: str) -> tuple[Mapping[str, str], set[str]]:
    """ETags of all decisions and large deletions by their keys, and the versions that the latter hide."""
    condition = (
        f"PartitionKey eq {literal(partition)} and ((RowKey ge {literal(rows.CHANGE)} and "
        f"RowKey lt {literal(rows.CHANGE + '~')}) or RowKey ge {literal(rows.DELETING)})"
    )
    etags: dict[str, str] = {}
    dead: set[str] = set()
    async for page in studies.query(condition, ["RowKey", *rows.DEAD_COLUMNS], etag=True):
        for row in page:
            etags[row["RowKey"]] = row["odata.etag"]
            dead |= rows.dead(row)
    return etags, dead


async def _stale(studies: Table, partition: str, keys: Span, changed: Sequence[str]) -> Span | None:
    """Where the rows lie that some decisions touched; None if outside of the keys."""
    decisions = {key for key in changed if key.startswith(rows.CHANGE)}
    if not decisions:
        return None
    condition = (
        f"PartitionKey eq {literal(partition)} and RowKey ge {literal(min(decisions))} and "
        f"RowKey le {literal(max(decisions))}"
    )
    touched: set[str] = set()
    async for page in studies.query(condition, ["RowKey", *rows.DECISION_COLUMNS]):
        for row in page:
            if row["RowKey"] in decisions:
                touched |= rows.touched(row)
    within = [key for key in touched if keys[0] <= key <= keys[1]]
    return (min(within), max(within)) if within else None
