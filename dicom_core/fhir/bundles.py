"""From what a study should have in a FHIR server, and what it has there, to the entries of a transaction (R4 3.1.0.11).

What is as it should be has no entry, so that no version is made for nothing. What is written anew is conditional on
its identifier, what is replaced on the version that was read: whoever comes second has to read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dicom_core.delivery.subscribing import Refused, Unavailable
from dicom_core.fhir import merging
from dicom_core.fhir.elements import Element
from dicom_core.fhir.mapping import Desired, Entry

BundleEntry = dict[str, Any]

MOST_ENTRIES = 400
"""Entries of one transaction; servers take 500 and more."""

_OBSERVATIONS = 1000
_PATIENTS = 100  # one page is all that is looked at: they may have been merged, but not that often


@dataclass(frozen=True, slots=True)
class Found:
    """What a server has of a study: one resource at most by each identifier, and the Observations that are ours.

    `subject` is the Patient whom the ImagingStudy is of now, `places` the Endpoints that it names.
    """

    study: Element | None = None
    patient: Element | None = None
    endpoint: Element | None = None
    subject: Element | None = None
    places: tuple[Element, ...] = ()
    observations: tuple[Element, ...] = ()


def queries(study: str, endpoint: str, patient: str | None) -> list[str]:
    """The searches that find what a server has of a study, by identifiers; without a Patient if none is desired."""
    asked = _query("identifier", study)
    found = [
        f"ImagingStudy?{asked}&_include=ImagingStudy:subject&_include=ImagingStudy:endpoint",
        f"Endpoint?{_query('identifier', endpoint)}",
        f"Observation?{_query('part-of:ImagingStudy.identifier', study)}&_count={_OBSERVATIONS}",
    ]
    return (
        found if patient is None else [*found, f"Patient?{_query('identifier', patient)}&_count={_PATIENTS}"]
    )


def found(answers: Sequence[Sequence[Element]], source: str, base: str) -> Found:
    """What the searches found, references made relative to the server's base URL.

    Raises
    ------
    Refused
        Several resources have the identifier of the study, or of its patient.
    Unavailable
        Several have that of the endpoint: it is so for every study.
    """
    ours = [[_relative(one, f"{base}/") for one in answer] for answer in answers]
    studies, endpoints, observations = ours[:3]
    study = _only(_of("ImagingStudy", studies), "ImagingStudy", Refused)
    here = None if study is None else path_of(study)
    return Found(
        study=study,
        patient=_only(_living(ours[3]) if len(ours) > 3 else [], "Patient", Refused),
        endpoint=_only(endpoints, "Endpoint", Unavailable),
        subject=next((one for one in _of("Patient", studies) if study and _is_of(study, one)), None),
        places=tuple(_of("Endpoint", studies)),
        observations=tuple(
            one
            for one in observations
            if merging.is_ours(one, source)
            and any(part.get("reference") == here for part in one.get("partOf", ()))
        ),
    )


def path_of(resource: Element) -> str:
    """The path of a resource below the base URL, as references name it."""
    return f"{resource['resourceType']}/{resource['id']}"


def write(desired: Desired, found: Found, source: str) -> list[BundleEntry]:
    """The entries that make a server have what is desired of a study; none if it has."""
    there = {
        desired.patient.full_url: found.patient,
        desired.endpoint.full_url: found.endpoint,
        desired.imaging_study.full_url: found.study,
    }
    by_identifier = {key: one for one in found.observations for key in _keys(one)}
    for entry in desired.observations:
        there[entry.full_url] = by_identifier.get(next(iter(_keys(entry.resource))))
    names = {name: path_of(one) for name, one in there.items() if one is not None}
    entries: list[BundleEntry] = []
    for entry in desired.entries:
        resource = _resolved(entry.resource, names)
        standing = there[entry.full_url]
        if standing is None:
            entries.append(_created(entry, resource))
        elif merging.differs(merged := _merged(resource, standing, source, desired, names), standing):
            entries.append(replaced(merged))
    wanted = {path for path in names.values() if path.startswith("Observation/")}
    return entries + _removals(one for one in found.observations if path_of(one) not in wanted)


def remove(found: Found, source: str) -> list[BundleEntry]:
    """The entries that leave nothing of a study on a server but what is not ours, Patients among it."""
    entries = _removals(found.observations)
    if found.study is None or _is_withdrawn(found.study, source):
        return entries
    place = "" if found.endpoint is None else path_of(found.endpoint)
    rest = merging.without(found.study, place)
    if merging.is_ours(found.study, source):
        if not merging.is_left(rest):
            return [*entries, removed(found.study)]
        rest = merging.handed_over(rest, (one for one in found.places if path_of(one) != place))
    return [*entries, replaced(rest)] if merging.differs(rest, found.study) else entries


def withdraw(found: Found, source: str) -> list[BundleEntry]:
    """The entries instead of those of `remove`, where a server keeps an ImagingStudy that others refer to."""
    return [
        replaced(merging.withdrawn(found.study, source))
        if found.study is not None
        and entry["request"]["method"] == "DELETE"
        and entry["request"]["url"] == path_of(found.study)
        else entry
        for entry in remove(found, source)
    ]


def replaced(resource: Element) -> BundleEntry:
    """An update of the version that was read."""
    return {
        "resource": resource,
        "request": {"method": "PUT", "url": path_of(resource), **_if_match(resource)},
    }


def removed(resource: Element) -> BundleEntry:
    """A deletion of the version that was read; servers need not look at the version."""
    return {"request": {"method": "DELETE", "url": path_of(resource), **_if_match(resource)}}


def former(found: Found, desired: Desired | None, source: str) -> Element | None:
    """The Patient whom a study of ours is of until now, and will not be."""
    patient = found.subject
    if found.study is None or patient is None or not merging.is_ours(found.study, source):
        return None
    if desired is not None and found.patient is not None and path_of(found.patient) == path_of(patient):
        return None
    return patient if merging.is_ours(patient, source) else None


def _merged(
    resource: Element, there: Element, source: str, desired: Desired, names: Mapping[str, str]
) -> Element:
    if resource["resourceType"] == "Patient":
        return merging.patient(resource, there, source)
    if resource["resourceType"] == "ImagingStudy":
        place = names.get(desired.endpoint.full_url, desired.endpoint.full_url)
        return merging.study(resource, there, source, place)
    return merging.whole(resource, there, source)


def _removals(observations: Iterable[Element]) -> list[BundleEntry]:
    """Deletions, first of those that refer to others: all of them need not fit into one transaction."""
    return [removed(one) for one in sorted(observations, key=lambda one: "hasMember" not in one)]


def _created(entry: Entry, resource: Element) -> BundleEntry:
    condition = _query("identifier", entry.identifier)
    return {
        "fullUrl": entry.full_url,
        "resource": resource,
        "request": {"method": "POST", "url": entry.type, "ifNoneExist": condition},
    }


def _query(name: str, value: str) -> str:
    return f"{name}={quote(value, safe='')}"


def _if_match(resource: Element) -> dict[str, str]:
    version = resource.get("meta", {}).get("versionId")
    return {} if version is None else {"ifMatch": f'W/"{version}"'}


def _only(
    resources: Sequence[Element], kind: str, error: type[Refused] | type[Unavailable]
) -> Element | None:
    if len(resources) > 1:
        raise error(f"{len(resources)} {kind} resources have the same identifier; there must be one")
    return resources[0] if resources else None


def _of(kind: str, resources: Iterable[Element]) -> list[Element]:
    return [one for one in resources if one.get("resourceType") == kind]


def _living(patients: Sequence[Element]) -> list[Element]:
    """Patients but for those in whose place another has come, if one has."""
    living = [
        one for one in patients if all(link.get("type") != "replaced-by" for link in one.get("link", ()))
    ]
    return living or list(patients)


def _is_of(study: Element, patient: Element) -> bool:
    return bool(study.get("subject", {}).get("reference") == path_of(patient))


def _is_withdrawn(study: Element, source: str) -> bool:
    return study.get("status") == "entered-in-error" and not merging.differs(
        merging.withdrawn(study, source), study
    )


def _keys(resource: Element) -> list[tuple[Any, Any]]:
    return [(one.get("system"), one.get("value")) for one in resource.get("identifier", ())]


def _resolved(value: Any, names: Mapping[str, str]) -> Any:
    """A copy in which references to what is on the server have its path."""
    if isinstance(value, dict):
        return {
            key: names.get(one, one) if key == "reference" else _resolved(one, names)
            for key, one in value.items()
        }
    return [_resolved(one, names) for one in value] if isinstance(value, list) else value


def _relative(value: Any, base: str) -> Any:
    """A copy in which references do not repeat the server's base URL."""
    if isinstance(value, dict):
        return {
            key: one.removeprefix(base)
            if key == "reference" and isinstance(one, str)
            else _relative(one, base)
            for key, one in value.items()
        }
    return [_relative(one, base) for one in value] if isinstance(value, list) else value
