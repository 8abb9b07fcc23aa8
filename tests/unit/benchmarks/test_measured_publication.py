"""What the workers of `benchmarks.publication` tell, and what is printed of it."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import publication
from benchmarks.publication import Cost
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.sequencing import Sequencer
from tests.fake_tables import Service


@pytest.mark.parametrize("writers", publication.WRITERS)
async def test_writers_tell_every_change_once(writers: int) -> None:
    """However many tell at once, the feed has each of the changes, and none twice."""
    service = Service()
    ledgers = [Ledger(service.table("feed")) for _ in range(writers)]
    pieces = [publication.new_study(study, 3) for study in range(40)]

    await asyncio.gather(
        *(publication.tell(Sequencer(ledger), pieces[first::writers]) for first, ledger in enumerate(ledgers))
    )

    told = await ledgers[0].after(0, 1000)
    assert [change.sequence for change in told] == list(range(1, 121))
    assert len({change.version for change in told}) == 120


def test_row_is_of_each_study() -> None:
    """Times and requests are those of a study, the rate that of its images."""
    costs = [Cost(0.004, 0.002, 0.5), Cost(0.002, 0.001, 0.25), Cost(0.1, 0.003, 0.5)]

    cells = publication.row(100, 8, costs).strip("| ").split(" | ")

    assert cells == ["100", "8", "25,000", "4.00 (2.00-100)", "2.00 (1.00-3.00)", "table=0.5"]
