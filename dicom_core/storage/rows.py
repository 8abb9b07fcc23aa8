"""Rows of the table `studies`: how an instance, a decision and a deletion lie in a partition.

    PartitionKey {partition}|{study}
      change|{transaction}          the decision: what a transaction added, removed, refused
      index                         which search rows exist (kept by the indexer)
      instance|{series}|{instance}  one stored version: the record
      series|{series}               see `series_rows`; any commit that touches the series empties it
      ~deleting|{transaction}       what a deletion larger than one batch removes

The order of the kinds matters: a scan meets decisions before instances and deletions last.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

import orjson

from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.storage.table_service import (
    MAX_BATCH_BYTES,
    MAX_OPERATIONS,
    MAX_PROPERTY_BYTES,
    Entity,
    literal,
    text_size,
)

INSTANCES_AT_ONCE = 97
"""Rows of instances in one batch: it takes 100 operations, and the decision and the series need some."""

MAX_BULKY_BYTES = 600 << 10
"""Header, frames and bulk data larger than this lie in the container `derived`: an entity takes 1 MiB in all."""

Item = TypeVar("Item")

Span = tuple[str, str]
"""The first and the last of some row keys."""

EVERY_INSTANCE: Span = ("instance|", "instance|~")
CHANGE = "change|"
DELETING = "~deleting|"
EVERYTHING = "*"
"""What an aborted decision drops: every version of the transaction that it does not add."""

_LEVELS = (
    (Level.STUDY, "study", Columns.STUDY),
    (Level.SERIES, "series", Columns.SERIES),
    (Level.INSTANCE, "instance", Columns.INSTANCE),
)
_BULKY = (("header", Columns.HEADER), ("frames", Columns.PIXELS), ("bulkdata", Columns.PIXELS))
_IDENTITY = ("RowKey", "version", "sop_class", "transfer_syntax", "length", "digest")
PARTS = 16


def partition_key(partition: str, study: str) -> str:
    """Key of the partition that holds everything of a study."""
    return f"{partition}|{study}"


def instance_key(instance: Instance) -> str:
    """Row key of an instance."""
    return f"instance|{instance.series}|{instance.instance}"


def series_key(series: str) -> str:
    """Row key of a series' pointer."""
    return f"series|{series}"


def change_key(transaction: str) -> str:
    """Row key of a transaction's decision."""
    return f"{CHANGE}{transaction}"


def deleting_key(transaction: str) -> str:
    """Row key of a large deletion."""
    return f"{DELETING}{transaction}"


class Named(NamedTuple):
    """A version of an instance as a decision names it; what is empty is not known."""

    series: str
    instance: str
    version: str
    sop_class: str = ""


def named(row: Entity) -> Named:
    """What an instance's row is of; without its SOP class if that was not selected."""
    _, series, instance = row["RowKey"].split("|")
    return Named(series, instance, row["version"], row.get("sop_class") or "")


def name_of(instance: Instance) -> Named:
    """What an instance's row will be of."""
    return Named(instance.series, instance.instance, instance.version, instance.sop_class)


def span(resource: Resource) -> Span:
    """Keys of the instances at or below a resource."""
    if resource.instance is not None:
        return (f"instance|{resource.series}|{resource.instance}",) * 2
    if resource.series is None:
        return EVERY_INSTANCE
    return f"instance|{resource.series}|", f"instance|{resource.series}|~"


def scope(partition: str, keys: Span) -> str:
    """Condition for the rows from the first to the last of some keys, and for the deletions that bear on them."""
    first, last = map(literal, keys)
    rows = f"RowKey eq {first}" if first == last else f"RowKey ge {first} and RowKey le {last}"
    return f"PartitionKey eq {literal(partition)} and (({rows}) or RowKey ge {literal(DELETING)})"


def selected(columns: Columns) -> list[str]:
    """Names of the properties that hold some columns."""
    names = list(_IDENTITY)
    names += [name for _, name, column in _LEVELS if column in columns]
    bulky = [name for name, column in _BULKY if column in columns]
    return [*names, "spilled", *(part for name in bulky for part in numbered(name))] if bulky else names


def from_instance(instance: Instance) -> Entity:
    """Properties of an instance's row."""
    entity: Entity = {
        "version": instance.version,
        "sop_class": instance.sop_class,
        "transfer_syntax": instance.transfer_syntax,
        "length": str(instance.length),
        "length@odata.type": "Edm.Int64",
        "digest": instance.digest,
    }
    for level, name, _ in _LEVELS:
        if dataset := instance.attributes.get(level):
            entity[name] = fitting(dataset)
    contents = bulky(instance)
    if sum(map(len, contents)) > MAX_BULKY_BYTES:
        entity["spilled"] = orjson.dumps(list(map(len, contents))).decode()
    else:
        for (name, _), content in zip(_BULKY, contents, strict=True):
            entity |= packed(name, content)
    return entity


def bulky(instance: Instance) -> tuple[bytes, bytes, bytes]:
    """Header, frames and locations of bulk data as they are stored: in the row, or together outside of it."""
    locations = orjson.dumps(instance.bulkdata) if instance.bulkdata else b""
    return instance.header, instance.frames, locations


def is_spilled(instance: Instance) -> bool:
    """Say if what is bulky of an instance is too large for its row."""
    return sum(map(len, bulky(instance))) > MAX_BULKY_BYTES


def bulky_range(lengths: str, columns: Columns) -> tuple[int, int]:
    """Where some columns lie in what was stored outside of a row: offset and length."""
    header, frames, locations = orjson.loads(lengths)
    first = 0 if Columns.HEADER in columns else header
    return first, header + frames + locations - first if Columns.PIXELS in columns else header


def weight(instance: Instance) -> int:
    """About how many bytes an instance's row takes in a batch."""
    size = sum(map(len, bulky(instance)))
    return 8192 if size > MAX_BULKY_BYTES else size * 4 // 3 + 8192


def cut(
    items: Iterable[Item],
    series: Callable[[Item], str],
    weight: Callable[[Item], int] = lambda item: 0,
    leading: int = 1,
) -> Iterator[list[Item]]:
    """Cut instances or their rows into batches, by the operations that they and their series take, and by bytes.

    So many operations that come first find room in each batch.
    """
    batch: list[Item] = []
    touched: set[str] = set()
    size = 0
    for item in items:
        uid, bytes_more = series(item), weight(item)
        operations = leading + len(touched | {uid}) + len(batch) + 1
        full = len(batch) == INSTANCES_AT_ONCE or operations > MAX_OPERATIONS
        if batch and (full or size + bytes_more > MAX_BATCH_BYTES * 3 // 4):
            yield batch
            batch, touched, size = [], set(), 0
        batch.append(item)
        touched.add(uid)
        size += bytes_more
    if batch:
        yield batch


def to_instances(entities: Iterable[Entity], partition: str, study: str) -> list[Instance]:
    """Instances of rows; what was not selected is empty, and so is what is null: selected, but not there.

    Most rows of a study have the same attributes of study and series: each text is read once.
    """
    read = cache(orjson.loads)
    return [_to_instance(entity, partition, study, read) for entity in entities]


def _to_instance(entity: Entity, partition: str, study: str, read: Callable[[str], Any]) -> Instance:
    series, instance, version, sop_class = named(entity)
    return Instance(
        study=study,
        series=series,
        instance=instance,
        partition=partition,
        version=version,
        sop_class=sop_class,
        transfer_syntax=entity["transfer_syntax"],
        length=int(entity["length"]),
        digest=entity["digest"],
        attributes={level: read(text) for level, name, _ in _LEVELS if (text := entity.get(name))},
        header=unpacked("header", entity),
        frames=unpacked("frames", entity),
        bulkdata=_locations(unpacked("bulkdata", entity)),
    )


def with_bulky(instance: Instance, lengths: str, columns: Columns, content: bytes) -> Instance:
    """Put what was stored outside of a row into its place."""
    header, frames, _ = orjson.loads(lengths)
    first = 0
    if Columns.HEADER in columns:
        instance = replace(instance, header=content[:header])
        first = header
    if Columns.PIXELS in columns:
        locations = _locations(content[first + frames :])
        instance = replace(instance, frames=content[first : first + frames], bulkdata=locations)
    return instance


def _locations(content: bytes) -> dict[str, tuple[int, int]]:
    return {path: (start, length) for path, (start, length) in orjson.loads(content or b"{}").items()}


def fitting(dataset: Dataset) -> str:
    """Attributes as text that a property can hold: the longest values are left out of the row, not of the header."""
    text = orjson.dumps(dataset).decode()
    while text_size(text) > MAX_PROPERTY_BYTES:
        longest = max(dataset, key=lambda tag: len(orjson.dumps(dataset[tag])))
        dataset = {tag: element for tag, element in dataset.items() if tag != longest}
        text = orjson.dumps(dataset).decode()
    return text


@dataclass(slots=True)
class Decision:
    """What a transaction did to a study; grows chunk by chunk until it is done.

    `add` names what was stored, `gone` what was removed or replaced, `drop` own versions that were not taken.
    """

    add: list[Named] = field(default_factory=list)
    gone: list[Named] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)

    @classmethod
    def from_entity(cls, entity: Entity) -> Decision:
        """Decision of a row."""
        return cls(_names("add", entity), _names("gone", entity), _list("drop", entity))

    def to_entity(self, state: str) -> Entity:
        """Properties of the decision's row."""
        lists: dict[str, Sequence[object]] = {"add": self.add, "gone": self.gone, "drop": self.drop}
        entity: Entity = {"state": state}
        for name, items in lists.items():
            if items:
                entity |= packed(name, listed(items))
        return entity


RESTORES = "restores"
"""What a decision says whose transaction another stands for: its name."""

DECISION_COLUMNS = ("state", *(f"{name}{part}" for name in ("add", "gone", "drop") for part in range(PARTS)))


def added(entity: Entity) -> set[str]:
    """Versions that a decision's row says were added."""
    return {one.version for one in _names("add", entity)}


def added_uids(entity: Entity) -> list[tuple[str, str]]:
    """Series and instances that a decision's row says were added."""
    return [(one.series, one.instance) for one in _names("add", entity)]


def touched(entity: Entity) -> set[str]:
    """Keys of the instances' rows that a decision's row says were added, replaced or removed."""
    both = (*_names("add", entity), *_names("gone", entity))
    return {f"instance|{one.series}|{one.instance}" for one in both}


def decided(entity: Entity) -> set[str]:
    """Versions that a decision's row says were added, replaced, removed or refused."""
    decision = Decision.from_entity(entity)
    return {one.version for one in (*decision.add, *decision.gone)} | set(decision.drop)


def deleting(gone: Sequence[Named]) -> Entity:
    """Properties of the row of a large deletion."""
    return packed("dead", listed(gone))


def listed(items: Sequence[object]) -> bytes:
    """A list as it is packed."""
    return gzip.compress(orjson.dumps(items, default=tuple), 6, mtime=0)


def hidden(entity: Entity) -> list[Named]:
    """What the row of a large deletion names."""
    return _names("dead", entity)


def dead(entity: Entity) -> set[str]:
    """Versions that the row of a large deletion names."""
    return {one.version for one in hidden(entity)}


DEAD_COLUMNS = tuple(f"dead{part}" for part in range(PARTS))


def packed(name: str, content: bytes) -> Entity:
    """Bytes as numbered binary properties of at most 64 KiB each."""
    entity: Entity = {}
    for part, start in enumerate(range(0, len(content), MAX_PROPERTY_BYTES)):
        chunk = content[start : start + MAX_PROPERTY_BYTES]
        entity[f"{name}{part}"] = base64.b64encode(chunk).decode()
        entity[f"{name}{part}@odata.type"] = "Edm.Binary"
    return entity


def unpacked(name: str, entity: Entity) -> bytes:
    """Bytes of numbered binary properties; empty if there are none."""
    first = entity.get(f"{name}0")
    if first is None:
        return b""
    if f"{name}1" not in entity:
        return base64.b64decode(first)
    chunks = (entity.get(f"{name}{part}") for part in range(PARTS))
    return b"".join(base64.b64decode(chunk) for chunk in chunks if chunk)


def numbered(name: str) -> list[str]:
    """Names of the numbered properties that `packed` makes."""
    return [f"{name}{part}" for part in range(MAX_BULKY_BYTES // MAX_PROPERTY_BYTES + 1)]


def _names(name: str, entity: Entity) -> list[Named]:
    return [Named(*item) for item in _list(name, entity)]


def _list(name: str, entity: Entity) -> list[Any]:
    content = unpacked(name, entity)
    items: list[Any] = orjson.loads(gzip.decompress(content)) if content else []
    return items
