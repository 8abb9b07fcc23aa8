"""Restores what one transaction stored, after its rows were lost: its commit, once more.

The decision bears the name of the transaction, so that a store still on its way, or another rebuild, cannot decide it
twice. But the journal's row cannot: its name tells how old it is, and a sweep gives up what is old and undecided, and
then its blobs. So each batch is journalled under a name of now, its *cover*, whose own decision is part of the batch.
It names the transaction that it restores: what the change feed has told of that is not told again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dicom_core import versions
from dicom_core.ports import Committed, Outcome, Transaction
from dicom_core.record import Instance
from dicom_core.storage import journal, rows
from dicom_core.storage.commit import Commit
from dicom_core.storage.table_service import Action, Entity, Operation, Table

_LEADING = 2
"""Operations that come first in each batch: the two decisions."""


class DecidedMeanwhile(Exception):
    """Someone else has decided the transaction; nothing of this batch was restored."""


class Restoration(Commit):
    """The commit of a restored transaction, batch after batch; the highest version of an instance wins."""

    def __init__(
        self, studies: Table, pending: Table, transaction: Transaction, begun: Entity | None
    ) -> None:
        super().__init__(studies, transaction, upsert=True, dropped=())
        self._pending = pending
        self._cover = ""
        self._covered = 0
        if begun is not None:
            self._decision, self._etag = rows.Decision.from_entity(begun), begun["odata.etag"]
            self._covered = begun.get("covered") or 0

    @property
    def is_due(self) -> bool:
        """Say if there is something to decide, though nothing is left to restore."""
        return self._etag is not None or bool(self._decision.drop)

    def drop(self, version: str) -> None:
        """Let a version never become visible: a later one of the same instance takes its place."""
        self._decision.drop.append(version)
        self.outcomes[version] = Committed(Outcome.OVERTAKEN)

    async def write(self, chunk: Sequence[Instance], state: str) -> None:
        """Restore a batch.

        Raises
        ------
        DecidedMeanwhile
            Someone else was faster.
        """
        self._cover = versions.new_transaction()
        await journal.begin(
            self._pending, self._transaction.partition, self._cover, self._transaction.study, None
        )
        await super().write(chunk, state)
        self._covered = len(self._decision.add)

    def _operations(
        self, draft: rows.Decision, state: str, taken: Sequence[Instance], standing: Mapping[str, Entity]
    ) -> list[Operation]:
        """The batch, with both decisions; no index run has to retire the first, which the journal does not name.

        A cover says all that none before it has said, so also what a store that was broken off had added.
        """
        change, *others = super()._operations(draft, state, taken, standing)
        settled = {"retired": True} if state == "done" else {"covered": len(draft.add)}
        change = replace(change, properties={**change.properties, **settled})
        add = draft.add[self._covered :]
        uids = {(one.series, one.instance) for one in add}
        gone = [one for one in draft.gone if (one.series, one.instance) in uids]
        covered = rows.Decision(add, gone, draft.drop).to_entity("done")
        covered[rows.RESTORES] = self._transaction.name
        return [change, Operation(Action.INSERT, rows.change_key(self._cover), covered), *others]

    async def _own(self, draft: rows.Decision, state: str) -> str:
        """ETag of the decision, if it says what this batch would have said: its reply was lost."""
        key = rows.change_key(self._transaction.name)
        row = await self._studies.get(self._partition, key, rows.DECISION_COLUMNS, etag=True)
        written = {one.version for one in draft.add}
        if row is None or row["state"] != state or not written <= rows.added(row):
            raise DecidedMeanwhile
        etag: str = row["odata.etag"]
        return etag


def batches(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    """Cut instances, in the order of their keys, into batches."""
    ordered = sorted(instances, key=rows.instance_key)
    return rows.cut(ordered, lambda instance: instance.series, rows.weight, leading=_LEADING)
