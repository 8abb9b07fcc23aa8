"""Where events go: what a setting may say, and what a target is called."""

from __future__ import annotations

import re

import pytest

from dicom_core import event_targets
from dicom_core.event_targets import Kind, TargetError
from dicom_core.settings import Settings, SettingsError
from dicom_core.subscriptions import FHIR_AUTHENTICATION

TOPIC = "https://dicom-x.westeurope-1.eventgrid.azure.net/api/events"
WEBHOOK = "https://hooks.example.org/in?code=s3cr3t"
STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}
SECRET = "whsec_" + "A" * 44


def test_targets_are_told_apart() -> None:
    """A topic of Event Grid by its host, a queue by its prefix; anything else is a webhook."""
    found = event_targets.parse(f" {TOPIC}, queue:dicom-events ,,{WEBHOOK}", local=False)

    assert [(target.kind, target.address) for target in found] == [
        (Kind.TOPIC, TOPIC),
        (Kind.QUEUE, "dicom-events"),
        (Kind.WEBHOOK, WEBHOOK),
    ]
    assert [target.name for target in found] == [
        "topic-dicom-x-" + found[0].name[-8:],
        "queue-dicom-events",
        "webhook-hooks-example-org-" + found[2].name[-8:],
    ]
    assert all(re.fullmatch(r"[a-z0-9-]{1,63}", target.name) for target in found)


def test_name_tells_long_queues_apart() -> None:
    """Also those whose names differ only where a subscriber's name has no more room."""
    names = ["a" * 60 + last for last in "bc"]

    found = event_targets.parse(",".join(f"queue:{name}" for name in names), local=False)

    assert [target.address for target in found] == names
    assert all(re.fullmatch(r"queue-a{20,}-[0-9a-f]{8}", target.name) for target in found)
    assert max(len(target.name) for target in found) <= 63


def test_name_follows_from_the_address() -> None:
    """Neither the order of the targets nor the query of a URL, which may hold a secret, changes it."""
    before = {target.name for target in event_targets.parse(f"{TOPIC},{WEBHOOK}", local=False)}
    after = {target.name for target in event_targets.parse(f"{WEBHOOK}x,queue:abc,{TOPIC}", local=False)}

    assert before < after


@pytest.mark.parametrize(
    "one", ["https://a.example.org/x", "https://a.example.org:8443/", "https://a.example.org/"]
)
def test_name_tells_webhooks_apart(one: str) -> None:
    """Another host, port or path is another target."""
    (first,) = event_targets.parse("https://a.example.org/y", local=False)
    (second,) = event_targets.parse(one, local=False)

    assert first.name != second.name


@pytest.mark.parametrize(
    "text",
    [
        "http://hooks.example.org/",
        "hooks.example.org",
        "queue:A",
        "queue:ab",
        "queue:a--b",
        "queue:-ab",
        "queue:" + "a" * 64,
        "ftp://hooks.example.org/",
        "https://",
        "https://user:pass@hooks.example.org/",
        "https://hooks.example.org/#part",
        "https://hooks.example.org:port/",
        "https://[::1/",
        f"{WEBHOOK},{WEBHOOK}",
        f"{WEBHOOK},https://hooks.example.org/in?code=other",
        "queue:abc,queue:abc",
    ],
)
def test_target_that_is_none(text: str) -> None:
    """It is refused, by a text without what may be secret."""
    with pytest.raises(TargetError) as caught:
        event_targets.parse(text, local=False)

    assert not re.search("s3cr3t|code|other|pass", str(caught.value))


def test_local_run_may_send_without_encryption() -> None:
    """To http://, which no deployment may."""
    (target,) = event_targets.parse("http://127.0.0.1:9000/in", local=True)

    assert target.kind is Kind.WEBHOOK


def test_query_of_a_url_is_not_shown() -> None:
    """It may be a key; settings that are logged do not have it."""
    read = Settings.from_environment({**STORAGE, "DicomEventTargets": WEBHOOK, "DicomEventSecret": SECRET})

    assert "s3cr3t" not in repr(read)


def test_nothing_is_configured() -> None:
    """Without settings there are no subscribers; empty ones are none."""
    empty = dict.fromkeys(("DicomEventTargets", "DicomEventSchema", "DicomEventSecret", "DicomFhirUrl"), "")

    assert Settings.from_environment(STORAGE).subscribers == ()
    assert Settings.from_environment({**STORAGE, **empty}).subscribers == ()


def test_subscribers_of_the_settings() -> None:
    """A subscriber for each target, and one for the FHIR server."""
    read = Settings.from_environment(
        {
            **STORAGE,
            "DicomEventTargets": "queue:abc",
            "DicomEventSecret": f"{SECRET} {SECRET}",
            "DicomFhirUrl": "https://fhir.example.org/r4/",
        }
    )

    assert read.subscribers == ("queue-abc", "fhir")
    assert read.fhir is not None
    assert (read.fhir.url, read.fhir.authentication) == ("https://fhir.example.org/r4", "identity")
    assert SECRET not in repr(read)


CLIENT = {
    "DicomFhirUrl": "https://fhir.example.org",
    "DicomFhirAuthentication": "client-credentials",
    "DicomFhirTokenUrl": "https://id.example.org/token",
    "DicomFhirClientId": "dicom",
    "DicomFhirClientSecret": "s3cr3t",
}
AZURE = {"WEBSITE_HOSTNAME": "dicom.azurewebsites.net"}


def test_client_credentials() -> None:
    """All that tokens are asked for by is read; the secret is shown nowhere."""
    read = Settings.from_environment({**STORAGE, **CLIENT}).fhir

    assert read is not None
    assert (read.token_url, read.client_id, read.client_secret) == (
        "https://id.example.org/token",
        "dicom",
        "s3cr3t",
    )
    assert "s3cr3t" not in repr(read)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"DicomEventTargets": "nowhere"}, "DicomEventTargets"),
        ({"DicomEventSchema": "CloudEvents"}, "DicomEventSchema"),
        ({"DicomEventSecret": "plain"}, "DicomEventSecret"),
        ({"DicomEventSecret": "whsec_AAAA"}, "DicomEventSecret"),
        ({"DicomEventSecret": "whsec_" + "!" * 44}, "DicomEventSecret"),
        ({"DicomEventSecret": f"{SECRET} plain"}, "DicomEventSecret"),
        ({"DicomFhirUrl": "http://fhir.example.org", **AZURE}, "DicomFhirUrl"),
        ({"DicomFhirUrl": "https://fhir.example.org?x=1"}, "DicomFhirUrl"),
        ({"DicomFhirUrl": "https://user@fhir.example.org"}, "DicomFhirUrl"),
        ({"DicomFhirUrl": "https://f", "DicomFhirAuthentication": "basic"}, "DicomFhirAuthentication"),
        ({**CLIENT, "DicomFhirTokenUrl": ""}, "DicomFhirTokenUrl"),
        ({**CLIENT, "DicomFhirClientId": ""}, "DicomFhirClientId"),
        ({**CLIENT, "DicomFhirClientSecret": ""}, "DicomFhirClientSecret"),
    ],
)
def test_setting_that_is_malformed(given: dict[str, str], named: str) -> None:
    """The service does not start, and says which setting is wrong, but not what a secret is."""
    with pytest.raises(SettingsError, match=named) as caught:
        Settings.from_environment({**STORAGE, **given})

    assert not re.search("s3cr3t|plain", str(caught.value))


@pytest.mark.parametrize("mode", FHIR_AUTHENTICATION)
def test_fhir_authentication(mode: str) -> None:
    """Each way is taken with what it needs."""
    read = Settings.from_environment({**STORAGE, **CLIENT, "DicomFhirAuthentication": mode})

    assert read.fhir is not None
    assert read.fhir.authentication == mode


def test_queue_needs_an_endpoint() -> None:
    """An account whose queues are not known has none to send to."""
    account = {
        "AccountName": "a",
        "AccountKey": "aa==",
        "BlobEndpoint": "http://b",
        "TableEndpoint": "http://t",
    }
    environment = {
        "DicomStorage": ";".join(f"{name}={value}" for name, value in account.items()),
        "DicomEventTargets": "queue:abc",
    }
    by_identity = {
        "DicomStorage__blobServiceUri": "https://b",
        "DicomStorage__tableServiceUri": "https://t",
        "DicomEventTargets": "queue:abc",
    }
    for each in (environment, by_identity):
        with pytest.raises(SettingsError, match="DicomStorage__queueServiceUri"):
            Settings.from_environment(each)

    read = Settings.from_environment({**by_identity, "DicomStorage__queueServiceUri": "https://q"})

    assert read.account.queues == "https://q"


def test_secret_that_the_platform_cannot_read_yet() -> None:
    """A reference does not stop the service: what is stored and searched does not depend on it."""
    reference = "@Microsoft.KeyVault(VaultName=v;SecretName=s)"

    assert Settings.from_environment({**STORAGE, "DicomEventSecret": reference}).events.secrets == (
        reference,
    )
