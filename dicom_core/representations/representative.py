"""Which instance and frame stand for a series or a study (PS3.18 10.4.1.1.3, 10.4.1.1.4).

The middle instance, by Instance Number, of the first series, by Series Number, that has images; segmentations and
doses only where there is nothing else, and videos and documents after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dicom_core.record import Dataset, Instance
from dicom_core.representations import metadata
from dicom_core.representations.rendered_types import DOCUMENTS, VIDEOS
from dicom_core.resources import Level

_IMAGE, _DERIVED, _VIDEO, _DOCUMENT = range(4)

_DERIVED_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation
        "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    }
)


def instance(rows: Iterable[Instance], *, thumbnail: bool = False) -> Instance | None:
    """The row that stands for a series or a study; None if nothing of it can be rendered.

    Rows need their series and instance attributes (`Columns.SERIES | Columns.INSTANCE`).
    """
    last = _DERIVED if thumbnail else _DOCUMENT
    ranked = [(rank, row) for row in rows if (rank := _rank(row)) is not None and rank <= last]
    if not ranked:
        return None
    first = min((rank, *_series(row)) for rank, row in ranked)
    members = sorted((row for rank, row in ranked if (rank, *_series(row)) == first), key=_position)
    return members[len(members) // 2]


def frame(dataset: Dataset, count: int, *, thumbnail: bool = False) -> int:
    """The frame that stands for an instance: its Representative Frame Number, or the first.

    Of a thumbnail it is the middle one instead of the first.
    """
    number = metadata.integer(dataset, "00286010")
    if number is not None and 1 <= number <= count:
        return number
    return (count + 1) // 2 if thumbnail else 1


def _rank(row: Instance) -> int | None:
    if row.sop_class in DOCUMENTS:
        return _DOCUMENT
    if row.transfer_syntax in VIDEOS:
        return _VIDEO
    if not metadata.integer(_attributes(row, Level.INSTANCE), "00280010"):
        return None
    return _DERIVED if row.sop_class in _DERIVED_CLASSES else _IMAGE


def _series(row: Instance) -> tuple[int, str]:
    return _number(row, Level.SERIES, "00200011"), row.series


def _position(row: Instance) -> tuple[int, str]:
    return _number(row, Level.INSTANCE, "00200013"), row.instance


def _number(row: Instance, level: Level, key: str) -> int:
    """A number to order by; without one behind all others."""
    value = (_attributes(row, level).get(key, {}).get("Value") or [None])[0]
    return value if isinstance(value, int) else 1 << 63


def _attributes(row: Instance, level: Level) -> Mapping[str, Any]:
    return row.attributes.get(level, {})
