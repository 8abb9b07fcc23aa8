"""The model check finds what it is there to find: each rule of the protocol, broken, breaks an invariant."""

from __future__ import annotations

import pytest

from tests.model.faults import FOUND_BY, Fault
from tests.model.table import SCENARIOS

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("fault", FOUND_BY, ids=lambda fault: fault.__name__)
def test_planted_fault_is_found(model: pytest.MonkeyPatch, fault: Fault) -> None:
    """The scenario that passes without the fault fails with it, within the same pre-emptions."""
    scenario = _BY_NAME[FOUND_BY[fault]]
    fault(model)

    found = scenario.explore(scenario.bound)

    assert found.violation
