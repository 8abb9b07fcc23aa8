"""What the service costs: `python -m benchmarks [--only GROUP …] [--repeat N] [--quick]`.

Prints one row for each scenario: CPU of the service and of the emulator, time, and requests to storage.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Sequence

from benchmarks import scenarios, service
from benchmarks.scenarios import SCENARIOS, Fresh, Scenario
from benchmarks.service import Sample, Target

_HEAD = ("operation", "n", "wall ms", "service CPU ms (min-max)", "Azurite CPU ms", "storage requests")


def main() -> None:
    """Measure and print."""
    groups = list(dict.fromkeys(one.group for one in SCENARIOS))
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=groups, default=groups, help="groups of scenarios")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each scenario (3)")
    parser.add_argument("--quick", action="store_true", help="one repetition")
    options = parser.parse_args()
    print("| " + " | ".join(_HEAD) + " |")
    print("|---|" + "--:|" * 4 + "---|")
    paces: list[float] = []
    for group in options.only:
        with service.running() as target:  # what one group stores is nothing to the next
            paces += run(target, group, 1 if options.quick else options.repeat)
    print(f"\nFixed work beside it took {1000 * min(paces):.1f} to {1000 * max(paces):.1f} ms of CPU.")


def run(target: Target, group: str, repeat: int) -> list[float]:
    """Measure a group, the service warmed up and given its data; the pace of the machine meanwhile."""
    fresh, paces = Fresh(), []
    warm_up(target, fresh)
    if group != "store":
        service.measure(target, scenarios.prepare(), 1)
    if group == "indexed":
        service.wait_until_indexed(target)
    for scenario in SCENARIOS:
        if scenario.group == group:
            found = samples(target, scenario, fresh, repeat)
            paces += [one.pace for one in found]
            print(row(scenario, found), flush=True)
    return paces


def warm_up(target: Target, fresh: Fresh) -> None:
    """Let the service import, connect and compile what it does lazily."""
    service.measure(target, SCENARIOS[0].calls(fresh)[:40], 4)


def samples(target: Target, scenario: Scenario, fresh: Fresh, repeat: int) -> list[Sample]:
    """Measure a scenario several times; as samples of one operation."""
    found = []
    for _ in range(repeat):
        calls = scenario.calls(fresh)
        found.append(_per(service.measure(target, calls, scenario.senders), len(calls) * scenario.per))
    return found


def row(scenario: Scenario, found: Sequence[Sample]) -> str:
    """The row of a scenario."""
    cpu = sorted(1000 * one.cpu for one in found)
    cells = (
        scenario.name,
        str(len(scenario.calls(Fresh())) * scenario.per),
        _number(statistics.median(1000 * one.wall for one in found)),
        f"{_number(statistics.median(cpu))} ({_number(cpu[0])}-{_number(cpu[-1])})",
        _number(statistics.median(1000 * one.storage_cpu for one in found)),
        " ".join(f"{kind}={count:.3g}" for kind, count in sorted(found[-1].requests.items())),
    )
    return "| " + " | ".join(cells) + " |"


def _per(sample: Sample, count: int) -> Sample:
    requests = Counter({kind: number / count for kind, number in sample.requests.items()})
    return Sample(sample.wall / count, sample.cpu / count, sample.storage_cpu / count, sample.pace, requests)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
