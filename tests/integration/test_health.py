"""The health check, which has no version in its path."""

from __future__ import annotations

import pytest
import requests

from tests.serving import served, storage_settings
from tools.local_host.azurite import Azurite


def test_healthy(service: str) -> None:
    """200 in the shape of the managed service, where the storage answers."""
    answer = requests.get(f"{service.removesuffix('/v2')}/health/check", timeout=30)

    assert (answer.status_code, answer.json()["overallStatus"]) == (200, "Healthy")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1/health/check", "/v2/health/check", "/health"])
def test_no_other_path(service: str, path: str) -> None:
    """There is one path."""
    assert requests.get(service.removesuffix("/v2") + path, timeout=30).status_code == 404


def test_storage_gone(azurite: Azurite) -> None:
    """503 where the storage does not answer, and when to ask again."""
    settings = storage_settings(azurite.connection_string)
    nowhere = {name: text.replace(f":{azurite.ports[2]}/", ":9/") for name, text in settings.items()}

    with served(**nowhere) as running:
        answer = requests.get(f"{running.root}/health/check", timeout=60)

    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
