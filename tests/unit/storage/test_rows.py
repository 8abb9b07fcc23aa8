"""How the record lies in rows: nothing is lost on the way there and back, and every batch is one the service takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core.record import Columns, Instance
from dicom_core.resources import Level, Resource
from dicom_core.storage import rows
from dicom_core.storage.commit import chunks
from dicom_core.storage.table_service import MAX_BATCH_BYTES, check
from tests.instances import row, transaction

EVERY = Columns.ATTRIBUTES | Columns.HEADER | Columns.PIXELS
OF = transaction("1.2")


def there_and_back(instance: Instance) -> Instance:
    """An instance written as a row, with the properties that a read of every column selects."""
    entity = rows.from_instance(instance)
    check("p", rows.instance_key(instance), entity)
    read = {name: entity[name] for name in rows.selected(EVERY) if name in entity}
    return rows.to_instances([{**read, "RowKey": rows.instance_key(instance)}], OF.partition, OF.study)[0]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 600 << 10])
def test_header_of_any_size_comes_back(size: int) -> None:
    """Bytes are cut into properties of 64 KiB."""
    instance = row(OF, header=bytes(range(256)) * (size // 256) + bytes(size % 256))

    assert there_and_back(instance) == instance


@pytest.mark.parametrize("number", [0, 1, 5000])
def test_bulk_data_locations_come_back(number: int) -> None:
    """However many values an instance has outside of its metadata."""
    bulkdata = {f"52009230/{item}/00211010": (item * 5000, 4096) for item in range(number)}
    instance = row(OF, header=b"h", bulkdata=bulkdata)

    assert there_and_back(instance) == instance


def test_header_that_no_row_can_hold_is_not_in_it() -> None:
    """It lies in a blob, and the row says so."""
    entity = rows.from_instance(row(OF, header=bytes(rows.MAX_BULKY_BYTES + 1)))

    assert entity["spilled"] == f"[{rows.MAX_BULKY_BYTES + 1},0,0]"
    assert not any(name.startswith("header") for name in entity)


def test_attributes_that_no_property_can_hold_leave_the_longest_out() -> None:
    """A text property takes 64 KiB; what is left out is still in the header."""
    long, short = ({"vr": "LT", "Value": [text]} for text in ("x" * 40_000, "y"))
    instance = row(OF, attributes={Level.STUDY: {"00081030": long, "00100020": short}})

    assert there_and_back(instance).attributes == {Level.STUDY: {"00100020": short}}


def test_null_is_as_missing() -> None:
    """A property that was selected and is not there may come as null."""
    instance = row(OF, attributes={}, header=b"")
    read = dict.fromkeys(rows.selected(EVERY)) | rows.from_instance(instance)
    read["RowKey"] = rows.instance_key(instance)

    assert rows.to_instances([read], OF.partition, OF.study) == [instance]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    series=st.lists(st.integers(0, 130), min_size=1, max_size=260),
    size=st.sampled_from([10, 20_000, 200_000]),
)
def test_batches_fit(series: list[int], size: int) -> None:
    """A batch has 100 operations and 4 MiB at most, the decision and the series included; none is lost."""
    made = [row(OF, part, series=f"1.{of}", header=bytes(size)) for part, of in enumerate(series)]

    batches = list(chunks(made))

    assert sorted(one.version for batch in batches for one in batch) == sorted(one.version for one in made)
    for batch in batches:
        assert len(batch) <= rows.INSTANCES_AT_ONCE
        assert len(batch) + len({one.series for one in batch}) + 1 <= 100
        assert sum(rows.weight(one) for one in batch) <= MAX_BATCH_BYTES


@pytest.mark.parametrize(
    ("resource", "inside", "outside"),
    [
        (Resource("1.2"), ["instance|1|1", "instance|9|9"], ["change|0", "index", "series|1", "~deleting|0"]),
        (
            Resource("1.2", "1.2"),
            ["instance|1.2|1", "instance|1.2|9.9"],
            ["instance|1.20|1", "instance|1.2.1|1"],
        ),
        (Resource("1.2", "1.2", "3"), ["instance|1.2|3"], ["instance|1.2|3.1", "instance|1.2|30"]),
    ],
    ids=["study", "series", "instance"],
)
def test_span_holds_what_is_below(resource: Resource, inside: list[str], outside: list[str]) -> None:
    """The keys of a resource's instances lie together, and no others among them."""
    first, last = rows.span(resource)

    assert all(first <= key <= last for key in inside)
    assert not any(first <= key <= last for key in outside)


def test_decision_tells_what_it_touched() -> None:
    """What was added, replaced or removed, by the keys of the rows."""
    decision = rows.Decision(
        add=[rows.Named("1", "2", "v1", "1.2")],
        gone=[rows.Named("1", "2", "v0", "1.2"), rows.Named("3", "4", "v0")],
        drop=["v2"],
    )
    entity = decision.to_entity("done")

    assert rows.added(entity) == {"v1"}
    assert rows.touched(entity) == {"instance|1|2", "instance|3|4"}


@pytest.mark.parametrize("number", [1, 10_000])
def test_large_deletion_names_its_versions(number: int) -> None:
    """Exact versions, however many: a moment in time would depend on clocks."""
    versions = {transaction("1.2").name for _ in range(number)}
    entity = rows.deleting([rows.Named("", "", version) for version in versions])
    check("p", rows.deleting_key(OF.name), entity)

    assert rows.dead(entity) == versions


def test_kinds_are_scanned_in_their_order() -> None:
    """Decisions before instances, deletions last: a scan relies on it."""
    keys = [rows.change_key("Z"), "index", "instance|9|9", rows.series_key("1"), rows.deleting_key("0")]

    assert keys == sorted(keys)
