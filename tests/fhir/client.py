"""A FHIR server as the tests of it speak with it, and the resources that they write."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

from tests import instances

Resource = dict[str, Any]

FHIR_JSON = "application/fhir+json"
MRN = "urn:oid:1.2.36.146.595.217.0.1"
CODES = "http://dicom.nema.org/resources/ontology/DCM"
TIMEOUT = 60
DONE = (200, 204)
REFUSED = (400, 422)


@dataclass(frozen=True, slots=True)
class Fhir:
    """A client of one server."""

    base: str
    token: str | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def send(
        self, method: str, path: str = "", body: Resource | bytes | None = None, **headers: str
    ) -> requests.Response:
        """One request; names of header fields are written with underscores."""
        fields = {"Accept": FHIR_JSON, "Cache-Control": "no-cache"}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            fields["Content-Type"] = FHIR_JSON
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        how = {"data": body} if isinstance(body, bytes) else {"json": body}
        return self.session.request(
            method, f"{self.base}/{path}".rstrip("/"), headers=fields, timeout=TIMEOUT, **how
        )

    def created(self, resource: Resource) -> Resource:
        """The resource as the server keeps it."""
        answer = self.send("POST", resource["resourceType"], resource, Prefer="return=representation")
        assert answer.status_code == 201, answer.text
        return body_of(answer)

    def read(self, resource: Resource) -> Resource:
        """The current version of a resource."""
        answer = self.send("GET", path_of(resource))
        assert answer.status_code == 200, answer.text
        return body_of(answer)

    def search(self, query: str) -> Resource:
        """The searchset that answers a query such as `Patient?identifier=1`."""
        answer = self.send("GET", query)
        assert answer.status_code == 200, answer.text
        return body_of(answer)

    def matches(self, query: str) -> list[str]:
        """The paths of the resources that match a query, in the order of the answer."""
        return paths(self.search(query), "match")

    def bundle(self, *entries: Resource, kind: str = "transaction") -> requests.Response:
        """Some requests at once."""
        sent = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
        return self.send("POST", "", sent, Prefer="return=representation")

    def transacted(self, *entries: Resource) -> list[Resource]:
        """The entries of the answer to a transaction that succeeds."""
        answer = self.bundle(*entries)
        assert answer.status_code == 200, answer.text
        responses: list[Resource] = body_of(answer)["entry"]
        return responses


def body_of(answer: requests.Response) -> Resource:
    """The resource in an answer."""
    assert answer.headers["Content-Type"].partition(";")[0] == FHIR_JSON
    resource: Resource = answer.json()
    return resource


def is_outcome(answer: requests.Response) -> bool:
    """Whether an answer says what was wrong as FHIR says it."""
    return bool(body_of(answer)["resourceType"] == "OperationOutcome")


def path_of(resource: Resource) -> str:
    """The path of a resource below the base."""
    return f"{resource['resourceType']}/{resource['id']}"


def paths(bundle: Resource, mode: str) -> list[str]:
    """The paths of a searchset's resources that are there for one reason."""
    entries = bundle.get("entry", [])
    return [path_of(one["resource"]) for one in entries if one["search"]["mode"] == mode]


def version_of(resource: Resource) -> str:
    """The entity tag of a resource."""
    return f'W/"{resource["meta"]["versionId"]}"'


def located(entry: Resource) -> str:
    """The path of the resource that an entry of a response is about."""
    return "/".join(entry["response"]["location"].partition("/_history")[0].split("/")[-2:])


def status_of(entry: Resource) -> int:
    """The status code of an entry of a response."""
    return int(entry["response"]["status"][:3])


def entry(
    method: str, url: str, resource: Resource | None = None, full: str | None = None, **request: str
) -> Resource:
    """An entry of a bundle; `request` has its ifNoneExist and ifMatch."""
    made: Resource = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full is not None:
        made["fullUrl"] = full
    return made


def urn() -> str:
    """A name for an entry that others refer to."""
    return f"urn:uuid:{uuid.uuid4()}"


def number() -> str:
    """A value that no other test has."""
    return uuid.uuid4().hex


def identified(value: str, system: str = MRN) -> list[Resource]:
    """The element of an identifier."""
    return [{"system": system, "value": value}]


def by(value: str, system: str = MRN) -> str:
    """The criteria that find an identifier."""
    return f"identifier={system}|{value}"


def patient(value: str, **elements: Any) -> Resource:
    """A patient who has an identifier."""
    return {"resourceType": "Patient", "identifier": identified(value), **elements}


def series(*modalities: str) -> list[Resource]:
    """The element of some series. A search for a modality looks at these only, not at the study's own element."""
    return [{"uid": instances.uid(), "modality": {"system": CODES, "code": code}} for code in modalities]


def study(of: str, **elements: Any) -> Resource:
    """An available CT study of a patient."""
    return {
        "resourceType": "ImagingStudy",
        "identifier": identified(f"urn:oid:{instances.uid()}", "urn:dicom:uid"),
        "status": "available",
        "subject": {"reference": of},
        "series": series("CT"),
        **elements,
    }


def endpoint(value: str, **elements: Any) -> Resource:
    """A DICOMweb endpoint."""
    return {
        "resourceType": "Endpoint",
        "identifier": identified(value),
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "dicom-wado-rs",
        },
        "payloadType": [{"text": "DICOM"}],
        "address": "https://example.org/v2",
        **elements,
    }


def observation(of: str, **elements: Any) -> Resource:
    """A finding in a patient."""
    return {
        "resourceType": "Observation",
        "identifier": identified(number()),
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]},
        "subject": {"reference": of},
        **elements,
    }
