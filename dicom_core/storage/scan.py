"""Reads rows of a study together with the deletions that bear on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_core.storage import rows
from dicom_core.storage.table_service import Entity, Table


@dataclass(frozen=True, slots=True)
class Scan:
    """Instance rows with their ETags, and the versions that large deletions hide."""

    rows: list[Entity]
    dead: set[str]

    def live(self) -> list[Entity]:
        """The rows that no deletion hides."""
        return [row for row in self.rows if row["version"] not in self.dead] if self.dead else self.rows


async def scan(studies: Table, condition: str, select: Sequence[str]) -> Scan:
    """Read the rows that meet a condition of `rows.in_scope` or `rows.scope`.

    Deletions sort last: one that began to delete rows read here is seen, and hides them all.
    """
    found: list[Entity] = []
    dead: set[str] = set()
    async for page in studies.query(condition, [*select, *rows.DEAD_COLUMNS], etag=True):
        for row in page:
            if row["RowKey"].startswith(rows.DELETING):
                dead |= rows.dead(row)
            else:
                found.append(row)
    return Scan(found, dead)
