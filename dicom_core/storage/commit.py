"""Commits a store: batches of rows that become visible together with the transaction's decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Committed, Outcome, Transaction
from dicom_core.record import Instance
from dicom_core.storage import rows
from dicom_core.storage.scan import read
from dicom_core.storage.table_service import (
    Action,
    Conflict,
    Entity,
    Operation,
    Table,
)

RACES = 20
"""How often a batch is tried again because others changed its rows."""


class Commit:
    """One commit on its way: batch after batch, chained by the ETag of the decision's row."""

    def __init__(
        self, studies: Table, transaction: Transaction, upsert: bool, dropped: Sequence[str]
    ) -> None:
        self.outcomes: dict[str, Committed] = {}
        self._studies = studies
        self._transaction = transaction
        self._partition = rows.partition_key(transaction.partition, transaction.study)
        self._upsert = upsert
        self._decision = rows.Decision(drop=list(dropped))
        self._etag: str | None = None

    async def write(self, chunk: Sequence[Instance], state: str) -> None:
        """Insert the rows of a chunk, less those that others stand in the way of.

        Raises
        ------
        StorageUnavailable
            The transaction was given up by the sweep, or lost too many races; what earlier chunks stored stays.
        """
        taken, standing = list(chunk), dict[str, Entity]()
        for _ in range(RACES):
            draft = self._draft(taken, standing)
            try:
                etags = await self._studies.transact(
                    self._partition, self._operations(draft, state, taken, standing)
                )
                self._etag = etags[0]
            except Conflict as conflict:
                if conflict.index != 0:
                    taken, standing = await self._resolve(taken)
                    continue
                self._etag = await self._own(draft, state)
            self._decision = draft
            self.outcomes |= {instance.version: Committed(Outcome.STORED) for instance in taken}
            return
        raise StorageUnavailable("the study is being changed by too many others")

    def _draft(self, taken: Sequence[Instance], standing: Mapping[str, Entity]) -> rows.Decision:
        return rows.Decision(
            add=[*self._decision.add, *map(rows.name_of, taken)],
            gone=[*self._decision.gone, *map(rows.named, standing.values())],
            drop=self._decision.drop,
        )

    def _operations(
        self, draft: rows.Decision, state: str, taken: Sequence[Instance], standing: Mapping[str, Entity]
    ) -> list[Operation]:
        """The batch; its first operation is the decision, so that its failure is the one reported."""
        action = Action.INSERT if self._etag is None else Action.UPSERT
        change = Operation(
            action, rows.change_key(self._transaction.name), draft.to_entity(state), self._etag
        )
        series = dict.fromkeys(instance.series for instance in taken)
        operations = [change, *(Operation(Action.UPSERT, rows.series_key(uid)) for uid in series)]
        for instance in taken:
            key = rows.instance_key(instance)
            row = standing.get(key)
            if row is None:
                operations.append(Operation(Action.INSERT, key, rows.from_instance(instance)))
            else:
                operations.append(
                    Operation(Action.UPSERT, key, rows.from_instance(instance), row["odata.etag"])
                )
        return operations

    async def _own(self, draft: rows.Decision, state: str) -> str:
        """ETag of the decision that this very chunk has written: its reply was lost."""
        key = rows.change_key(self._transaction.name)
        row = await self._studies.get(self._partition, key, rows.DECISION_COLUMNS, etag=True)
        written = {one.version for one in draft.add}
        if row is None or row["state"] != state or not written <= rows.added(row):
            raise StorageUnavailable("the store took too long and was given up")
        etag: str = row["odata.etag"]
        return etag

    async def _resolve(self, taken: Sequence[Instance]) -> tuple[list[Instance], dict[str, Entity]]:
        """Ask what stands in the way; what can still be taken, and the rows that it replaces by their keys."""
        keys = sorted(map(rows.instance_key, taken))
        columns = ["RowKey", "version", "digest", "sop_class"]
        seen = await read(self._studies, self._partition, (keys[0], keys[-1]), columns)
        found = {row["RowKey"]: row for row in seen.rows}
        left: list[Instance] = []
        standing: dict[str, Entity] = {}
        for instance in taken:
            key = rows.instance_key(instance)
            row = found.get(key)
            outcome = None if row is None or row["version"] in seen.dead else self._judge(instance, row)
            if outcome is None:
                left.append(instance)
                if row is not None:
                    standing[key] = row
            else:
                self.outcomes[instance.version] = outcome
                self._decision.drop.append(instance.version)
        return left, standing

    def _judge(self, instance: Instance, row: Entity) -> Committed | None:
        """Why a version cannot be taken while another stands there; None if it replaces the other."""
        if not self._upsert:
            same = row["digest"] == instance.digest
            return Committed(Outcome.IDENTICAL if same else Outcome.DIFFERENT, row["version"])
        if row["version"] > instance.version:
            return Committed(Outcome.OVERTAKEN, row["version"])
        return None


def chunks(instances: Sequence[Instance]) -> Iterator[list[Instance]]:
    """Cut instances, in the order of their keys, into batches."""
    ordered = sorted(instances, key=rows.instance_key)
    return rows.cut(ordered, lambda instance: instance.series, rows.weight)
