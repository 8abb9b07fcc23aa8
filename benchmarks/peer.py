"""The same load on this service and on another DICOMweb server: `python -m benchmarks.peer URL PID`.

URL is the root of the other server's DICOMweb service, PID its process. Both are measured in turns, so that what else
the machine does falls on both.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks import scenarios, service
from benchmarks.__main__ import samples, warm_up
from benchmarks.scenarios import SCENARIOS, Fresh, Scenario
from benchmarks.service import Target


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser(prog="benchmarks.peer", description=__doc__)
    parser.add_argument("url", help="root of the other server's DICOMweb service")
    parser.add_argument("pid", type=int, help="its process")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each scenario (3)")
    options = parser.parse_args()
    print("| operation | service CPU ms | peer CPU ms | service / peer | service wall ms | peer wall ms |")
    print("|---|--:|--:|--:|--:|--:|")
    fresh = Fresh()
    with service.running() as ours:
        both = (ours, Target(options.url.rstrip("/"), options.pid))
        for target in both:
            warm_up(target, fresh)
            service.measure(target, scenarios.prepare(), 1)
        for scenario in SCENARIOS:
            print(_row(scenario, both, fresh, options.repeat), flush=True)


def _row(scenario: Scenario, both: tuple[Target, Target], fresh: Fresh, repeat: int) -> str:
    found = [[samples(target, scenario, fresh, 1)[0] for target in both] for _ in range(repeat)]
    ours, theirs = zip(*found, strict=True)
    cpu = [1000 * statistics.median(one.cpu for one in side) for side in (ours, theirs)]
    wall = [1000 * statistics.median(one.wall for one in side) for side in (ours, theirs)]
    return (
        f"| {scenario.name} | {cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.2f} "
        f"| {wall[0]:.2f} | {wall[1]:.2f} |"
    )


if __name__ == "__main__":
    main()
