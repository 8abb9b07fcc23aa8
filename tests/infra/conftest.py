"""The templates, and the published models that they are checked against."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.bicep_check.__main__ import MODELS
from tools.bicep_check.models import Catalogue

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The models, as `make test` has fetched them."""
    path = ROOT / MODELS
    if not path.is_file():
        pytest.fail(f"{MODELS} is missing: 'make setup' fetches it")
    return Catalogue.load(path)


@pytest.fixture(scope="module")
def triggers() -> Iterator[dict[str, dict[str, Any]]]:
    """The trigger of each function, by name."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DicomStorage", "UseDevelopmentStorage=true")
    spec = importlib.util.spec_from_file_location("function_app_of_the_templates", ROOT / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patch.undo()
    return {one.get_function_name(): one.get_trigger().get_dict_repr() for one in module.app.get_functions()}
