"""The storage protocol on the product's own code: every order of a few actors' storage requests.

Searches and reads must tell what was true at one moment between their start and their end; every request, and every
end, must leave the invariants in force (`invariants`).
"""

from __future__ import annotations

import pytest

from tests.model.scenarios import Scenario
from tests.model.table import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_order_breaks_an_invariant(model: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Whatever the order, within the pre-emptions that a quick check has time for."""
    _check(scenario, scenario.bound)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.bound is not None],
    ids=lambda scenario: scenario.name,
)
def test_no_order_breaks_an_invariant_in_depth(model: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Whatever the order; of the largest, within three pre-emptions."""
    _check(scenario, scenario.deep)


def _check(scenario: Scenario, bound: int | None) -> None:
    found = scenario.explore(bound)

    assert found.ends
    assert not found.violation, f"{scenario.name}: {scenario.explore(bound, shortest=True)}"
