"""What may go on at once: transactions, runs of the indexer and of the sweep, and what each must have come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicom_core import attributes, record
from dicom_core.changes import Action as ChangeAction
from dicom_core.changes import Change
from dicom_core.ports import Committed, Outcome, Transaction
from dicom_core.query import Match, Query, SingleValue
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage.table_service import Action, Operation
from dicom_core.studies import store
from tests.instances import row
from tests.model.explorer import Window
from tests.model.invariants import i8_study_comes_once
from tests.model.processes import drawn, transaction_name
from tests.model.product import Product, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Something that goes on beside others.

    `after` is the place of the actor whose end it waits for. `order` is that of its transaction among others, whatever
    the order in which they begin: the clocks of hosts differ.
    """

    study: str = "1"
    after: int | None = None
    order: int | None = None

    watches = False
    """Say if what it must come to depends on what was true meanwhile."""
    removes = False
    """Say if it may remove versions."""
    gives_up = False
    """Say if it may make others give up."""

    async def run(self, product: Product, number: int) -> Any:
        """Do what it does; `number` is its place."""
        raise NotImplementedError

    def wrong(self, result: Any, window: Window | None) -> str:
        """What is wrong with what it came to."""
        return ""

    def transaction(self, number: int) -> Transaction:
        """Its transaction."""
        name = transaction_name(number if self.order is None else self.order, drawn(number, 0))
        return Transaction(name, self.study, DEFAULT_PARTITION)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a Store was answered for the instances that it sent."""

    instances: tuple[Instance, ...]
    outcomes: tuple[Committed, ...]


@dataclass(frozen=True, slots=True)
class Store(Actor):
    """A Store of instances `{series}.{number}`; what it stores under a UID differs by `bytes`."""

    uids: tuple[str, ...] = ("1.1",)
    bytes: str = ""
    date: str = ""
    upsert: bool = False

    watches = True

    @property
    def removes(self) -> bool:  # type: ignore[override]
        """A PUT may replace."""
        return self.upsert

    async def run(self, product: Product, number: int) -> Stored:
        """Journal, write the blobs, commit."""
        of = self.transaction(number)
        values = {Level.STUDY: {"00080020": {"vr": "DA", "Value": [self.date]}} if self.date else {}}
        instances = [
            row(
                of,
                part,
                series=uid.partition(".")[0],
                instance=uid,
                digest=f"{uid}:{self.bytes or number}",
                attributes=values,
            )
            for part, uid in enumerate(self.uids)
        ]
        stored.update((instance.version, instance) for instance in instances)
        await product.index.begin(of, None if self.upsert else values)
        for instance in instances:
            await product.instances.put(instance.resource, instance.version, [b""])
        outcomes = await store._commit(product.stores, of, instances, self.upsert)
        return Stored(tuple(instances), tuple(outcomes[instance.version] for instance in instances))

    def wrong(self, result: Stored, window: Window | None) -> str:
        """Each instance was visible, or was refused for what was there."""
        assert window is not None
        for instance, outcome in zip(result.instances, result.outcomes, strict=True):
            seen = [_standing(truth, instance) for truth in window.seen]
            if outcome.outcome is Outcome.STORED:
                if not any(one.digest == instance.digest for one in seen if one):
                    return f"{instance.version} was acknowledged, and never visible"
                continue
            if outcome.outcome is Outcome.OVERTAKEN:
                return f"{instance.version} was overtaken, and not stored again"
            if any(one.version == instance.version for one in seen if one):
                return f"{instance.version} was refused, and is live"
            same = outcome.outcome is Outcome.IDENTICAL
            if not any((one.digest == instance.digest) == same for one in seen if one):
                return f"{instance.version} was refused for what was not there"
        return ""


def _standing(truth: Any, instance: Instance) -> Instance | None:
    live = truth.studies.get(instance.study, ())
    return next((one for one in live if one.instance == instance.instance), None)


@dataclass(frozen=True, slots=True)
class Delete(Actor):
    """A deletion of the study, of a series, or of an instance."""

    series: str | None = None
    instance: str | None = None

    watches = True
    removes = True

    async def run(self, product: Product, number: int) -> int:
        """Journal, remove; how many."""
        of = self.transaction(number)
        await product.index.begin(of, None)
        return await product.index.remove(of, Resource(self.study, self.series, self.instance))

    def wrong(self, result: int, window: Window | None) -> str:
        """What was there at its start is gone at some time, and as many as it says were there at some time."""
        assert window is not None
        counts = [self._in_scope(truth) for truth in window.seen]
        if not any(len(found) == result for found in counts):
            return f"{result} were deleted, which never were there at once"
        if all(self._in_scope(window.first) & found for found in counts) and self._in_scope(window.first):
            return "what was deleted is still there"
        return ""

    def _in_scope(self, truth: Any) -> set[str]:
        return {
            one.version
            for one in truth.studies.get(self.study, ())
            if self.series in (None, one.series) and self.instance in (None, one.instance)
        }


@dataclass(frozen=True, slots=True)
class Read(Actor):
    """A read of the rows of a study, or of one instance: as Retrieve of them does."""

    instance: str | None = None

    watches = True

    async def run(self, product: Product, number: int) -> frozenset[str]:
        """Read; the versions."""
        series = None if self.instance is None else self.instance.partition(".")[0]
        found = await product.index.records(Resource(self.study, series, self.instance), Columns.NONE)
        return frozenset(one.version for one in found)

    def wrong(self, result: frozenset[str], window: Window | None) -> str:
        """They are those of one moment; one row may be read until the deletion that hides it has come to it."""
        assert window is not None
        truths = [self._in_scope(truth) for truth in window.seen]
        if result in truths or (self.instance and result):
            return ""
        return f"read {sorted(result)} of study {self.study}, which were: {sorted(map(sorted, truths))}"

    def _in_scope(self, truth: Any) -> set[str]:
        live = truth.studies.get(self.study, ())
        return {one.version for one in live if self.instance in (None, one.instance)}


@dataclass(frozen=True, slots=True)
class ReadPacked(Actor):
    """A look for the packed metadata of a study."""

    watches = True

    async def run(self, product: Product, number: int) -> Sequence[str]:
        """Look; the versions of what is packed."""
        return sorted(packed.version for packed in await product.index.packed(Resource(self.study)))

    def wrong(self, result: Sequence[str], window: Window | None) -> str:
        """There is none, or they are those of one moment."""
        assert window is not None
        truths = [self._versions(truth) for truth in window.seen]
        return (
            "" if not result or result in truths else f"{result} are packed of study {self.study}: {truths}"
        )

    def _versions(self, truth: Any) -> list[str]:
        live = truth.studies.get(self.study, ())
        series = {one.series for one in live}
        return sorted(record.version([one for one in live if one.series == uid]) for uid in series)


@dataclass(frozen=True, slots=True)
class Search(Actor):
    """A search for all studies, for those of a date, for one by its UID, for an instance, or for a study's series."""

    date: str = ""
    uid: str = ""
    instance: str = ""
    series_of: str = ""
    among: tuple[str, ...] = ("1", "2")

    watches = True

    @property
    def query(self) -> Query:
        """What is asked."""
        given = {
            "StudyDate": ("DA", self.date),
            "StudyInstanceUID": ("UI", self.uid),
            "SOPInstanceUID": ("UI", self.instance),
        }
        if self.series_of:
            return Query(Level.SERIES, Resource(self.series_of))
        matches = [_match(name, *asked) for name, asked in given.items() if asked[1]]
        return Query(Level.INSTANCE if self.instance else Level.STUDY, matches=tuple(matches))

    async def run(self, product: Product, number: int) -> Sequence[Dataset]:
        """Search; the answers."""
        return (await product.index.search(self.query)).datasets

    def wrong(self, result: Sequence[Dataset], window: Window | None) -> str:
        """What it says of each study was so at one moment."""
        assert window is not None
        if self.query.level is Level.STUDY and (violation := i8_study_comes_once(result)):
            return violation
        for study in self.among:
            told = [answer for answer in result if answer["0020000D"]["Value"] == [study]]
            expected = [record.matching(truth.studies.get(study, ()), self.query) for truth in window.seen]
            if told not in expected:
                return f"a search told of study {study}: {told}, which was: {expected}"
        return ""


def _match(keyword: str, vr: str, value: str) -> Match:
    attribute = attributes.find(keyword)
    assert attribute is not None
    return Match(attribute, SingleValue(vr, value))


@dataclass(frozen=True, slots=True)
class ReadFeed(Actor):
    """A read of the whole change feed."""

    watches = True

    async def run(self, product: Product, number: int) -> tuple[Change, ...]:
        """Read; the changes."""
        return tuple(await product.index.feed.after(0, 1000))

    def wrong(self, result: tuple[Change, ...], window: Window | None) -> str:
        """It tells all that was decided when it began; what it tells last of an instance was so meanwhile.

        But what takes the place of another is told when the store that it belongs to is decided.
        """
        assert window is not None
        added = {change.version for change in result if change.action is not ChangeAction.DELETE}
        if missing := window.first.final - added:
            return f"{sorted(missing)} were decided before, and are not told"
        last = {change.resource: change for change in result}
        lived = frozenset[str]().union(*(truth.versions for truth in window.seen))
        undecided = {
            live.resource
            for truth in window.seen
            for study in truth.studies.values()
            for live in study
            if live.version not in truth.final
        }
        wrong = sorted(
            change.version
            for change in last.values()
            if change.action is not ChangeAction.DELETE
            and change.version not in lived
            and change.resource not in undecided
        )
        return f"{wrong} had gone before, which is not told" if wrong else ""


@dataclass(frozen=True, slots=True)
class Index(Actor):
    """A run of the indexer; an impatient one takes any claim for one of a run that died."""

    impatient: bool = False

    async def run(self, product: Product, number: int) -> None:
        """Index."""
        await product.indexer(impatient=self.impatient).index(DEFAULT_PARTITION, self.study)


@dataclass(frozen=True, slots=True)
class Sweep(Actor):
    """A sweep; an impatient one takes all that it meets for broken off."""

    impatient: bool = False

    @property
    def gives_up(self) -> bool:  # type: ignore[override]
        """What it aborts gives up."""
        return self.impatient

    async def run(self, product: Product, number: int) -> None:
        """Sweep."""
        await product.sweep(impatient=self.impatient).run()


@dataclass(frozen=True, slots=True)
class Rebuild(Actor):
    """A rebuild of the record from the blobs; an impatient one meets blobs of requests at work."""

    impatient: bool = False

    removes = True

    async def run(self, product: Product, number: int) -> None:
        """Rebuild."""
        async for _ in product.rebuild(impatient=self.impatient).run():
            pass


@dataclass(frozen=True, slots=True)
class Lose(Actor):
    """The loss of all tables, or of all but the change feed: what is left are the blobs."""

    keeps_feed: bool = False

    async def run(self, product: Product, number: int) -> None:
        """Delete every row."""
        record = (product.studies, product.pending, product.search, product.due)
        for table in record if self.keeps_feed else (*record, product.feed):
            held = [one async for page in table.query("PartitionKey ge ''", _KEYS) for one in page]
            for one in held:
                await table.transact(one["PartitionKey"], [Operation(Action.DELETE, one["RowKey"], etag="*")])


_KEYS = ("PartitionKey", "RowKey")
