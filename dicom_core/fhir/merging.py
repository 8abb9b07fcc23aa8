"""What becomes of a resource that is on the server when the record says something else (docs/fhir.md, ownership).

A resource is the service's if its `meta.source` says so; elements that the mapping does not make stay as others wrote
them. Patients, Endpoints and Observations of others are left alone. An ImagingStudy may be of several services: of each
series `endpoint` says whose it is, and each service answers for its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dicom_core.fhir.elements import Element

OWNED: Mapping[str, tuple[str, ...]] = {
    "Patient": ("gender", "birthDate"),
    "Endpoint": ("status", "connectionType", "name", "payloadType", "payloadMimeType", "address"),
    "ImagingStudy": ("status", "subject", "started", "procedureCode", "reasonCode", "description"),
    "Observation": (
        "partOf",
        "status",
        "code",
        "subject",
        "effectiveDateTime",
        "bodySite",
        "device",
        "hasMember",
        "component",
    ),
}
"""Elements of a resource of ours that say what the record says, and go when it says nothing; those of Patients stay.

What is beside them in the mapping is merged item by item."""

LINKS = ("encounter", "basedOn", "referrer", "interpreter", "location")
"""Elements of an ImagingStudy that name others by identifiers; where one was resolved to a resource, it stays."""

_OF_SERVER = frozenset({"versionId", "lastUpdated"})
_ACCESSION = "ACSN"
_UID_SYSTEM = "urn:dicom:uid"


def is_ours(resource: Element, source: str) -> bool:
    """Say if a resource was written by this service; what a server adds behind a `#` does not count."""
    return bool(str(resource.get("meta", {}).get("source", "")).partition("#")[0] == source)


def differs(resource: Element, there: Element) -> bool:
    """Say if a resource is another than the one on the server, but for what the server itself writes into it."""
    return _written(resource) != _written(there)


def patient(desired: Element, there: Element, source: str) -> Element:
    """A Patient with what the record says: names of the same use are replaced, identifiers only added."""
    if not is_ours(there, source):
        return there
    merged = _owned(desired, there, source)
    if "name" in desired:
        uses = {name.get("use") for name in desired["name"]}
        merged["name"] = desired["name"] + [
            one for one in there.get("name", ()) if one.get("use") not in uses
        ]
    return merged


def of_several(tellers: Sequence[Element]) -> Element:
    """The Patient that several studies tell of, the latest one first: per element, who has it."""
    told: Element = {}
    for one in reversed(tellers):
        told = {**told, **one, "identifier": _joined(one.get("identifier", ()), told.get("identifier", ()))}
    return told


def whole(desired: Element, there: Element, source: str) -> Element:
    """An Endpoint or an Observation with what the record says."""
    return _owned(desired, there, source) if is_ours(there, source) else there


def study(desired: Element, there: Element, source: str, endpoint: str) -> Element:
    """An ImagingStudy with what the record says; of one that is not ours, what it lacks, beside our series."""
    if is_ours(there, source):
        merged = _owned(desired, there, source)
        merged = {name: value for name, value in merged.items() if name not in LINKS or _is_link(value)}
        merged |= {name: desired[name] for name in LINKS if name in desired and name not in merged}
        others = [one for one in there.get("identifier", ()) if not _is_of_study(one)]
        merged["identifier"] = _joined(desired["identifier"], others)
        notes = [one for one in there.get("note", ()) if one.keys() > {"text"}]
        merged |= {"note": [*desired.get("note", ()), *notes]}
    else:
        completing = ("note", *LINKS, *OWNED["ImagingStudy"])
        merged = {name: desired[name] for name in completing if name in desired} | there
        merged["identifier"] = _joined(there.get("identifier", ()), desired["identifier"])
    return _with_series(merged, desired, endpoint, is_ours=is_ours(there, source))


def without(there: Element, endpoint: str) -> Element:
    """An ImagingStudy without the series and the endpoint of ours."""
    return _with_series(there, {}, endpoint, is_ours=True)


def is_left(there: Element) -> bool:
    """Say if an ImagingStudy still has series, or somewhere to get them from."""
    return bool(there.get("series") or there.get("endpoint"))


def handed_over(there: Element, to: Iterable[Element]) -> Element:
    """An ImagingStudy that is of another service from now on: of the first that still has an Endpoint in it."""
    left = {one["reference"] for one in there.get("endpoint", ()) if "reference" in one}
    for endpoint in to:
        if f"Endpoint/{endpoint['id']}" in left and (source := endpoint.get("meta", {}).get("source")):
            return {**there, "meta": {**there.get("meta", {}), "source": source}}
    return there


def withdrawn(there: Element, source: str) -> Element:
    """What stays of an ImagingStudy that others refer to, so that the server does not delete it."""
    kept = ("resourceType", "id", "identifier", "subject")
    return {
        **{name: there[name] for name in kept if name in there},
        "meta": {**there.get("meta", {}), "source": source},
        "status": "entered-in-error",
    }


def _owned(desired: Element, there: Element, source: str) -> Element:
    """The resource on the server with our elements as they are desired."""
    names = OWNED[desired["resourceType"]]
    gone = () if desired["resourceType"] == "Patient" else names
    merged = {name: value for name, value in there.items() if name not in gone}
    merged |= {name: desired[name] for name in names if name in desired}
    merged["identifier"] = _joined(there.get("identifier", ()), desired.get("identifier", ()))
    merged["meta"] = {**there.get("meta", {}), "source": source}
    return merged


def _with_series(merged: Element, desired: Element, endpoint: str, *, is_ours: bool) -> Element:
    """Put our series in the place of those that were ours, beside those of others."""
    ours = {one["uid"]: one for one in desired.get("series", ())}
    others = {
        one["uid"]: one
        for one in merged.get("series", ())
        if _places(one, endpoint) or (one["uid"] not in ours and not _names(one, endpoint))
    }
    told = {name: desired.get(name) for name in ("modality", "numberOfSeries", "numberOfInstances")}
    series = list(ours.values())
    if others:
        shared = {
            uid: _shared(ours[uid], others[uid], is_ours=is_ours) for uid in ours.keys() & others.keys()
        }
        left = {uid: _unmarked(one, endpoint) for uid, one in others.items()}
        series = [one for _, one in sorted((left | ours | shared).items())]
        told = _counted(series)
    told |= {"series": series, "endpoint": _endpoints(merged, desired, endpoint)}
    return {name: value for name, value in (merged | told).items() if value not in (None, [])}


def _counted(series: Sequence[Element]) -> Element:
    modalities = {
        (one.get("system", ""), one.get("code", "")): one for one in (each["modality"] for each in series)
    }
    return {
        "modality": [modalities[key] for key in sorted(modalities)],
        "numberOfSeries": len(series),
        "numberOfInstances": sum(
            one.get("numberOfInstances", len(one.get("instance", ()))) for one in series
        ),
    }


def _places(element: Element, endpoint: str) -> list[Element]:
    """The endpoints of a study or series but for ours."""
    return [one for one in element.get("endpoint", ()) if one.get("reference") != endpoint]


def _names(element: Element, endpoint: str) -> bool:
    return any(one.get("reference") == endpoint for one in element.get("endpoint", ()))


def _endpoints(there: Element, desired: Element, endpoint: str) -> list[Element]:
    """The endpoints of others, and ours if it is desired; they stay in the order that they have."""
    if "endpoint" not in desired:
        return _places(there, endpoint)
    known: list[Element] = there.get("endpoint", [])
    return known if _names(there, endpoint) else [*known, *desired["endpoint"]]


def _unmarked(series: Element, endpoint: str) -> Element:
    """A series without our endpoint."""
    return {**series, "endpoint": _places(series, endpoint)} if _names(series, endpoint) else series


def _shared(ours: Element, theirs: Element, *, is_ours: bool) -> Element:
    """A series that another service has, too: its instances are those of both; who has the study describes it."""
    (place,) = ours["endpoint"]
    instances = {one["uid"]: one for one in (*theirs.get("instance", ()), *ours.get("instance", ()))}
    return {
        **((theirs | ours) if is_ours else (ours | theirs)),
        "endpoint": _endpoints(theirs, ours, place["reference"]),
        "instance": [one for _, one in sorted(instances.items())],
        "numberOfInstances": len(instances),
    }


def _joined(first: Iterable[Element], more: Iterable[Element]) -> list[Element]:
    """Identifiers, each once."""
    known = list(first)
    keys = {(one.get("system"), one.get("value")) for one in known}
    return known + [one for one in more if (one.get("system"), one.get("value")) not in keys]


def _is_of_study(identifier: Element) -> bool:
    """Say if an identifier is one that the mapping makes: a former accession number does not stay."""
    codings = identifier.get("type", {}).get("coding", ())
    return identifier.get("system") == _UID_SYSTEM or any(one.get("code") == _ACCESSION for one in codings)


def _is_link(value: Any) -> bool:
    return any("reference" in one for one in (value if isinstance(value, list) else [value]))


def _written(resource: Element) -> Element:
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _OF_SERVER}
    return {**resource, "meta": {**meta, "source": str(meta.get("source", "")).partition("#")[0]}}
