"""The templates, the code, the sample settings and the documents say the same."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dicom_core import authorization, event_targets, settings, subscriptions, tasks
from dicom_core.delivery import running
from dicom_core.event_targets import Kind
from dicom_core.ingest import importing
from dicom_core.storage import blobs, deliveries, drop_zone, sweeping, tables
from tests.infra.templates import INFRA, ROOT, at, bound, declared, keys, source, value
from tools.bicep_check.syntax import literal, properties, text

DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text()
HOST = json.loads((ROOT / "host.json").read_text())
SAMPLE = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]

SUFFIXES = {"__credential", "__clientId", "__blobServiceUri", "__queueServiceUri", "__tableServiceUri"}
"""What the Functions host asks of a connection by identity (learn.microsoft.com, identity-based connections)."""

OF_THE_HOST = {"DicomStorage__credential"}
"""Settings in our name that the host alone reads."""

SERVICE = "/subscriptions/S/resourceGroups/G/providers/Microsoft.HealthcareApis/workspaces/hospital/fhirservices/main"

COMPUTED = {
    "DicomEventTargets": "https://dicom-abc.westeurope-1.eventgrid.azure.net/api/events,queue:changes,https://a.example.org/in",
    "DicomEventSecret": "@Microsoft.KeyVault(VaultName=dicomabc;SecretName=DicomEventSecret)",
    "DicomFhirUrl": "https://hospital-main.fhir.azurehealthcareapis.com",
    "DicomFhirClientSecret": "@Microsoft.KeyVault(VaultName=dicomabc;SecretName=DicomFhirClientSecret)",
}
"""Settings that are no single parameter's text, as they are when their parameters are given; else they are empty."""


def documented_settings() -> set[str]:
    """The names in the table of settings.py."""
    rows = re.findall(r"^\| (\w+) \|", settings.__doc__ or "", re.MULTILINE)
    return set(rows) - {"setting"}


def deployed_settings() -> set[str]:
    """The names that the templates set."""
    given = {
        name for _, name, _ in properties(at(declared("main.bicep")["app"].value, "params.settings")) if name
    }
    ours = (keys("modules/app.bicep", name) for name in ("connections", "platform", "telemetry"))
    return given.union(*ours)


def test_settings_of_the_service_are_deployed() -> None:
    """What settings.py reads is set, but for what only Azurite needs; what is set in our name is read."""
    ours = {name for name in deployed_settings() if name.startswith("Dicom")}
    assert documented_settings() - {"DicomStorage"} <= deployed_settings()
    assert ours - OF_THE_HOST <= documented_settings()


def test_sample_settings_are_known() -> None:
    """The sample has only settings that the templates have too, or that only a machine of one's own needs."""
    local = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "DicomStorage"}
    assert SAMPLE.keys() - local <= deployed_settings()


@pytest.mark.parametrize("connection", ["AzureWebJobsStorage", "DicomStorage"])
def test_connection_is_by_identity(connection: str) -> None:
    """A connection has its three endpoints, and whose token to take; no connection string."""
    names = {name for name in keys("modules/app.bicep", "connections") if name.startswith(connection)}
    assert names == {f"{connection}{suffix}" for suffix in SUFFIXES}


def deployed_environment() -> dict[str, str]:
    """What the templates set, with the parameters' defaults."""
    environment = dict.fromkeys(keys("modules/app.bicep", "connections"), "https://account.example.org/")
    environment |= {"DicomStorage__clientId": "11111111-1111-1111-1111-111111111111"}
    for _, name, given in properties(at(declared("main.bicep")["app"].value, "params.settings")):
        if name in COMPUTED:
            continue
        parameter = re.sub(r"^string\((.*)\)$", r"\1", text(given))
        node = declared("main.bicep")[parameter].value
        assert node is not None
        environment[str(name)] = (
            str(literal(node)) if node.type in ("string", "number") and "$" not in text(node) else "x"
        )
    return environment


def test_deployed_settings_can_be_read() -> None:
    """Settings.from_environment takes what the templates set, with the parameters' defaults."""
    environment = deployed_environment()

    read = settings.Settings.from_environment(environment)

    assert read.subscribers == ()
    assert isinstance(read.account, settings.IdentityAccount)
    assert read.account.client_id == environment["DicomStorage__clientId"]
    assert read.blob_source == value_of_platform("DicomBlobSource") == "EventGrid"


def test_deployed_subscribers_can_be_read() -> None:
    """The service takes the targets, the references and the FHIR service as the templates write them."""
    read = settings.Settings.from_environment(deployed_environment() | COMPUTED)

    assert [target.kind for target in read.events.targets] == [Kind.TOPIC, Kind.QUEUE, Kind.WEBHOOK]
    assert read.events.secrets == (COMPUTED["DicomEventSecret"],)
    assert read.fhir is not None
    assert (read.fhir.url, read.fhir.authentication) == (COMPUTED["DicomFhirUrl"], "identity")


def test_computed_settings_are_as_the_templates_write_them() -> None:
    """Prefixes, references and the URL of a FHIR service are those of the templates."""
    given = at(declared("main.bicep")["app"].value, "params.settings")
    assert f"'{event_targets.QUEUE}${{eventQueue}}'" in source("main.bicep", "eventTargets")
    assert source("main.bicep", "secretOf").startswith(f"'{subscriptions.VAULT_REFERENCE}VaultName=")
    for name in ("DicomEventSecret", "DicomFhirClientSecret"):
        reference = source("main.bicep", "secretOf").strip("'").replace("${vaultName}", "dicomabc")
        assert f"{reference}{name})" == COMPUTED[name]
        assert text(at(given, name)).endswith(f" ? '' : '${{secretOf}}{name})'")
    parts = SERVICE.split("/")
    url = re.sub(
        r"\$\{fhirPath\[(\d+)\]\}",
        lambda one: parts[int(one[1])],
        source("main.bicep", "fhirServiceUrl").split("'")[-2],
    )
    assert url == COMPUTED["DicomFhirUrl"]


def value_of_platform(name: str) -> object:
    """A setting that no parameter changes."""
    return literal(at(declared("modules/app.bicep")["platform"].value, name))


def test_everyone_is_let_in_nowhere() -> None:
    """In Azure who calls is always asked for a token or a key."""
    assert set(bound("main.bicep", "authentication", "allowed")) == {*settings.AUTHENTICATION_MODES} - {
        "anonymous"
    }


def test_bounds_are_those_of_the_code() -> None:
    """A parameter takes no more than the setting that it becomes."""
    assert value("main.bicep", "bodySizeLimit") == settings.DEFAULT_BODY_LIMIT
    assert bound("main.bicep", "bodySizeLimit", "maxValue") == settings.DEFAULT_BODY_LIMIT
    assert value("main.bicep", "tracesPerSecond") == settings.TRACES_PER_SECOND
    assert bound("main.bicep", "eventSchema", "allowed") == list(subscriptions.EVENT_SCHEMAS)
    assert bound("main.bicep", "fhirAuthentication", "allowed") == list(subscriptions.FHIR_AUTHENTICATION)
    assert bound("main.bicep", "retentionHours", "minValue") == 1
    assert bound("main.bicep", "retentionHours", "maxValue") == settings.MAX_RETENTION_HOURS


def test_storage_has_what_the_code_uses() -> None:
    """The templates create every container and table, and the queue that poison messages go to."""
    assert value("modules/storage.bicep", "dataContainers") == list(blobs.CONTAINERS)
    assert value("modules/storage.bicep", "tables") == [*tables.TABLES, deliveries.TABLE]
    assert value("modules/storage.bicep", "queues") == ["webjobs-blobtrigger-poison"]
    assert {"deployment", "deadletter"} == set(value("modules/storage.bicep", "platformContainers"))


def test_python_is_the_one_that_is_tested() -> None:
    """What is deployed by default is what the checks assume, and the least that the project takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    default = value("main.bicep", "pythonVersion")
    assert default == project["tool"]["mypy"]["python_version"]
    assert project["project"]["requires-python"] == f">={default}"


def event_subscriptions() -> list[dict[str, Any]]:
    """The subscriptions of events.bicep."""
    found = value("events.bicep", "subscriptions")
    assert isinstance(found, list)
    return found


def test_each_blob_trigger_is_told(triggers: dict[str, dict[str, Any]]) -> None:
    """Each blob trigger has one subscription, to the blobs that its path names."""
    expected = {
        name: trigger["path"] for name, trigger in triggers.items() if trigger["type"] == "blobTrigger"
    }
    assert {
        one["function"]: f"{one['container']}/{{name}}{one['endsWith']}" for one in event_subscriptions()
    } == expected


def test_rejected_files_are_told_to_no_one() -> None:
    """What has been moved aside is imported no more, and costs no event."""
    assert {one["container"]: one["except"] for one in event_subscriptions()} == {
        "dicom": [],
        drop_zone.NAME: [drop_zone.REJECTED],
    }


def test_both_phases_use_the_same_names() -> None:
    """events.bicep finds what main.bicep has made."""
    for variable in ("suffix", "appName", "storageName"):
        assert source("events.bicep", variable) == source("main.bicep", variable)
    assert value("events.bicep", "name") == value("main.bicep", "name")
    assert text(at(declared("main.bicep")["topic"].value, "params.name")) == "appName"
    assert text(at(declared("main.bicep")["app"].value, "params.name")) == "appName"


def test_names_fit() -> None:
    """A storage account's name has 24 characters, of which 13 make it unique."""
    assert bound("main.bicep", "name", "maxLength") + 13 <= 24
    assert re.fullmatch(r"[a-z0-9]+", str(value("main.bicep", "name")))


@pytest.mark.parametrize(
    ("module", "logged", "read"),
    [
        (sweeping, '"sweep: studies=%d ', 'startswith "sweep: studies='),
        (
            importing,
            '"importing.take %s status=%d ',
            'startswith "importing.take " and Message !contains " status=200 "',
        ),
    ],
    ids=["sweep", "import"],
)
def test_alert_reads_a_line_that_is_logged(module: Any, logged: str, read: str) -> None:
    """The lines that alerts look for are those that the code writes."""
    assert logged in inspect.getsource(importlib.import_module(module.__name__))
    assert read in (INFRA / "modules" / "alerts.bicep").read_text()


def test_alerts_read_the_lines_of_deliveries() -> None:
    """What is given up, and a target that rests for as long as the alert says, are logged in the alerts' words."""
    queries = source("modules/alerts.bicep", "deliveryQueries")
    logged = inspect.getsource(running)
    assert '"delivery: %s gives up study=%s"' in logged
    assert 'startswith "delivery: " and Message contains " gives up study="' in queries
    assert '"delivery: %s rests for %.0f s: %s"' in logged
    assert 'parse Message with "delivery: " * " rests for " Seconds:long " s: " *' in queries
    assert "Seconds >= 300" in queries
    assert tasks.FIRST_PAUSE.total_seconds() < 300 < tasks.LONGEST_PAUSE.total_seconds()


def test_alert_tells_of_poison_as_the_host_does() -> None:
    """The host gives up an event after as many times as the alert says."""
    assert HOST["extensions"]["blobs"]["poisonBlobThreshold"] == 5
    assert "An event failed five times" in source("modules/alerts.bicep", "queries")


def test_sweep_is_seen_by_its_alert() -> None:
    """The sweep's default schedule comes several times in the half hour after which silence is an alert."""
    minutes = re.fullmatch(r"0 \*/(\d+) \* \* \* \*", str(value("main.bicep", "sweepSchedule")))
    assert minutes is not None
    assert int(minutes[1]) * 2 <= 20


def test_environment_of_the_parameters_is_documented() -> None:
    """Each variable that the parameter file and the hooks read is in docs/deployment.md."""
    read = re.findall(r"readEnvironmentVariable\('(\w+)'", (INFRA / "main.bicepparam").read_text())
    assert [name for name in read if f"`{name}`" not in DEPLOYMENT] == []
    hooks = "".join(path.read_text() for path in (INFRA / "hooks").iterdir())
    assert set(re.findall(r"DICOM_\w+", hooks)) <= set(read)


def test_parameter_file_repeats_the_defaults() -> None:
    """Without a variable, a parameter is what the template says."""
    found = re.findall(
        r"param (\w+) = (?:bool\()?readEnvironmentVariable\('\w+', '([^']*)'\)",
        (INFRA / "main.bicepparam").read_text(),
    )
    assert found
    for name, default in found:
        given = value("main.bicep", name)
        assert default == (str(given).lower() if isinstance(given, bool) else given)


def test_documented_knobs_are_parameters() -> None:
    """Every parameter of main.bicep has a row in docs/deployment.md, with its default."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", DEPLOYMENT.partition("## Parameters")[2], re.MULTILINE)
    told = {name: default.strip("`") for name, default in rows}
    given = {name: one for name, one in declared("main.bicep").items() if one.kind == "param"}
    assert told.keys() == given.keys()
    for name, one in given.items():
        assert one.value is not None
        if one.value.type in ("string", "number", "boolean") and "$" not in text(one.value):
            assert told[name] == (str(literal(one.value)).replace("False", "false") or "empty"), name


def test_documented_costs_add_up() -> None:
    """In docs/deployment.md number times price is cost, and the costs are the sum that is given."""
    sums = 0
    total = 0.0
    for line in DEPLOYMENT.partition("## What it costs")[2].splitlines():
        if row := re.fullmatch(r"\| .*? \| ([\d,]+) \| \$([\d.]+) \| \$([\d.]+) \|", line):
            assert float(row[3]) == pytest.approx(
                int(row[1].replace(",", "")) / 1e6 * float(row[2]), abs=0.0051
            ), line
            total += float(row[3])
        elif row := re.fullmatch(r"\| \*\*together\*\* \| \| \| \*\*\$([\d.]+)\*\* \|", line):
            assert float(row[1]) == pytest.approx(total)
            total, sums = 0.0, sums + 1
    assert sums == 4


def test_documented_roles_are_those_of_the_service() -> None:
    """The roles that can be given are in docs/deployment.md."""
    assert re.findall(r"`(Dicom\.\w+)`", DEPLOYMENT) == list(authorization.Role)


def test_application_has_the_roles() -> None:
    """The application that is registered has the roles that the service knows; names and IDs are its own."""
    application = json.loads((INFRA / "application.json").read_text())
    roles = application["appRoles"]
    everything = [*roles, *application["api"]["oauth2PermissionScopes"]]
    assert [role["value"] for role in roles] == list(authorization.Role)
    assert (
        len({one["id"] for one in everything}) == len({one["value"] for one in everything}) == len(everything)
    )
    assert application["api"]["requestedAccessTokenVersion"] == 2


def test_azd_finds_what_it_deploys() -> None:
    """The tag of the app names the service of azure.yaml, and the hooks are there."""
    content = (ROOT / "azure.yaml").read_text()
    service = re.search(r"^services:\n  (\w+):\n", content, re.MULTILINE)
    assert service is not None
    assert f"'azd-service-name': '{service[1]}'" in (INFRA / "modules" / "app.bicep").read_text()
    hooks = re.findall(r"run: (\S+)", content)
    assert len(hooks) == 2
    assert all((ROOT / hook).is_file() for hook in hooks)


def test_package_leaves_the_templates_out() -> None:
    """What is published has the service and nothing else."""
    ignored = set((ROOT / ".funcignore").read_text().split())
    assert {"infra/", "azure.yaml", ".azure/", "tests/", "tools/", "docs/"} <= ignored
    assert not {Path(name) for name in ignored} & {
        Path("dicom_core"),
        Path("host.json"),
        Path("function_app.py"),
    }
