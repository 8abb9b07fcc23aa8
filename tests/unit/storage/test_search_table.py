"""The row `index` of a study, by which runs that write its search rows keep out of each other's way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_core.storage.search_table import INDEX, State, put_state
from dicom_core.storage.table_service import Action, Conflict, Operation
from tests.fake_tables import Service

STUDY = "p|1.2"


@pytest.mark.parametrize("is_repeated", [False, True], ids=["answered", "reply lost"])
async def test_state_is_put_once(is_repeated: bool) -> None:
    """It is inserted, then replaced by its ETag; what a lost reply lets be sent again is known for one's own."""
    service = Service(repeated=lambda: is_repeated)
    studies = service.table("studies")
    inserted = await put_state(studies, STUDY, State(claim="one", claimed_at=1.0))
    released = await put_state(studies, STUDY, replace(inserted, claim=""))

    row = await studies.get(STUDY, INDEX, ["claim", "claimed_at"], etag=True)
    assert row is not None
    assert (row["claim"], row["odata.etag"]) == ("", released.etag)


async def test_state_of_another_run_stays() -> None:
    """Whoever comes second, to insert or to replace, is told so, and changes nothing."""
    studies = Service().table("studies")
    first = await put_state(studies, STUDY, State(claim="one", claimed_at=1.0))
    second = await put_state(studies, STUDY, replace(first, claim="two", claimed_at=2.0))

    for late in (State(claim="late", claimed_at=3.0), replace(first, claim="late", claimed_at=3.0)):
        with pytest.raises(Conflict):
            await put_state(studies, STUDY, late, [Operation(Action.INSERT, "series|1.3")])

    row = await studies.get(STUDY, INDEX, ["claim"], etag=True)
    assert row is not None
    assert (row["claim"], row["odata.etag"]) == ("two", second.etag)
    assert await studies.get(STUDY, "series|1.3", ["RowKey"]) is None
