"""What the tables of one moment say, as the invariants speak of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import orjson

from dicom_core.changes import Change
from dicom_core.record import Dataset, Instance
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import entries, rows, search_table
from dicom_core.storage.table_service import Entity
from dicom_core.versions import transaction_of
from tests.model import product
from tests.model.explorer import Tables
from tests.model.storage import Content, writer_of

Value = TypeVar("Value")


class Of(NamedTuple):
    """A transaction of a study."""

    study: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a decision's row says."""

    state: str
    add: frozenset[str]
    gone: frozenset[str]
    drop: frozenset[str]
    is_retired: bool = field(compare=False)

    @property
    def touched(self) -> frozenset[str]:
        """The versions that came or went by it."""
        return self.add | self.gone

    @property
    def is_final(self) -> bool:
        """Say if nothing may be added."""
        return self.state != "open"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Truth:
    """What is live: the instances of each study that has any. Two of the same versions are the same object."""

    studies: Mapping[str, tuple[Instance, ...]]
    versions: frozenset[str]
    final: frozenset[str] = frozenset()
    """Where the change feed is told: the versions whose transaction is decided."""


@dataclass(frozen=True, slots=True)
class Record:
    """The table `studies`."""

    truth: Truth
    named: frozenset[str]
    decisions: Mapping[Of, Decision]
    deletions: frozenset[Of]
    hidden: frozenset[str]
    restored: frozenset[str]
    claims: Mapping[str, str]
    packed: Mapping[tuple[str, str], Packed]
    answers: Mapping[tuple[str, str], Dataset]


class Packed(NamedTuple):
    """Where the metadata of a series are packed, and of what version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Feed:
    """The table `feed`: the changes in the order of their keys, the pieces told, and the head's number."""

    changes: tuple[Change, ...]
    pieces: frozenset[str]
    head: int


class Row(NamedTuple):
    """A search row, and which process wrote it."""

    properties: Entity
    writer: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Moment:
    """All that storage holds."""

    record: Record
    journal: frozenset[Of]
    search: Mapping[tuple[str, str], Row]
    blobs: frozenset[str]
    derived: frozenset[str]
    due: frozenset[str]
    feed: Feed

    @property
    def truth(self) -> Truth:
        """What is live."""
        return self.record.truth

    def journalled(self, study: str) -> bool:
        """Say if the journal holds a row of a study."""
        return any(of.study == study for of in self.journal)

    def studies(self) -> set[str]:
        """The studies that live, or that search rows tell of."""
        told = {product.study_of(*place) for place in self.search} - {None}
        return {*self.truth.studies, *(study for study in told if study is not None)}

    def settled(self, study: str) -> Mapping[tuple[str, str], Entity]:
        """The search rows of a study, without those that say that it moved."""
        return {
            place: row.properties
            for place, row in self.search.items()
            if product.study_of(*place) == study and not product.is_moved(row.properties)
        }


class Reader:
    """Reads moments out of what storage holds, each part of it once."""

    def __init__(self, is_told: bool = False) -> None:
        self._is_told = is_told
        self._read: dict[tuple[Callable[..., Any], Content], Any] = {}
        self._truths: dict[tuple[frozenset[str], frozenset[str]], Truth] = {}
        self._moments: dict[Tables, Moment] = {}
        self._at = {name: at for at, name in enumerate(product.STORES)}

    def moment(self, tables: Tables) -> Moment:
        """All that storage holds."""
        moment = self._moments.get(tables)
        if moment is None:
            moment = self._moments[tables] = Moment(
                self._once(self._record, tables, "studies"),
                self._once(_journal, tables, "pending"),
                self._once(_search, tables, "search"),
                self._once(_versions, tables, "dicom"),
                self._once(_keys, tables, "derived"),
                self._once(_keys, tables, "due"),
                self._once(_feed, tables, "feed"),
            )
        return moment

    def truth(self, tables: Tables) -> Truth:
        """What is live."""
        return self._once(self._record, tables, "studies").truth

    def _once(self, read: Callable[[Content], Value], tables: Tables, name: str) -> Value:
        content = tables[self._at[name]]
        key = (read, content)
        if key not in self._read:
            self._read[key] = read(content)
        found: Value = self._read[key]
        return found

    def _record(self, content: Content) -> Record:
        live: dict[str, tuple[Instance, ...]] = {}
        named: set[str] = set()
        deletions: set[Of] = set()
        hidden: set[str] = set()
        restored: set[str] = set()
        decisions: dict[Of, Decision] = {}
        claims: dict[str, str] = {}
        packed: dict[tuple[str, str], Packed] = {}
        answers: dict[tuple[str, str], Dataset] = {}
        for key, held in content.partitions.items():
            study = key.rpartition("|")[2]
            dead: set[str] = set()
            found: list[Entity] = []
            for row, (properties, _) in held.items():
                kind, _, name = row.partition("|")
                if kind == "change":
                    decisions[Of(study, name)] = _decision(properties)
                    restored.add(properties.get(rows.RESTORES) or "")
                elif kind == search_table.INDEX:
                    claims[study] = properties["claim"]
                elif kind == "series":
                    if properties.get("packed"):
                        packed[study, name] = Packed(properties["packed"], properties["packed_version"])
                    if properties.get("answer"):
                        answers[study, name] = orjson.loads(properties["answer"])
                elif kind == "instance":
                    found.append({**properties, "RowKey": row})
                elif row.startswith(rows.DELETING):
                    dead |= rows.dead(properties)
                    deletions.add(Of(study, name))
            hidden |= dead
            named |= {row["version"] for row in found}
            alive = [row for row in found if row["version"] not in dead]
            if alive:
                live[study] = tuple(rows.to_instances(alive, DEFAULT_PARTITION, study))
        undecided = {of.transaction for of, decision in decisions.items() if not decision.is_final}
        return Record(
            self._truth(live, undecided),
            frozenset(named),
            decisions,
            frozenset(deletions),
            frozenset(hidden),
            frozenset(restored),
            claims,
            packed,
            answers,
        )

    def _truth(self, live: Mapping[str, tuple[Instance, ...]], undecided: Collection[str]) -> Truth:
        found = frozenset(instance.version for instances in live.values() for instance in instances)
        final = frozenset(one for one in found if self._is_told and transaction_of(one) not in undecided)
        return self._truths.setdefault((found, final), Truth(live, found, final))


def _decision(properties: Entity) -> Decision:
    listed = rows.Decision.from_entity(properties)
    add, gone = (frozenset(one.version for one in named) for named in (listed.add, listed.gone))
    return Decision(properties["state"], add, gone, frozenset(listed.drop), bool(properties.get("retired")))


def _journal(content: Content) -> frozenset[Of]:
    keys = (row.partition("|") for held in content.partitions.values() for row in held)
    return frozenset(Of(study, transaction) for transaction, _, study in keys)


def _search(content: Content) -> Mapping[tuple[str, str], Row]:
    return {
        (partition, key): Row(properties, writer_of(stamp), stamp)
        for partition, held in content.partitions.items()
        for key, (properties, stamp) in held.items()
    }


def _feed(content: Content) -> Feed:
    held = content.partitions.get(entries.FEED, {})
    listed = [
        change
        for row, (properties, _) in sorted(held.items())
        if row.startswith("e|")
        for change in entries.changes({**properties, "RowKey": row})
    ]
    head = held.get(entries.HEAD)
    told = frozenset(row for row in held if row.startswith("id|"))
    return Feed(tuple(listed), told, int(head[0]["sequence"]) if head else 0)


def _keys(content: Content) -> frozenset[str]:
    return frozenset(name for held in content.partitions.values() for name in held)


def _versions(content: Content) -> frozenset[str]:
    return frozenset(name.rpartition("/")[2].removesuffix(".dcm") for name in _keys(content))
