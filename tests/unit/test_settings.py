"""Settings that are wrong are named."""

from __future__ import annotations

import pytest

from dicom_core.settings import Settings, SettingsError

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}


@pytest.mark.parametrize("source", ["EventGrid", "LogsAndContainerScan"])
def test_blob_source(source: str) -> None:
    """A setting says how the host learns of new blobs; Event Grid is the only way of every plan."""
    assert Settings.from_environment(STORAGE).blob_source == "EventGrid"
    assert Settings.from_environment({**STORAGE, "DicomBlobSource": source}).blob_source == source


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DicomBlobSource", "eventgrid"),
        ("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "200 MB"),
        ("DicomRetentionHours", "0"),
        ("DicomRetentionHours", "0.5"),
        ("DicomRetentionHours", "-1"),
        ("DicomRetentionHours", "100000"),
        ("OTEL_TRACES_SAMPLER_ARG", "-1"),
        ("OTEL_TRACES_SAMPLER_ARG", "many"),
        ("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "1"),
    ],
)
def test_setting_that_is_malformed(name: str, value: str) -> None:
    """The service does not start, and says which setting is wrong."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**STORAGE, name: value})


SENT_TO = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=1"}


@pytest.mark.parametrize(
    ("enabled", "destination"),
    [("true", "InstrumentationKey=1"), ("1", "InstrumentationKey=1"), ("false", ""), ("", "")],
)
def test_telemetry_is_sent_if_asked_for(enabled: str, destination: str) -> None:
    """Where the platform has a component of Application Insights, a setting says whether we use it, too."""
    environment = {**STORAGE, **SENT_TO, "PYTHON_ENABLE_OPENTELEMETRY": enabled}

    assert Settings.from_environment(environment).telemetry == destination


def test_telemetry_needs_a_destination() -> None:
    """The service does not start if it is to send telemetry nowhere."""
    with pytest.raises(SettingsError, match="set APPLICATIONINSIGHTS_CONNECTION_STRING"):
        Settings.from_environment({**STORAGE, "PYTHON_ENABLE_OPENTELEMETRY": "true"})


ENTRA = {
    "DicomAuthentication": "entra",
    "DicomIssuer": "https://issuer.example",
    "DicomAudience": "api://dicom",
}
SITE = "WEBSITE_HOSTNAME"
AZURE = {SITE: "dicom.azurewebsites.net"}


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "anonymous"),
        ({SITE: "localhost:7071"}, "anonymous"),
        ({SITE: "127.0.0.1:7071"}, "anonymous"),
        ({SITE: "[::1]:7071"}, "anonymous"),
        ({SITE: "127.0.0.1", "DicomAuthentication": "anonymous"}, "anonymous"),
        ({"DicomAuthentication": " "}, "anonymous"),
        ({"DicomAuthentication": "function-key", **AZURE}, "function-key"),
        ({**ENTRA, **AZURE, "WEBSITE_INSTANCE_ID": "1"}, "entra"),
        ({**ENTRA, "DicomIssuer": "http://127.0.0.1:8080/tenant"}, "entra"),
    ],
)
def test_who_may_call(environment: dict[str, str], mode: str) -> None:
    """Locally everyone may call, unless the settings say otherwise."""
    found = Settings.from_environment({**STORAGE, **environment}).authentication

    assert (found.mode, found.fault, found.by_key) == (mode, "", mode == "function-key")


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        (AZURE, "set DicomAuthentication"),
        ({SITE: "dicom.example.org:443"}, "set DicomAuthentication"),
        ({SITE: "localhost.evil.example"}, "set DicomAuthentication"),
        ({SITE: "127.0.0.1.nip.example"}, "set DicomAuthentication"),
        ({SITE: "localhost:7071", "WEBSITE_INSTANCE_ID": "1"}, "set DicomAuthentication"),
        ({"WEBSITE_SKU": "FlexConsumption"}, "set DicomAuthentication"),
        ({"WEBSITE_POD_NAME": "1"}, "set DicomAuthentication"),
        ({"MANAGED_ENVIRONMENT": "true"}, "set DicomAuthentication"),
        ({"DicomAuthentication": "Entra"}, "set DicomAuthentication"),
        ({"DicomAuthentication": "none", **AZURE}, "set DicomAuthentication"),
        ({"DicomAuthentication": "anonymous", **AZURE}, "DicomAuthentication is anonymous"),
        ({**ENTRA, "DicomIssuer": ""}, "set DicomIssuer"),
        ({**ENTRA, "DicomAudience": " , "}, "set DicomAudience"),
        ({**ENTRA, **AZURE, "DicomIssuer": "http://issuer.example"}, "DicomIssuer is no URL"),
        ({**ENTRA, "DicomIssuer": "https://issuer.example, issuer"}, "DicomIssuer is no URL"),
    ],
)
def test_who_may_call_is_not_said(environment: dict[str, str], fault: str) -> None:
    """Settings that do not say it are a fault, which names what is missing: nobody may call then."""
    assert fault in Settings.from_environment({**STORAGE, **environment}).authentication.fault


def test_several_issuers_and_audiences() -> None:
    """Both settings are lists."""
    listed = {**ENTRA, "DicomIssuer": "https://a.example, https://b.example/", "DicomAudience": "a,b ,"}

    found = Settings.from_environment({**STORAGE, **listed}).authentication

    assert found.issuers == ("https://a.example", "https://b.example/")
    assert found.audiences == ("a", "b")
