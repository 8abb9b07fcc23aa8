"""The outbox: what the decisions of a study have to tell, in which order, and as which changes.

A decision is to be told once it is final; a large deletion by its row, which hides at once what it names. They are told
in the order in which they were written, by the clock of the service. A version goes once: two deletions may name it, or
one that hides it and the store that takes its place. And what went before it could be told of, because the store that
added it had more to come, is not told of afterwards.

What a rebuild restores is told version by version: another rebuild may restore the same in other batches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dicom_core.changes import Action
from dicom_core.storage import entries, rows
from dicom_core.storage.entries import MOST, Piece, Told
from dicom_core.storage.rows import Named
from dicom_core.storage.table_service import Entity

COLUMNS = (
    "RowKey",
    "Timestamp",
    "published",
    "retired",
    rows.RESTORES,
    *rows.DECISION_COLUMNS,
    *rows.DEAD_COLUMNS,
)


@dataclass(slots=True)
class Snapshot:
    """Rows of decisions and of large deletions, as they were met page by page.

    It is torn if a row that is to be told was met after the first page: one that it follows from may be missing, which
    was written when its own page had been read.
    """

    rows: list[Entity] = field(default_factory=list)
    is_torn: bool = False

    def add(self, row: Entity, page: int) -> None:
        """Take a row of a page (from 1); of others than those of decisions and deletions nothing."""
        if row["RowKey"].startswith((rows.CHANGE, rows.DELETING)):
            self.rows.append(row)
            self.is_torn = self.is_torn or (page > 1 and _is_waiting(row))

    @property
    def is_waiting(self) -> bool:
        """Say if there is something to tell."""
        return any(map(_is_waiting, self.rows))

    def until(self) -> str:
        """When the last of what is to be told was written."""
        return max((_moment(row) for row in self.rows if _is_waiting(row)), default="")

    def before(self, moment: str) -> Snapshot:
        """The rows but those that were to be told only after a moment."""
        return Snapshot([row for row in self.rows if not _is_waiting(row) or _moment(row) <= moment])


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be told, or was: what a transaction stored and removed.

    `keys` are those of the rows that do not say yet that it was told; `restores` is the transaction that it stands for.
    """

    name: str
    moment: str
    add: Sequence[Named]
    gone: Sequence[Named]
    restores: str
    is_told: bool
    keys: Sequence[str]


def decided(snapshot: Snapshot) -> list[Decided]:
    """All that is final; a restored transaction is told by what stands for it."""
    deletions, changes = dict[str, Entity](), dict[str, Entity]()
    for row in snapshot.rows:
        kind, _, name = row["RowKey"].partition("|")
        (changes if f"{kind}|" == rows.CHANGE else deletions)[name] = row
    restored = {row.get(rows.RESTORES) for row in changes.values()}
    return [
        *(_deleted(name, row, changes.get(name)) for name, row in deletions.items()),
        *(
            _decided(name, row)
            for name, row in changes.items()
            if row["state"] != "open" and name not in deletions and name not in restored
        ),
    ]


def pieces(partition: str, study: str, found: Iterable[Decided], told: Collection[str]) -> list[Piece]:
    """What is to be told, in its order; `told` are keys of pieces, and of transactions restored, that were."""
    gone: set[str] = set()
    made: list[Piece] = []
    for one in sorted(found, key=lambda one: (not _was_told(one, told), one.moment, one.name)):
        if not one.is_told and not (one.restores and entries.told_key(one.restores, 0) in told):
            listed = list(_changes(one, gone))
            if one.restores:
                made += (Piece(change.version, 0, partition, study, [change]) for change in listed)
            else:
                cut = (listed[start : start + MOST] for start in range(0, len(listed), MOST))
                made += (Piece(one.name, number, partition, study, some) for number, some in enumerate(cut))
        gone |= {named.version for named in one.gone}
    return [piece for piece in made if piece.key not in told]


def _changes(one: Decided, gone: Collection[str]) -> Iterator[Told]:
    """The changes of a decision, less what is known to have gone before.

    Of an instance that it replaced, and that went since, neither version is told: its going was.
    """
    going = [named for named in one.gone if named.version not in gone]
    replaced = {(named.series, named.instance) for named in going}
    for named in one.add:
        if named.version not in gone:
            action = Action.UPDATE if (named.series, named.instance) in replaced else Action.CREATE
            yield Told(action.value, *named)
    replacing = {(named.series, named.instance) for named in one.add}
    for named in going:
        if (named.series, named.instance) not in replacing:
            yield Told(Action.DELETE.value, *named)


def _was_told(one: Decided, told: Collection[str]) -> bool:
    names = [named.version for named in one.add] if one.restores else [one.name]
    return one.is_told or all(entries.told_key(name, 0) in told for name in names)


def _deleted(name: str, row: Entity, change: Entity | None) -> Decided:
    """A large deletion, and its decision, which names the same once it is final."""
    waiting = [one for one in (row, change) if one is not None and _is_waiting(one)]
    keys = [one["RowKey"] for one in waiting]
    return Decided(name, _moment(row), (), rows.hidden(row), "", row not in waiting, keys)


def _decided(name: str, row: Entity) -> Decided:
    decision = rows.Decision.from_entity(row)
    is_waiting = _is_waiting(row)
    return Decided(
        name,
        _moment(row),
        decision.add,
        decision.gone,
        row.get(rows.RESTORES) or "",
        not is_waiting,
        [row["RowKey"]] if is_waiting else [],
    )


def named(one: Decided, names: Mapping[str, Named]) -> Decided:
    """The same, with what is known by now of versions that it names alone; those of which nothing is are left out."""
    gone = [names.get(version.version, version) for version in one.gone]
    known = [version for version in gone if version.instance]
    return Decided(one.name, one.moment, one.add, known, one.restores, one.is_told, one.keys)


def _is_waiting(row: Entity) -> bool:
    """Say if a row is final, and has not been told as far as it says."""
    return row.get("state") != "open" and not row.get("published") and not row.get("retired")


def _moment(row: Entity) -> str:
    """When a row was written, as text that sorts as times do: the service leaves out zeros at the end."""
    whole, _, fraction = str(row["Timestamp"]).rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<7}"
