"""More actors than every order can be tried of: orders by chance, with crashes and lost replies."""

from __future__ import annotations

from random import Random

import pytest

from tests.model.actors import Actor, Delete, Index, Read, Search, Store, Sweep
from tests.model.explorer import Fault
from tests.model.scenarios import Scenario
from tests.model.table import A, B, C

UIDS = tuple(f"{series}.{number}" for series in (1, 2) for number in (1, 2, 3))
ORDERS = 40
"""How many orders are tried of each scenario."""


def _store(chance: Random) -> Store:
    return Store(
        uids=tuple(chance.sample(UIDS, chance.randint(1, 6))),
        bytes=chance.choice(("a", "b", "")),
        date=chance.choice((A, B, C)),
        upsert=chance.random() < 0.3,
        order=chance.choice((None, 0, 5)),
    )


def _delete(chance: Random) -> Delete:
    uid = chance.choice(UIDS)
    return chance.choice((Delete(), Delete(series=uid[0]), Delete(series=uid[0], instance=uid)))


def _reader(chance: Random) -> Actor:
    uid, date = chance.choice(UIDS), chance.choice((A, B, C))
    return chance.choice(
        (Read(), Read(instance=uid), Search(), Search(date=date), Search(uid="1"), Search(instance=uid))
    )


def _indexer(chance: Random) -> Actor:
    return chance.choice((Index, Sweep))(impatient=chance.random() < 0.4)


def _scenario(chance: Random) -> Scenario:
    actors: list[Actor] = [
        chance.choice((_store, _store, _delete))(chance) for _ in range(chance.randint(1, 4))
    ]
    actors += [_indexer(chance) for _ in range(chance.randint(0, 2))]
    actors += [_reader(chance) for _ in range(chance.randint(1, 3))]
    given: list[Actor] = [
        chance.choice((_store, _store, _delete, _indexer))(chance) for _ in range(chance.randint(0, 5))
    ]
    faults = {fault: chance.randrange(3) for fault in (Fault.CRASH, Fault.REPEAT)}
    return Scenario("by chance", tuple(actors), tuple(given), chance.choice((1, 2, 1000)), faults)


@pytest.mark.parametrize(
    "seed", [*range(15), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(15, 200))]
)
def test_orders_by_chance(model: pytest.MonkeyPatch, seed: int) -> None:
    """No order of any actors breaks an invariant, as far as chance finds."""
    chance = Random(seed)
    scenario = _scenario(chance)

    for found in scenario.walk(chance, ORDERS):
        assert not found.violation, f"{scenario}\n{found}"
