"""The templates are Bicep that Azure knows, and the checker that says so finds what is planted in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.infra.templates import FILES, INFRA, declared
from tools.bicep_check.__main__ import check, files
from tools.bicep_check.models import Catalogue
from tools.bicep_check.syntax import declarations, read

BICEP = [path for path in FILES if path.suffix == ".bicep"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_template_is_what_azure_knows(catalogue: Catalogue, path: Path) -> None:
    """Syntax, names, modules, resource types, API versions and properties of each file are right."""
    assert [str(finding) for finding in check([path], catalogue)] == []


@pytest.mark.parametrize("path", BICEP, ids=lambda path: path.name)
def test_template_describes_itself(path: Path) -> None:
    """A file says what it is, and describes each of its parameters and outputs."""
    assert path.read_text().startswith("metadata description = ")
    undescribed = [
        one.name
        for one in declarations(read(path))
        if one.kind in ("param", "output") and "description" not in one.decorators
    ]
    assert undescribed == []


def test_modules_are_all_used() -> None:
    """main.bicep is the table of contents: every module is in it, but for one that only rbac.bicep can call."""
    used = {one.type for one in declared("main.bicep").values() if one.kind == "module"}
    assert used | {"modules/rbac_fhir.bicep"} == {
        f"modules/{path.name}" for path in (INFRA / "modules").iterdir()
    }


PLANTED = [
    ("main.bicep", "var suffix = uniqueString(", "var suffix = uniqueString((", "syntax"),
    ("main.bicep", "'entra', 'function-key'", "'entra',\n'function-key'", "syntax"),
    ("main.bicep", "    tags: tags\n    sku", "    tags: tags sku", "syntax"),
    ("main.bicep", "var storageName", "var suffix", "duplicate"),
    ("main.bicep", "storageId: storage.outputs.id", "storageId: storge.outputs.id", "undefined"),
    ("main.bicep", "uniqueString(", "uniqeString(", "function"),
    ("main.bicep", "@minLength(3)", "@minLenght(3)", "decorator"),
    ("main.bicep", "modules/app.bicep", "modules/site.bicep", "module"),
    ("main.bicep", "    retentionDays: logRetentionDays\n", "", "module-param"),
    ("main.bicep", "retentionDays: logRetentionDays", "retention: logRetentionDays", "module-param"),
    ("main.bicep", "retentionDays: logRetentionDays", "retentionDays: 'thirty'", "type"),
    ("main.bicep", "retentionDays: logRetentionDays", "retentionDays: alertEmail", "type"),
    ("main.bicep", "identity.outputs.clientId", "identity.outputs.appId", "module-output"),
    ("main.bicep", "zoneRedundant bool = false", "zoneRedundant bool = 'no'", "type"),
    ("main.bicep", "param alertEmail", "param mail string = ''\nparam alertEmail", "unused"),
    ("main.bicepparam", "param audience", "param audiense", "module-param"),
    ("main.bicepparam", "bool(readEnvironmentVariable('DICOM_PRIVATE_NETWORK', 'false'))", "'false'", "type"),
    (
        "modules/app.bicep",
        "Microsoft.Web/serverfarms@2025-05-01",
        "Microsoft.Web/plans@2025-05-01",
        "resource-type",
    ),
    ("modules/app.bicep", "serverfarms@2025-05-01", "serverfarms@2025-05-02", "api-version"),
    ("modules/app.bicep", "maximumInstanceCount: max", "maxInstanceCount: max", "property"),
    ("modules/app.bicep", "name: 'python'", "name: 'pyton'", "value"),
    ("modules/app.bicep", "httpsOnly: true", "httpsOnly: 'yes'", "type"),
    ("modules/app.bicep", "httpsOnly: true", "httpsOnly: name", "type"),
    ("modules/app.bicep", "type: 'blobContainer'", "type: blobContainer", "undefined"),
    ("modules/app.bicep", "primaryEndpoints", "endpoints", "property"),
    ("modules/app.bicep", "httpsOnly: true", "httpsOnly: true\n    defaultHostName: name", "readonly"),
    ("modules/app.bicep", "'appsettings'", "'appsetings'", "resource-type"),
    ("modules/storage.bicep", "  sku: {\n    name: sku\n  }\n", "", "required"),
    ("modules/storage.bicep", "'StorageV2'", "'StorageV3'", "value"),
    ("modules/storage.bicep", "allowSharedKeyAccess", "allowSharedKeys", "property"),
    ("modules/storage.bicep", "days: softDeleteDays", "days: name", "type"),
    ("modules/rbac.bicep", "'ServicePrincipal'", "'Service'", "value"),
    ("modules/alerts.bicep", "'Microsoft.Azure.Monitor.Single", "'Azure.Monitor.Single", "value"),
    ("modules/alerts.bicep", "timeAggregation: 'Total'", "aggregation: 'Total'", "property"),
    ("modules/changes.bicep", "disableLocalAuth", "disableLocalAuthentication", "property"),
    ("modules/changes.bicep", "'1.2'", "'1.4'", "value"),
    ("modules/changes.bicep", "properties.endpoint", "properties.url", "property"),
    ("modules/vault.bicep", "enablePurgeProtection: true", "enablePurgeProtection: 'yes'", "type"),
    ("modules/vault.bicep", "    tenantId: tenant().tenantId\n", "", "required"),
    ("modules/vault.bicep", "bypass: 'AzureServices'", "bypass: 'Azure'", "value"),
    ("modules/vault.bicep", "vaults/secrets@", "vaults/secret@", "resource-type"),
    ("modules/rbac_fhir.bicep", "'fhirservices'", "'fhir'", "resource-type"),
    ("modules/rbac.bicep", "    workspaceName:", "    workspace:", "module-param"),
    ("events.bicep", "endpointUrl", "url", "property"),
    ("events.bicep", "'StringNotBeginsWith'", "'StringStartsNotWith'", "value"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"), PLANTED, ids=[f"{one[3]}:{one[2][:24]}" for one in PLANTED]
)
def test_planted_mistake_is_found(
    catalogue: Catalogue, tmp_path: Path, file: str, old: str, new: str, rule: str
) -> None:
    """Each of these mistakes is found, by the rule that is meant for it."""
    shutil.copytree(INFRA, tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))

    assert rule in {finding.rule for finding in check(files([tmp_path]), catalogue)}
