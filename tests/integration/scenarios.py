"""Transactions that faults and crashes are tried on: what was there before, what is asked, what must be there after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.studies import delete, store
from dicom_core.web.messages import Request
from tests import instances
from tests.storage import Transaction, store_request

TRANSACTIONS: dict[str, Transaction] = {"POST": store.store, "PUT": store.upsert, "DELETE": delete.delete}

Study = dict[str, bytes]
"""The bytes of a study's instances by UID."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One request to a study, and the study before and after it.

    `batch` is how many instances one batch of the storage takes; `steps` the storage requests at which something
    happens, all if empty.
    """

    name: str
    method: str
    study: str
    before: Study
    after: Study
    files: Sequence[bytes] = ()
    batch: int = 97
    steps: Sequence[int] = ()
    status: int = 200
    again: int = 200
    atoms: Sequence[frozenset[str]] = field(default_factory=tuple)

    def request(self, partition: str) -> Request:
        """The request."""
        if self.method == "DELETE":
            return Request("DELETE", Resource(self.study, partition=partition), "http://localhost/v2")
        return replace(store_request(self.files, partition), method=self.method)

    @property
    def series(self) -> str:
        """The one series of the study."""
        return _series(self.study)

    async def seed(self, stores: Stores, partition: str) -> None:
        """Store what is there before."""
        if self.before:
            response = await store.store(store_request(list(self.before.values()), partition), stores)
            assert response.status == 200

    def may_be(self, found: Study) -> bool:
        """Say if a crash may leave the study so: batches are whole, and come in their order."""
        left = [uid for uid in self.after if self.after[uid] != self.before.get(uid)]
        atoms = self.atoms or (frozenset(left or self.before),)
        if self.method == "DELETE":
            return found in (self.before, self.after)
        state = dict(self.before)
        for atom in (frozenset(), *atoms):
            state |= {uid: self.after[uid] for uid in atom if uid in self.after}
            if found == state:
                return True
        return False


def _series(study: str) -> str:
    return f"{study[:60]}.1"


def _study(number: int) -> tuple[str, Study]:
    study = instances.uid()
    series = _series(study)
    uids = sorted(instances.uid() for _ in range(number))
    return study, {uid: instances.file(study, series, uid) for uid in uids}


def _other(study: str, files: Study) -> Study:
    """Other bytes under the same UIDs."""
    return {uid: file[:-1] + b"\xee" for uid, file in files.items()}


def _first(files: Study, number: int) -> Study:
    return {uid: files[uid] for uid in list(files)[:number]}


def _batches(files: Study, size: int) -> tuple[frozenset[str], ...]:
    uids = sorted(files)
    return tuple(frozenset(uids[start : start + size]) for start in range(0, len(uids), size))


def scenarios(*, large: bool = True) -> list[Scenario]:
    """All of them, with UIDs of their own; the large ones take some hundred storage requests."""
    made: list[Scenario] = []
    study, files = _study(3)
    made.append(Scenario("store", "POST", study, {}, files, list(files.values()), again=202))
    study, files = _study(8)
    atoms = _batches(files, 3)
    made.append(
        Scenario(
            "store in batches", "POST", study, {}, files, list(files.values()), 3, again=202, atoms=atoms
        )
    )
    study, files = _study(3)
    other = _other(study, files)
    made.append(Scenario("put", "PUT", study, _first(files, 2), other, list(other.values())))
    study, files = _study(2)
    other = _other(study, files)
    made.append(Scenario("refused", "POST", study, files, files, list(other.values()), status=409, again=409))
    study, files = _study(3)
    refused = {uid: file for uid, file in files.items() if uid in _first(files, 1)}
    sent = [*_other(study, refused).values(), *list(files.values())[1:]]
    made.append(Scenario("refused in part", "POST", study, refused, files, sent, status=202, again=202))
    study, files = _study(3)
    made.append(Scenario("delete", "DELETE", study, files, {}, status=204, again=404))
    study, files = _study(7)
    made.append(Scenario("delete in batches", "DELETE", study, files, {}, batch=2, status=204, again=404))
    if large:
        study, files = _study(100)
        atoms = _batches(files, 97)
        content = list(files.values())
        made.append(
            Scenario(
                "large store",
                "POST",
                study,
                {},
                files,
                content,
                97,
                (1, 50, 101, 102, 103),
                again=202,
                atoms=atoms,
            )
        )
        study, files = _study(100)
        made.append(Scenario("large delete", "DELETE", study, files, {}, status=204, again=404))
    return made
