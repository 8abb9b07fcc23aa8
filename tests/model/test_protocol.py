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
    found = scenario.explore(scenario.bound)

    assert found.complete
    assert not found.violation, str(scenario.explore(scenario.bound, shortest=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.bound is not None],
    ids=lambda scenario: scenario.name,
)
def test_no_order_at_all_breaks_an_invariant(model: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Whatever the order, without a bound; of the largest, as many as half a minute allows."""
    found = scenario.explore(seconds=30)

    assert found.complete or found.states > 100_000
    assert not found.violation, str(scenario.explore(shortest=True))
