"""The scenarios of the change feed: one row each."""

from __future__ import annotations

from tests.model.actors import Delete, Index, Lose, ReadFeed, Rebuild, Store, Sweep
from tests.model.explorer import Fault
from tests.model.scenarios import Scenario

ONE = (Store(), Index())
TWO = (Store(uids=("1.1", "1.2")), Index())
THREE = (Store(uids=("1.1", "1.2", "1.3")), Index())

ONE_CRASH = {Fault.CRASH: 1}
ONE_REPEAT = {Fault.REPEAT: 1}

FEED = (
    Scenario(
        "the feed is told of two stores, index, read",
        (Store(), Store(uids=("1.2",)), Index(), ReadFeed()),
        is_told=True,
    ),
    Scenario(
        "the feed is told by an indexer and a reader, a crash, a lost reply",
        (Store(), Index(), ReadFeed()),
        faults=ONE_CRASH | ONE_REPEAT,
        is_told=True,
    ),
    Scenario(
        "the feed is told by two readers of two studies, a crash",
        (Store(), Store(study="2"), ReadFeed(), ReadFeed()),
        faults=ONE_CRASH,
        bound=2,
        is_told=True,
    ),
    Scenario(
        "the feed is told of PUT and delete",
        (Store(upsert=True), Delete(), Index(), ReadFeed()),
        ONE,
        is_told=True,
    ),
    Scenario(
        "the feed is told of what is written around a page that was read",
        (Delete(series="1", instance="1.1", order=0), Store(order=9, after=0), ReadFeed(), Index()),
        (Store(uids=("1.1", "1.2"), order=5), Store(uids=("1.3",), order=20), Index()),
        page=1,
        bound=2,
        is_told=True,
    ),
    Scenario(
        "the feed is told of delete and store, in pages",
        (Delete(), Store(uids=("1.1", "1.2"), after=0, order=-1), ReadFeed()),
        TWO,
        page=1,
        is_told=True,
    ),
    Scenario(
        "the feed is told of a large deletion, and a store in it",
        (Delete(), Store(uids=("1.2", "1.3")), ReadFeed(), Index()),
        THREE,
        bound=2,
        is_told=True,
    ),
    Scenario(
        "the feed is told of a large deletion that breaks off",
        (Delete(), Store(uids=("1.2",)), ReadFeed()),
        THREE,
        faults=ONE_CRASH,
        is_told=True,
    ),
    Scenario(
        "the feed is told of a large store, of which something is deleted",
        (Store(uids=("1.1", "1.2", "1.3")), Delete(series="1", instance="1.1"), ReadFeed(), Index()),
        faults=ONE_CRASH,
        bound=2,
        is_told=True,
    ),
    Scenario(
        "the feed is told of a large PUT, of which something is deleted and stored",
        (
            Store(uids=("1.1", "1.2", "1.3"), upsert=True),
            Delete(series="1", instance="1.1"),
            Store(after=1),
            ReadFeed(),
        ),
        THREE,
        is_told=True,
    ),
    Scenario(
        "the feed is told of a store that a sweep closes",
        (Store(uids=("1.1", "1.2", "1.3")), Sweep(impatient=True), ReadFeed()),
        faults=ONE_REPEAT,
        is_told=True,
    ),
    Scenario(
        "the feed is told of what a rebuild restores",
        (Rebuild(), Store(uids=("1.2",)), ReadFeed()),
        (THREE[0], Lose()),
        faults=ONE_CRASH,
        is_told=True,
    ),
    Scenario(
        "the feed is told nothing of what a rebuild restores that it told before",
        (Rebuild(), Rebuild(), Index()),
        (THREE[0], Store(uids=("1.2",), upsert=True), ReadFeed(), Lose(keeps_feed=True)),
        faults=ONE_CRASH,
        is_told=True,
    ),
)
