"""What the service costs: `python -m benchmarks [--only GROUP …] [--repeat N] [--quick]`.

Prints one row for each scenario: CPU of the service and of the emulator, time, and requests to storage.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from benchmarks import load, machine, scenarios, service
from benchmarks.scenarios import GROUPS, SCENARIOS, Data, Fresh, Scenario
from benchmarks.service import Sample, Target

_HEAD = (
    "operation",
    "n",
    "per s",
    "MB/s",
    "wall ms (min-max)",
    "service CPU ms (min-max)",
    "Azurite CPU ms",
    "storage requests",
)


class MeasuredSomethingElse(Exception):
    """The service did not read what a scenario is about."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups of scenarios")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each scenario (3)")
    parser.add_argument("--quick", action="store_true", help="one repetition")
    options = parser.parse_args()
    print(f"{machine.described()}\n")
    print("| " + " | ".join(_HEAD) + " |")
    print("|---|" + "--:|" * (len(_HEAD) - 2) + "---|")
    paces: list[float] = []
    for group in options.only:
        with service.running() as target:  # what one group stores is nothing to the next
            paces += run(target, group, 1 if options.quick else options.repeat)
    print(f"\nFixed work beside it took {1000 * min(paces):.1f} to {1000 * max(paces):.1f} ms of CPU.")


def run(target: Target, group: str, repeat: int) -> list[float]:
    """Measure a group; the pace of the machine meanwhile."""
    fresh, paces = Fresh(), []
    begin(target, group, fresh)
    for scenario in SCENARIOS:
        if scenario.group == group:
            warm_up(target, scenario, fresh)
            found = [sample(target, scenario, fresh) for _ in range(repeat)]
            paces += [one.pace for one in found]
            check(scenario, found)
            print(row(scenario, found), flush=True)
    return paces


def begin(target: Target, group: str, fresh: Fresh) -> None:
    """Let the service connect, and compile what it does lazily; give it what the group needs."""
    load.drive(target.url, SCENARIOS[0].rounds(fresh).calls[:40], 4)
    if GROUPS[group] is not Data.NOTHING:
        load.drive(target.url, scenarios.prepare(), 1)
    if GROUPS[group] is Data.INDEXED and target.connection_string:
        service.index(target)


def warm_up(target: Target, scenario: Scenario, fresh: Fresh) -> None:
    """Let the service import what a scenario needs: a call of it, not measured."""
    made = scenario.rounds(fresh)
    load.drive(target.url, [*made.before, made.calls[0]], 1)


def sample(target: Target, scenario: Scenario, fresh: Fresh) -> Sample:
    """Measure a scenario once; as a sample of one operation."""
    made = scenario.rounds(fresh)
    if made.before:
        load.drive(target.url, made.before, 1)
    return service.measure(target, made.calls, scenario.senders).each(len(made.calls) * scenario.per)


def check(scenario: Scenario, found: Sequence[Sample]) -> None:
    """See if the service read what the scenario says.

    Raises
    ------
    MeasuredSomethingElse
        It did not.
    """
    for one in found if scenario.reads is not None else ():
        if one.requests != scenario.reads:
            raise MeasuredSomethingElse(
                f"{scenario.name}: the requests to storage are {_requests(one)}, not {dict(scenario.reads or {})}"
            )


def row(scenario: Scenario, found: Sequence[Sample]) -> str:
    """The row of a scenario."""
    wall = statistics.median(one.wall for one in found)
    cells = (
        scenario.name,
        str(found[-1].count),
        _number(1 / wall),
        _number(statistics.median(one.size / one.wall for one in found) / 1e6),
        spread([one.wall for one in found]),
        spread([one.cpu for one in found]),
        _number(statistics.median(1000 * one.storage_cpu for one in found)),
        _requests(found[-1]),
    )
    return "| " + " | ".join(cells) + " |"


def spread(seconds: Sequence[float]) -> str:
    """Milliseconds: the median, least and most."""
    times = sorted(1000 * one for one in seconds)
    return f"{_number(statistics.median(times))} ({_number(times[0])}-{_number(times[-1])})"


def _number(value: float) -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f}"


def _requests(one: Sample) -> str:
    return " ".join(f"{kind}={count:.3g}" for kind, count in sorted(one.requests.items()))


if __name__ == "__main__":
    main()
