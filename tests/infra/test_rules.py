"""What the templates promise: no keys, nothing public, nothing lost, and each role for a reason."""

from __future__ import annotations

import re

import pytest

from dicom_core.resources import Resource
from dicom_core.storage import blobs, drop_zone
from tests.infra.templates import FILES, INFRA, at, declared, keys, source, value, values
from tools.bicep_check.syntax import literal, properties, text

VERSION = "01JD0000000000000000000000-1"

ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "EventGrid Data Sender": "d5a91429-5739-47e2-a06b-3470a27159e7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "FHIR Data Contributor": "5a1fc7df-4bf1-4951-a576-89034ee01acd",
}
"""Built-in roles as Azure knows them (learn.microsoft.com, Azure built-in roles)."""

NEEDS = {
    "Storage Blob Data Owner": ("modules/app.bicep", "AzureWebJobsStorage__blobServiceUri: endpoints.blob"),
    "Storage Queue Data Contributor": ("modules/app.bicep", "DicomStorage__queueServiceUri: endpoints.queue"),
    "Storage Table Data Contributor": ("modules/app.bicep", "DicomStorage__tableServiceUri: endpoints.table"),
    "Monitoring Metrics Publisher": ("modules/monitoring.bicep", "DisableLocalAuth: true"),
    "Storage Blob Data Contributor": ("events.bicep", "deadLetterWithResourceIdentity"),
    "EventGrid Data Sender": ("main.bicep", "eventTopic ? [changes.outputs.endpoint] : []"),
    "Key Vault Secrets User": ("modules/app.bicep", "keyVaultReferenceIdentity: identityId"),
    "FHIR Data Contributor": ("main.bicep", "param fhirAuthentication string = 'identity'"),
}
"""What would not work without a role."""

FIXED = [
    ("modules/storage.bicep", "account", "properties.allowSharedKeyAccess", False),
    ("modules/storage.bicep", "account", "properties.allowBlobPublicAccess", False),
    ("modules/storage.bicep", "account", "properties.allowCrossTenantReplication", False),
    ("modules/storage.bicep", "account", "properties.minimumTlsVersion", "TLS1_2"),
    ("modules/storage.bicep", "account", "properties.supportsHttpsTrafficOnly", True),
    ("modules/storage.bicep", "blobService", "properties.deleteRetentionPolicy.enabled", True),
    ("modules/storage.bicep", "blobService", "properties.containerDeleteRetentionPolicy.enabled", True),
    ("modules/storage.bicep", "containers", "properties.publicAccess", "None"),
    ("modules/app.bicep", "app", "properties.httpsOnly", True),
    ("modules/app.bicep", "app", "properties.siteConfig.minTlsVersion", "1.2"),
    ("modules/app.bicep", "app", "properties.siteConfig.scmMinTlsVersion", "1.2"),
    ("modules/app.bicep", "app", "properties.siteConfig.ftpsState", "Disabled"),
    ("modules/app.bicep", "app", "identity.type", "UserAssigned"),
    ("modules/app.bicep", "ftpPasswords", "properties.allow", False),
    ("modules/app.bicep", "scmPasswords", "properties.allow", False),
    ("modules/changes.bicep", "topic", "properties.disableLocalAuth", True),
    ("modules/changes.bicep", "topic", "properties.minimumTlsVersionAllowed", "1.2"),
    ("modules/vault.bicep", "vault", "properties.enableRbacAuthorization", True),
    ("modules/vault.bicep", "vault", "properties.enableSoftDelete", True),
    ("modules/vault.bicep", "vault", "properties.enablePurgeProtection", True),
    ("modules/monitoring.bicep", "insights", "properties.DisableLocalAuth", True),
    ("modules/monitoring.bicep", "workspace", "properties.features.disableLocalAuth", True),
]


@pytest.mark.parametrize(
    ("file", "resource", "path", "wanted"), FIXED, ids=[f"{one[1]}.{one[2]}" for one in FIXED]
)
def test_resource_is_closed(file: str, resource: str, path: str, wanted: object) -> None:
    """Keys, passwords, public blobs and old TLS are off, whatever parameters say; deleted blobs can be restored."""
    assert literal(at(declared(file)[resource].value, path)) == wanted


def test_only_the_key_of_the_webhook_is_read() -> None:
    """Keys are listed once: that of the webhook, which Event Grid has to send."""
    calls = [(path.name, one) for path in FILES for one in re.findall(r"\S*\blist\w*\(", path.read_text())]
    assert calls == [("events.bicep", "uriComponent(app::host.listKeys(")]


def test_private_storage_lets_in_whom_it_names() -> None:
    """Behind private endpoints the account refuses others, but for Azure's own services: Event Grid's dead letters."""
    rules = at(declared("modules/storage.bicep")["account"].value, "properties.networkAcls")
    assert text(at(rules, "defaultAction")) == "isPrivate ? 'Deny' : 'Allow'"
    assert literal(at(rules, "bypass")) == "AzureServices"


@pytest.mark.parametrize(("file", "resource"), [("vault", "vault"), ("changes", "topic")])
def test_private_network_closes_what_has_an_endpoint(file: str, resource: str) -> None:
    """Secrets and the topic of changes are reached by their endpoints only, which a private network has for them."""
    given = at(declared(f"modules/{file}.bicep")[resource].value, "properties.publicNetworkAccess")
    assert text(given) == "isPrivate ? 'Disabled' : 'Enabled'"
    groups = [literal(node) for node in values("modules/endpoints.bicep", "known", "group")]
    assert groups == ["blob", "queue", "table", "vault", "topic"]


def test_secrets_are_only_in_the_vault() -> None:
    """What may be secret is so in every file; secrets go to the vault, and app settings refer to them by name."""
    secret = {
        (path.name, one.name): one.type
        for path in FILES
        if path.suffix == ".bicep"
        for one in declared(str(path.relative_to(INFRA))).values()
        if "secure" in one.decorators
    }
    assert secret == {
        ("app.bicep", "settings"): "object",
        ("main.bicep", "eventWebhooks"): "string",
        ("main.bicep", "eventSecret"): "string",
        ("main.bicep", "fhirClientSecret"): "string",
        ("vault.bicep", "secrets"): "object",
    }
    kept = declared("main.bicep")["secrets"].value
    assert kept is not None
    given = {str(name): text(node) for _, name, node in properties(kept)}
    settings = at(declared("main.bicep")["app"].value, "params.settings")
    assert {name: text(at(settings, name)) for name in given} == {
        name: f"empty({parameter}) ? '' : '${{secretOf}}{name})'" for name, parameter in given.items()
    }


def test_roles_are_those_of_their_names() -> None:
    """Each role's ID is that of the role of its name."""
    assert value("modules/rbac.bicep", "roles") == ROLES


def test_roles_are_assigned_in_one_file() -> None:
    """Every role assignment is in rbac.bicep, but for that in another group, for an identity that is no person."""
    assigning = {path.name for path in FILES if "Microsoft.Authorization/" in path.read_text()}
    assert assigning == {"rbac.bicep", "rbac_fhir.bicep"}
    assignments = [
        one
        for file in assigning
        for one in declared(f"modules/{file}").values()
        if one.type.startswith("Microsoft.Authorization/")
    ]
    assert {literal(at(one.value, "properties.principalType")) for one in assignments} == {"ServicePrincipal"}


def test_role_on_the_fhir_service_is_on_nothing_else() -> None:
    """In the other group the app gets one role, on the service whose resource ID was given."""
    module = declared("modules/rbac.bicep")["appFhir"]
    assert module.type == "rbac_fhir.bicep"
    assert text(at(module.value, "params.roleId")) == "roles['FHIR Data Contributor']"
    role = declared("modules/rbac_fhir.bicep")["appRole"].value
    assert text(at(role, "scope")) == "workspace::service"
    assert source("modules/rbac.bicep", "fhirPath") == source("main.bicep", "fhirPath")


def test_role_is_assigned_and_needed() -> None:
    """No role is there that no one has, and none that nothing needs."""
    content = (INFRA / "modules" / "rbac.bicep").read_text()
    named = set(re.findall(r"roles\['([^']+)'\]", content))
    listed = set(map(literal, values("modules/rbac.bicep", "appOnAccount", "role")))
    assert named | listed == ROLES.keys()
    assert NEEDS.keys() == ROLES.keys()
    missing = [role for role, (file, need) in NEEDS.items() if need not in (INFRA / file).read_text()]
    assert missing == []


def test_topic_may_write_nothing_but_dead_letters() -> None:
    """The event topic's identity has a role on one container only."""
    scope = at(declared("modules/rbac.bicep")["topicDeadLetters"].value, "scope")
    assert text(scope) == "account::blobService::deadletter"
    assert literal(at(declared("modules/rbac.bicep")["deadletter"].value, "name")) == "deadletter"


def lifecycle() -> dict[str, list[str]]:
    """What is done to blobs as they age, and to those whose names begin how."""
    rules = at(declared("modules/storage.bicep")["lifecycle"].value, "properties.policy.rules")
    found: dict[str, list[str]] = {}
    for rule in rules.named_children:
        for _, action, _ in properties(at(rule, "definition.actions.baseBlob")):
            prefixes = literal(at(rule, "definition.filters.prefixMatch"))
            assert isinstance(prefixes, list)
            found.setdefault(str(action), []).extend(map(str, prefixes))
    return found


def test_age_deletes_only_what_can_be_made_again() -> None:
    """Renditions and dead letters are deleted as they age; instances, headers, packed metadata, imports never."""
    deleted = tuple(lifecycle()["delete"])
    study = Resource("1.2.3")
    rendered = f"derived/{blobs.rendered_name(study, VERSION, 'x')}"
    kept = [
        f"dicom/{blobs.blob_name('Microsoft.Default', VERSION)}",
        f"derived/{blobs.bulky_name('Microsoft.Default', VERSION)}",
        f"derived/{blobs.blob_name('Microsoft.Default', VERSION)}",
        "import/Microsoft.Default/a.dcm",
        f"import/{drop_zone.REJECTED}a.dcm",
        "deployment/released-package.zip",
    ]
    assert rendered.startswith(deleted)
    assert [name for name in kept if name.startswith(deleted)] == []


def test_age_cools_only_instances() -> None:
    """What is read often, or is small, stays in the hot tier."""
    assert lifecycle()["tierToCool"] == ["dicom/"]


def test_alerts_name_what_they_read() -> None:
    """Each query of an alert has a name, and reads one of the tables of Application Insights."""
    queries = [text(node) for node in values("modules/alerts.bicep", "queries", "query")]
    assert len(queries) == 5
    queries += [text(node) for node in values("modules/alerts.bicep", "deliveryQueries", "query")]
    assert len(queries) == 7
    texts = [source("modules/alerts.bicep", "sweeps") if "sweeps" in one else one for one in queries]
    assert all(re.search(r"'App(Traces|Requests) \| ", one) for one in texts)


def test_settings_that_the_plan_refuses_are_absent() -> None:
    """Flex Consumption refuses settings that functionAppConfig replaces."""
    refused = r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_\w+|SCM_\w+|ENABLE_ORYX_BUILD"
    names = keys("modules/app.bicep", "connections") | keys("modules/app.bicep", "platform")
    assert [name for name in names if re.fullmatch(refused, name)] == []
