"""Radiation dose reports become Observations (PS3.16 TID 10001, 10011, 10021)."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_core.fhir import elements, mapping
from dicom_core.fhir.mapping import Desired
from tests.unit.fhir import reports, samples
from tests.unit.fhir.reports import ct_event, ct_report, row_of
from tests.unit.fhir.samples import OPTIONS, data, mapped, row

DCM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
SCT = "http://snomed.info/sct"


def map_reports(*contents: bytes) -> Desired:
    """What a study of reports is mapped to; the last is the latest."""
    return mapped([row_of(content, version) for version, content in enumerate(contents)])


def of_code(desired: Desired, code: str) -> list[dict[str, Any]]:
    """The Observations of a code."""
    return [
        entry.resource
        for entry in desired.observations
        if entry.resource["code"]["coding"][0]["code"] == code
    ]


def summary(desired: Desired) -> dict[str, Any]:
    """The only dose summary."""
    (found,) = of_code(desired, "73569-6")
    return found


def event(desired: Desired) -> dict[str, Any]:
    """The only irradiation event."""
    (found,) = of_code(desired, "113852")
    return found


def component(code: str, display: str, **value: Any) -> dict[str, Any]:
    """A component of the DICOM ontology."""
    return {"code": {"coding": [{"system": DCM, "code": code, "display": display}]}, **value}


def measured(value: float, unit: str) -> dict[str, Any]:
    """A Quantity in a unit of UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def test_summary_of_ct() -> None:
    """A report of CT becomes a summary with its procedure, totals, device, events and start."""
    desired = map_reports(ct_report(ct_event("1.2.66", "157.07"), TimezoneOffsetFromUTC="+0100"))
    found = summary(desired)
    assert found["component"] == [
        component(
            "121058",
            "Procedure reported",
            valueCodeableConcept={
                "coding": [{"system": SCT, "code": "77477000", "display": "Computed tomography"}],
                "text": "Computed Tomography X-Ray",
            },
        ),
        component("113812", "Total Number of Irradiation Events", valueQuantity=measured(2.0, "{events}")),
        component("113813", "CT Dose Length Product Total", valueQuantity=measured(203.12, "mGy.cm")),
    ]
    assert found["code"]["coding"][0]["system"] == "http://loinc.org"
    assert found["effectiveDateTime"] == "2026-01-31T10:15:00.5+01:00"
    assert found["device"] == {
        "type": "Device",
        "identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.55"},
        "display": "CT01",
    }
    assert found["status"] == "preliminary"
    assert found["subject"] == {"reference": desired.patient.full_url}
    assert found["partOf"] == [{"reference": desired.imaging_study.full_url}]
    assert found["meta"] == {"source": OPTIONS.base_url}


def test_event_of_ct() -> None:
    """An irradiation event of CT has its doses and the region that was irradiated."""
    desired = map_reports(ct_report(ct_event("1.2.66", "157.07")))
    found = event(desired)
    assert found["component"] == [
        component("113830", "Mean CTDIvol", valueQuantity=measured(2.41, "mGy")),
        component(
            "113835",
            "CTDIw Phantom Type",
            valueCodeableConcept={
                "coding": [{"system": DCM, "code": "113691", "display": "IEC Body Dosimetry Phantom"}],
                "text": "IEC Body Dosimetry Phantom",
            },
        ),
        component("113838", "DLP", valueQuantity=measured(157.07, "mGy.cm")),
    ]
    assert found["bodySite"]["coding"] == [{"system": SCT, "code": "816094009", "display": "Chest"}]
    assert found["effectiveDateTime"] == "2026-01-31"
    assert found["identifier"][1]["value"] == "urn:oid:1.2.66"
    assert found["partOf"] == [{"reference": desired.imaging_study.full_url}]


def test_entries_are_found_by_their_first_identifier() -> None:
    """The first identifier of an Observation is its full URL, by which its entry is found, and members stand first."""
    desired = map_reports(ct_report(ct_event("1.2.66", "1"), ct_event("1.2.67", "2")))
    for entry in desired.observations:
        assert entry.identifier == f"urn:ietf:rfc:3986|{entry.full_url}"
        assert entry.resource["identifier"][0]["value"] == entry.full_url
    members = [member["reference"] for member in summary(desired)["hasMember"]]
    assert members == [entry.full_url for entry in desired.observations[:2]]


def test_observations_are_the_same_each_time() -> None:
    """Mapping again makes the same full URLs; another study's are others, even of the same events."""
    content = ct_report(ct_event("1.2.66", "1"), ct_event("", "2"))
    first, again = map_reports(content), map_reports(content)
    other = map_reports(ct_report(ct_event("1.2.66", "1"), StudyInstanceUID="1.2.4"))
    assert first == again
    urls = {entry.full_url for entry in first.observations}
    assert len(urls) == 3
    assert urls.isdisjoint(entry.full_url for entry in other.observations)


def test_event_of_several_reports_is_that_of_the_latest() -> None:
    """An event that two reports tell of is one Observation, as the latest tells it, and member of both summaries."""
    desired = map_reports(
        ct_report(ct_event("1.2.66", "1"), instance="1.2.3.9.1"),
        ct_report(ct_event("1.2.66", "2"), instance="1.2.3.9.2"),
    )
    assert event(desired)["component"][2]["valueQuantity"]["value"] == 2
    summaries = of_code(desired, "73569-6")
    assert len(summaries) == 2
    assert summaries[0]["hasMember"] == summaries[1]["hasMember"]


def test_event_in_parts_is_one_observation() -> None:
    """An event that a report tells of in several containers has the components of all (TID 10013)."""
    desired = map_reports(ct_report(ct_event("1.2.66", "1"), ct_event("1.2.66", "2")))
    doses = [one["valueQuantity"]["value"] for one in event(desired)["component"] if "valueQuantity" in one]
    assert doses == [2.41, 1, 2]
    assert len(summary(desired)["hasMember"]) == 1


def test_report_of_two_planes() -> None:
    """Totals of two planes are told apart by the text of their codes; a single plane needs none."""
    desired = map_reports(reports.projection_report())
    totals = summary(desired)["component"][1:]
    assert [(one["code"]["text"], one["valueQuantity"]["value"]) for one in totals] == [
        ("Dose (RP) Total (Plane A)", 0.1),
        ("Dose (RP) Total (Plane B)", 0.2),
    ]
    found = event(desired)
    assert found["component"] == [
        component("113738", "Dose (RP)", valueQuantity=measured(0.01, "Gy")),
    ]
    assert found["effectiveDateTime"] == "2026-01-31T10:15:00+01:00"
    assert found["status"] == summary(desired)["status"] == "final"


def test_report_of_a_radiopharmaceutical() -> None:
    """What was administered stands in the event and in the summary."""
    desired = map_reports(reports.radiopharmaceutical_report())
    found = event(desired)
    assert found["component"] == summary(desired)["component"]
    assert [one["code"]["coding"][0]["code"] for one in found["component"]] == [
        "349358000",
        "89457008",
        "113507",
        "410675002",
    ]
    assert found["component"][2]["valueQuantity"] == measured(370.0, "MBq")
    assert found["component"][3]["valueString"] == "by hand"
    assert found["effectiveDateTime"] == "2026-01-31"
    assert found["identifier"][1]["value"] == "urn:oid:1.2.88"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (("mGy.cm", "UCUM", ""), measured(1.5, "mGy.cm")),
        (("mgy", "99LOCAL", "milligray"), {"value": 1.5, "unit": "milligray"}),
    ],
)
def test_units(unit: reports.Code, expected: dict[str, Any]) -> None:
    """A unit of UCUM is a code; any other is text."""
    item = reports.number(("113813", "DCM", "CT Dose Length Product Total"), "1.5", unit)
    desired = map_reports(reports.report(reports.XRAY_REPORT, item))
    assert summary(desired)["component"][0]["valueQuantity"] == expected


@pytest.mark.parametrize("number", [float("inf"), float("nan"), "1.5", True, None])
def test_quantity_of_no_number(number: Any) -> None:
    """What JSON has no number for makes no Quantity."""
    assert elements.quantity(number, data(**samples.code("mGy", "UCUM", "mGy"))) == {}


def no_number() -> Dataset:
    """A measurement that was not made."""
    item = reports.number(("113813", "DCM", "CT Dose Length Product Total"), "1", reports.MGY_CM)
    item.MeasuredValueSequence = []
    return item


def not_a_number() -> Dataset:
    """A measurement without its number."""
    item = no_number()
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = [reports.coded(reports.MGY_CM)]
    item.MeasuredValueSequence = [measured]
    return item


@pytest.mark.parametrize("item", [no_number(), not_a_number(), Dataset()])
def test_items_without_values_are_left_out(item: Dataset) -> None:
    """What a report leaves empty is no component."""
    title = reports.text(("121106", "DCM", "Comment"), "empty")
    assert "component" not in summary(map_reports(reports.report(reports.XRAY_REPORT, title, item)))


def test_other_reports_make_no_observations() -> None:
    """A report of another title, or without content, tells of no dose."""
    assert not map_reports(reports.report(("126000", "DCM", "Imaging Measurement Report"))).observations
    assert not map_reports(reports.report(reports.XRAY_REPORT)).observations


def test_deep_content_is_read() -> None:
    """The tree of a report may be deep."""
    item = reports.number(("113813", "DCM", "CT Dose Length Product Total"), "1", reports.MGY_CM)
    for _ in range(30):
        item = reports.container(("1", "99X", "level"), item)
    assert len(summary(map_reports(reports.report(reports.XRAY_REPORT, item)))["component"]) == 1


@pytest.mark.parametrize(
    ("sop_class", "title", "wanted"),
    [
        (reports.XRAY_DOSE, None, True),
        (reports.RADIOPHARMACEUTICAL_DOSE, None, True),
        ("1.2.840.10008.5.1.4.1.1.88.22", "113701", True),
        ("1.2.840.10008.5.1.4.1.1.88.33", "113500", True),
        ("1.2.840.10008.5.1.4.1.1.88.22", "126000", False),
        ("1.2.840.10008.5.1.4.1.1.88.22", None, False),
        ("1.2.840.10008.5.1.4.1.1.2", "113701", False),
    ],
)
def test_headers_of_dose_reports_are_wanted(sop_class: str, title: str | None, wanted: bool) -> None:
    """Headers are read of what is a dose report by its SOP class, or by its title."""
    dataset = data(PatientID="P1", **({"ConceptNameCodeSequence": {"CodeValue": title}} if title else {}))
    rows = [row(dataset, 0, sop_class=sop_class), row(data(PatientID="P1"), 1)]
    assert (rows[0].resource in mapping.wanted(rows)) is wanted
