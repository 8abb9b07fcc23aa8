"""The record: what is stored of each instance, and the answers folded from it.

The record is the instance rows and nothing else. What a study or a series answers is computed from the rows
of its instances by one pure function, so that live search, indexer, rebuild and tests cannot disagree.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import orjson

from dicom_core import attributes, query
from dicom_core.access_paths import Path
from dicom_core.query import Page, Query
from dicom_core.resources import Level, Resource

Dataset = attributes.Dataset
"""A data set as DICOM JSON (PS3.18 F.2): `{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "…"}]}}`."""


_OF_STUDIES = (
    frozenset(attributes.TAGS[Level.STUDY]) - frozenset(attributes.TAGS[Level.INSTANCE]) - {"0020000D"}
)
_OF_SERIES = frozenset(attributes.TAGS[Level.SERIES])


class Columns(Flag):
    """What to read of an instance beside its identity; each costs bytes."""

    NONE = 0
    STUDY = auto()
    SERIES = auto()
    INSTANCE = auto()
    HEADER = auto()
    PIXELS = auto()
    ATTRIBUTES = STUDY | SERIES | INSTANCE


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of the record: one stored version of an instance.

    `length` is that of the blob in bytes, `digest` the SHA-256 of its bytes in hex. `attributes` holds the
    values of `attributes.TABLE` by level, `header` the whole data set up to Pixel Data as gzipped DICOM JSON,
    `frames` where the frames lie (`representations.frames`), `bulkdata` where the value of each BulkDataURI
    lies: path → (offset, length). Columns that were not read are empty.
    """

    study: str
    series: str
    instance: str
    version: str
    sop_class: str
    transfer_syntax: str
    length: int
    digest: str
    partition: str
    attributes: Mapping[Level, Dataset] = field(default_factory=dict)
    header: bytes = b""
    frames: bytes = b""
    bulkdata: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def resource(self) -> Resource:
        """The resource that this row is of."""
        return Resource(self.study, self.series, self.instance, self.partition)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a study, series or instance answers: all of `attributes.TABLE` down to its level.

    `rows` are the rows it was folded from, the latest version first.
    """

    resource: Resource
    dataset: Dataset
    rows: tuple[Instance, ...]


def matching(rows: Iterable[Instance], asked: Query) -> list[Dataset]:
    """Answer a query from the rows of one study (those of `scope`): all results, without paging."""
    tags = query.returned(asked)
    beyond = frozenset(tag for tag in asked.include if not attributes.is_in_table(tag))
    found = find(rows, asked)
    if not beyond:
        return [restrict(answer.dataset, tags) for answer in found]
    return [restrict(answer.dataset | _from_headers(answer.rows, beyond), tags) for answer in found]


def found(rows: Sequence[Instance], asked: Query, path: Path) -> list[tuple[str, list[Dataset]]]:
    """Where a study is met on the path of a query, and its results there; nothing if it has none."""
    datasets = matching(rows, asked)
    if not datasets:
        return []
    return [(path.position(study_answer(rows)) or f"{path.last}|{rows[0].study}", datasets)]


def of_series(answers: Mapping[str, Dataset], asked: Query) -> list[Dataset]:
    """Answer a query of `is_in_series_answers` from what the series of its study answer."""
    assert asked.resource.study is not None
    own = {"0020000D": {"vr": "UI", "Value": [asked.resource.study]}}
    tags = query.returned(asked)
    return [
        restrict(own | answer, tags)
        for uid, answer in sorted(answers.items())
        if asked.resource.series in (None, uid) and query.matches(asked, answer)
    ]


def cut(datasets: Sequence[Dataset], asked: Query) -> Page:
    """Cut the page that is asked for out of the results, which may end behind it."""
    end = asked.offset + asked.limit
    return Page(list(datasets[asked.offset : end]), len(datasets) > end)


def is_in_study_answer(asked: Query) -> bool:
    """Say if the answers of studies are all that a query returns."""
    return asked.level is Level.STUDY and not needs_header(asked)


def is_in_series_answers(asked: Query) -> bool:
    """Say if what the series of one study answer of themselves is all that a query matches and returns."""
    return (
        asked.level is Level.SERIES
        and asked.resource.study is not None
        and all(match.attribute.level is Level.SERIES for match in asked.matches)
        and _OF_SERIES.union({"0020000D"}).issuperset(query.returned(asked))
    )


def scope(asked: Query, study: str) -> Resource:
    """The resource of a study whose rows answer a query: its whole, if the answer tells of the study."""
    telling = _OF_STUDIES.intersection(query.returned(asked))
    series = None if telling else asked.resource.series
    return Resource(study, series, partition=asked.resource.partition)


def needs_header(asked: Query) -> bool:
    """Say if the query returns attributes that only the headers of instances hold."""
    return not all(map(attributes.is_in_table, asked.include))


def columns(asked: Query) -> Columns:
    """What to read of the rows that answer a query; a study's answer gathers modalities from its series."""
    needed = Columns.ATTRIBUTES if asked.level is Level.INSTANCE else Columns.STUDY | Columns.SERIES
    return needed | Columns.HEADER if needs_header(asked) else needed


def find(rows: Iterable[Instance], asked: Query) -> list[Answer]:
    """Fold the rows of one study to answers at the query's level, and keep those that match it."""
    found = [each for each in answers(rows, asked.level) if _is_within(each.resource, asked.resource)]
    of_study = [match for match in asked.matches if match.attribute.level is Level.STUDY]
    if not found or not query.satisfies(of_study, found[0].dataset):
        return []
    others = [match for match in asked.matches if match.attribute.level is not Level.STUDY]
    return [answer for answer in found if query.satisfies(others, answer.dataset)]


def restrict(dataset: Mapping[str, Any], tags: Iterable[str]) -> Dataset:
    """Keep these attributes, in this order."""
    return {tag: dataset[tag] for tag in tags if tag in dataset}


def version(rows: Iterable[Instance]) -> str:
    """What changes whenever an instance of these, of one study, is added, replaced or removed."""
    by_series = _by_series(rows)
    return joint_version(_digest(sorted(row.version for row in by_series[uid])) for uid in sorted(by_series))


def joint_version(of_series: Iterable[str]) -> str:
    """The version of all series of a study, by that of each in the order of their UIDs."""
    each = list(of_series)
    return each[0] if len(each) == 1 else _digest(each)


def _digest(names: Iterable[str]) -> str:
    return blake2b("|".join(names).encode(), digest_size=16).hexdigest()


def answers(rows: Iterable[Instance], level: Level) -> list[Answer]:
    """Fold the rows of one study to the answers at a level, ordered by the UIDs of series and instance."""
    latest = _latest_first(rows)
    if not latest:
        return []
    study = Resource(latest[0].study, partition=latest[0].partition)
    dataset = study_answer(latest)
    if level is Level.STUDY:
        return [Answer(study, dataset, latest)]
    of_study = {tag: element for tag, element in dataset.items() if tag not in _OF_SERIES}
    found: list[Answer] = []
    for uid, members in sorted(_by_series(latest).items()):
        answer = of_study | _series_attributes(members)
        if level is Level.SERIES:
            found.append(
                Answer(Resource(study.study, uid, partition=study.partition), answer, tuple(members))
            )
        else:
            found += [_instance_answer(row, answer) for row in sorted(members, key=attrgetter("instance"))]
    return found


def series_answers(rows: Iterable[Instance]) -> Mapping[str, Dataset]:
    """Fold the rows of one study to what each of its series, by its UID, answers of itself."""
    return {
        uid: restrict(_series_attributes(members), attributes.TAGS[Level.SERIES])
        for uid, members in _by_series(_latest_first(rows)).items()
    }


def study_answer(rows: Iterable[Instance]) -> Dataset:
    """Fold the rows of one study to all that the study answers; nothing if there are none.

    Per attribute the value of the latest version that has one; counts and lists by counting.
    """
    latest = _latest_first(rows)
    if not latest:
        return {}
    modalities = {
        value
        for row in latest
        for value in attributes.values_of(row.attributes.get(Level.SERIES, {}), "00080060")
        if isinstance(value, str) and value
    }
    dataset = _fold(latest, Level.STUDY) | {
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080062": {"vr": "UI", "Value": sorted({row.sop_class for row in latest})},
        "0020000D": {"vr": "UI", "Value": [latest[0].study]},
        "00201206": {"vr": "IS", "Value": [len({row.series for row in latest})]},
        "00201208": {"vr": "IS", "Value": [len(latest)]},
    }
    if modalities:
        dataset["00080061"] = {"vr": "CS", "Value": sorted(modalities)}
    return restrict(dataset, attributes.TAGS[Level.STUDY])


def _series_attributes(rows: Sequence[Instance]) -> Dataset:
    return _fold(rows, Level.SERIES) | {
        "0020000E": {"vr": "UI", "Value": [rows[0].series]},
        "00201209": {"vr": "IS", "Value": [len(rows)]},
    }


def _instance_answer(row: Instance, series: Dataset) -> Answer:
    own = {
        "00080016": {"vr": "UI", "Value": [row.sop_class]},
        "00080018": {"vr": "UI", "Value": [row.instance]},
    }
    return Answer(row.resource, {**series, **row.attributes.get(Level.INSTANCE, {}), **own}, (row,))


def _by_series(rows: Iterable[Instance]) -> Mapping[str, list[Instance]]:
    by_series: dict[str, list[Instance]] = {}
    for row in rows:
        by_series.setdefault(row.series, []).append(row)
    return by_series


def _latest_first(rows: Iterable[Instance]) -> tuple[Instance, ...]:
    return tuple(sorted(rows, key=attrgetter("version"), reverse=True))


def _fold(latest_first: Iterable[Instance], level: Level) -> Dataset:
    """Per attribute of a level, the value of the latest version that has one."""
    folded: Dataset = {}
    for row in latest_first:
        own = row.attributes.get(level, {})
        if not own.keys() <= folded.keys():
            for tag, element in own.items():
                if tag not in folded and not attributes.is_empty(element):
                    folded[tag] = element
    return folded


def _from_headers(latest_first: Iterable[Instance], tags: frozenset[str]) -> Dataset:
    """Per attribute, the element of the latest version whose header has it."""
    missing = set(tags)
    found: Dataset = {}
    for row in latest_first:
        if not missing:
            break
        if row.header:
            header = orjson.loads(gzip.decompress(row.header))
            for tag in missing & header.keys():
                found[tag] = header[tag]
            missing -= found.keys()
    return found


def _is_within(resource: Resource, within: Resource) -> bool:
    """Say if a resource is the other one or lies below it."""
    return (
        within.study in (None, resource.study)
        and within.series in (None, resource.series)
        and within.instance in (None, resource.instance)
    )
