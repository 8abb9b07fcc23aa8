"""Explores scenarios of the storage protocol: `python -m tests.model [WORDS OF A NAME] [--bound N] [--shortest]`.

Prints what was met in each, and of what breaks an invariant the schedule that led there.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.model.product import explored
from tests.model.table import SCENARIOS


def main() -> int:
    """Explore the scenarios whose names have the words, in every order if no bound is given; 1 if one is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("words", nargs="?", default="")
    parser.add_argument("--bound", type=int, help="how often an actor may be interrupted")
    parser.add_argument("--shortest", action="store_true", help="tell the shortest schedule; takes longer")
    asked = parser.parse_args()
    logging.disable()
    broken = 0
    for scenario in SCENARIOS:
        if asked.words in scenario.name:
            with explored():
                begun = time.perf_counter()
                bound = scenario.deep if asked.bound is None else asked.bound
                found = scenario.explore(bound, shortest=asked.shortest)
                broken += bool(found.violation)
            print(f"{scenario.name} ({time.perf_counter() - begun:.1f} s): {found}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
