"""The scenarios of the storage protocol: one row each."""

from __future__ import annotations

from tests.model.actors import (
    Delete,
    Index,
    Lose,
    Read,
    ReadPacked,
    Rebuild,
    Search,
    Store,
    Sweep,
)
from tests.model.explorer import Fault
from tests.model.feed_table import FEED
from tests.model.scenarios import Scenario

A, B, C = "20200101", "20210101", "20220101"

ONE = (Store(date=A), Index())
TWO = (Store(uids=("1.1", "1.2"), date=A), Index())
THREE = (Store(uids=("1.1", "1.2", "1.3"), date=A), Index())
DELETED = (*ONE, Delete(), Index())
MOVED = (*ONE, Store(uids=("1.2",), date=B), Index())
REPLACED = (*ONE, Store(date=B, upsert=True), Index())
OF_TWO_SERIES = (Store(uids=("1.1", "1.2", "2.1"), date=A),)
BETWEEN = (Store(study="2", date=B), Index(study="2"))

ONE_CRASH = {Fault.CRASH: 1}
ONE_REPEAT = {Fault.REPEAT: 1}

SCENARIOS = (
    Scenario(
        "two stores, index, search",
        (Store(date=A), Store(uids=("1.2",), date=A), Index(), Search()),
    ),
    Scenario(
        "stores of two dates, sweep, search for one",
        (Store(date=A), Store(uids=("1.2",), date=B), Sweep(), Search(date=A)),
    ),
    Scenario(
        "stores of two dates, sweep and index, search for one",
        (Store(date=A), Store(uids=("1.2",), date=B), Sweep(), Index(), Search(date=A)),
        bound=2,
    ),
    Scenario(
        "two stores, two indexers, search",
        (Store(date=A), Store(uids=("1.2",), date=B), Index(), Index(), Search()),
        bound=2,
    ),
    Scenario(
        "two stores, two indexers, one crashes",
        (Store(date=A), Store(uids=("1.2",), date=B), Index(), Index(), Search()),
        faults=ONE_CRASH,
        bound=1,
    ),
    Scenario(
        "store, index, sweep, search, one crashes",
        (Store(date=A), Index(), Sweep(), Search()),
        faults=ONE_CRASH,
    ),
    Scenario(
        "store, delete, store again",
        (Store(date=A), Delete(after=0), Store(date=B, after=1), Index(), Search()),
    ),
    Scenario(
        "store, delete of an indexed study, and back",
        (Delete(), Store(date=B), Index(), Search()),
        ONE,
    ),
    Scenario("delete of an indexed study, sweep, search", (Delete(), Sweep(), Search()), ONE),
    Scenario(
        "delete of an indexed study, index, a crash", (Delete(), Index(), Search()), ONE, faults=ONE_CRASH
    ),
    Scenario(
        "same UIDs, other bytes, delete",
        (Store(date=A, bytes="a"), Store(date=B, bytes="b"), Delete(after=1), Index(), Search()),
    ),
    Scenario(
        "same UIDs, other bytes, among others",
        (
            Store(uids=("1.1", "1.2"), date=A, bytes="a"),
            Store(uids=("1.2", "1.3"), date=B, bytes="b"),
            Index(),
            Read(),
        ),
        faults=ONE_REPEAT,
    ),
    Scenario(
        "same UIDs, same bytes, lost replies, a crash",
        (Store(date=A, bytes="a"), Store(date=A, bytes="a"), Sweep()),
        faults=ONE_CRASH | ONE_REPEAT,
    ),
    Scenario(
        "a row moves forward, search in pages",
        (Store(uids=("1.2",), date=C), Index(), Search()),
        (*ONE, *BETWEEN),
        page=1,
    ),
    Scenario(
        "a row moves back, search in pages",
        (Store(uids=("1.2",), date=A), Index(), Search()),
        (Store(date=C), Index(), *BETWEEN),
        page=1,
    ),
    Scenario(
        "journal and index in pages, two studies",
        (Store(date=A), Store(study="2", date=B), Index(), Search()),
        page=1,
    ),
    Scenario(
        "scan of the indexer in pages, two stores",
        (Store(date=A), Store(uids=("1.2",), date=B), Index(), Search()),
        page=1,
    ),
    Scenario(
        "index in pages, of a study that is replaced",
        (Delete(), Store(date=C, uids=("1.3",), after=0), Index(), Search()),
        TWO,
        page=1,
    ),
    Scenario(
        "reads in pages, store before and behind",
        (Store(uids=("1.1", "1.3"), date=B), Read(), Search()),
        (Store(uids=("1.2", "1.4"), date=A), Index()),
        page=1,
    ),
    Scenario(
        "PUT, index, sweep, search", (Store(date=B, upsert=True), Index(), Sweep(), Search(date=A)), ONE
    ),
    Scenario(
        "two PUTs, a lost reply",
        (Store(date=B, upsert=True), Store(date=C, upsert=True), Index(), Search()),
        ONE,
        faults=ONE_REPEAT,
        bound=2,
    ),
    Scenario(
        "two PUTs, in the order of their ends",
        (Store(date=B, upsert=True, order=2), Store(date=C, upsert=True, order=1), Read()),
        ONE,
        faults=ONE_REPEAT,
    ),
    Scenario(
        "two PUTs over a version of a later name",
        (Store(date=B, upsert=True), Store(date=C, upsert=True), Read()),
        (Store(date=A, order=9), Index()),
    ),
    Scenario(
        "PUT and delete",
        (Store(date=B, upsert=True), Delete(), Index(), Search()),
        ONE,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a slow store is given up, and its replies are lost",
        (Store(date=A), Sweep(impatient=True), Index()),
        faults=ONE_REPEAT,
    ),
    Scenario(
        "a slow store is given up by two sweeps",
        (Store(date=A), Sweep(impatient=True), Sweep(impatient=True), Index()),
        faults=ONE_REPEAT,
        bound=1,
        deep=3,
    ),
    Scenario(
        "a store whose first attempt comes late is given up",
        (Store(date=A), Sweep(impatient=True), Index(), Search()),
        faults={Fault.LATE: 1},
        bound=2,
    ),
    Scenario(
        "a slow deletion is given up",
        (Delete(), Sweep(impatient=True), Search()),
        ONE,
        faults=ONE_REPEAT,
    ),
    Scenario(
        "a large deletion, store, sweep, search",
        (Delete(), Store(uids=("1.4",), date=A), Sweep(), Search()),
        THREE,
    ),
    Scenario(
        "a large deletion, store of one that is deleted, read in pages",
        (Delete(), Store(uids=("1.2",), date=B), Read()),
        THREE,
        page=1,
    ),
    Scenario(
        "a large deletion breaks off, store of one that is deleted",
        (Delete(), Store(uids=("1.2",), date=B), Index(), Search()),
        THREE,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a large deletion is completed by a sweep at any time",
        (Delete(), Sweep(impatient=True), Read()),
        THREE,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a large deletion, lost replies",
        (Delete(), Store(uids=("1.2",), date=B), Read()),
        THREE,
        faults=ONE_REPEAT,
    ),
    Scenario(
        "a large deletion, store of the same bytes",
        (Delete(), Store(uids=("1.2", "1.3"), date=A, bytes="a"), Read(instance="1.2"), Search(uid="1")),
        (Store(uids=("1.1", "1.2", "1.3"), date=A, bytes="a"), Index()),
    ),
    Scenario("two large deletions", (Delete(), Delete(), Read(), Index()), THREE),
    Scenario(
        "the instance that gave the date is deleted",
        (Delete(series="1", instance="1.2"), Index(), Store(uids=("1.3",), date=A), Search(date=B)),
        (Store(date=A), Store(uids=("1.2",), date=B), Index()),
    ),
    Scenario(
        "a large store is closed by a sweep at any time",
        (Store(uids=("1.1", "1.2", "1.3"), date=A), Sweep(impatient=True), Index(), Search()),
        faults=ONE_CRASH,
        bound=2,
    ),
    Scenario(
        "a large store, lost replies, index, read",
        (Store(uids=("1.1", "1.2", "1.3"), date=A), Index(), Read()),
        faults=ONE_REPEAT,
    ),
    Scenario(
        "claims are always taken over",
        (Store(date=A), Store(uids=("1.2",), date=B), Index(impatient=True), Index(impatient=True), Search()),
        bound=2,
    ),
    Scenario(
        "claims are always taken over, of what is indexed",
        (Store(uids=("1.2",), date=B), Index(impatient=True), Index(impatient=True), Search()),
        ONE,
        faults=ONE_REPEAT,
        bound=2,
    ),
    Scenario(
        "storage stays away from a sweep of two studies",
        (Store(date=A), Store(study="2", date=A), Sweep(), Search()),
        faults={Fault.UNANSWERED: 1},
        bound=2,
    ),
    Scenario(
        "storage is not reached by a sweep of two studies",
        (Store(date=A), Store(study="2", date=A), Sweep(), Search()),
        faults={Fault.UNSENT: 1},
        bound=2,
    ),
    Scenario(
        "a study that is gone is forgotten, and stored again",
        (Store(date=B), Sweep(), Index(), Search()),
        DELETED,
    ),
    Scenario(
        "a study that is gone is forgotten by two sweeps, a crash",
        (Store(date=B), Sweep(), Sweep()),
        DELETED,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a row that moved is forgotten, and the study moves back",
        (Delete(series="1", instance="1.2"), Sweep(), Index(), Search()),
        MOVED,
        page=1,
        bound=2,
        deep=3,
    ),
    Scenario(
        "a row that moved is forgotten, by a sweep that crashes or is taken over",
        (Store(uids=("1.3",), date=C), Sweep(), Index(impatient=True)),
        MOVED,
        faults=ONE_CRASH,
    ),
    Scenario(
        "what was replaced is forgotten, and replaced again",
        (Store(date=C, upsert=True), Sweep(), Read(), Index()),
        REPLACED,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a study is packed and stored to",
        (Store(uids=("2.2",), date=B), Index(), ReadPacked()),
        OF_TWO_SERIES,
        faults=ONE_CRASH,
    ),
    Scenario(
        "a study is packed by two indexers, and replaced",
        (
            Store(uids=("2.1",), date=B, upsert=True),
            Index(impatient=True),
            Index(impatient=True),
            ReadPacked(),
        ),
        OF_TWO_SERIES,
        bound=2,
    ),
    Scenario(
        "series of a study that is indexed, stored to and replaced",
        (Store(uids=("2.1", "2.2"), date=B, upsert=True), Index(), Search(series_of="1")),
        OF_TWO_SERIES,
        faults=ONE_CRASH,
    ),
    Scenario(
        "series of an indexed study that is deleted",
        (Delete(), Index(), Search(series_of="1")),
        (*OF_TWO_SERIES, Index()),
        faults=ONE_CRASH,
    ),
    Scenario(
        "a packed study is deleted and forgotten",
        (Delete(), Sweep(), ReadPacked(), Search()),
        (*OF_TWO_SERIES, Index()),
    ),
    Scenario(
        "what was packed before is forgotten",
        (Store(uids=("2.3",), date=B), Sweep(), ReadPacked()),
        (*OF_TWO_SERIES, Index(), Store(uids=("2.2",), date=A), Index()),
        faults=ONE_CRASH,
    ),
    Scenario(
        "rebuild of what is there, delete, sweep, search", (Rebuild(), Delete(), Sweep(), Search()), ONE
    ),
    Scenario(
        "rebuild of what is there, replaced meanwhile",
        (Rebuild(), Store(date=B, upsert=True), Index(), Search()),
        ONE,
        faults=ONE_REPEAT,
    ),
    Scenario(
        "rebuild of what was lost, store, index, search",
        (Rebuild(), Store(uids=("1.2",), date=B), Index(), Search()),
        (*ONE, Lose()),
        faults=ONE_CRASH,
    ),
    Scenario(
        "rebuild of what was lost, delete, index, search",
        (Rebuild(), Delete(), Index(), Search()),
        (THREE[0], Lose()),
        faults=ONE_CRASH,
        bound=2,
    ),
    Scenario(
        "two rebuilds of what was lost, lost replies",
        (Rebuild(), Rebuild(), Index(), Read()),
        (THREE[0], Lose()),
        faults=ONE_REPEAT,
        bound=2,
    ),
    Scenario(
        "rebuild of several versions that were lost, the latest wins",
        (Rebuild(), Store(date=C, upsert=True), Sweep(), Read()),
        (Store(date=A), Store(date=B, upsert=True), Lose()),
        bound=2,
    ),
    Scenario(
        "rebuild beside a store on its way",
        (Rebuild(impatient=True), Store(uids=("1.2",), date=B), Index(), Search()),
        ONE,
    ),
    Scenario(
        "an instance is looked for by its UID alone",
        (Store(uids=("1.2",), date=A), Index(), Delete(after=0), Search(instance="1.2")),
        ONE,
    ),
    *FEED,
)
