"""The change feed's values: what became of which instance, in the order in which it is told.

A change is told once, under a sequence number that is one higher than that of the change before it, and at a time
that is later than that of the change before it: who reads in the order of either meets nothing late.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dicom_core.resources import Resource


class Action(StrEnum):
    """What was done to an instance."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class State(StrEnum):
    """What became since of the version that a change is about."""

    CURRENT = "current"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change feed: an instance was stored, replaced or removed.

    `version` is the one that was stored, or that was removed; `sop_class` its SOP Class UID, None where it is not known
    any more. `time` has a zone.
    """

    sequence: int
    time: datetime
    action: Action
    resource: Resource
    version: str
    sop_class: str | None

    def state(self, standing: str | None) -> State:
        """The state, by the version of the instance that stands now; None if there is none."""
        if standing is None:
            return State.DELETED
        return State.CURRENT if standing == self.version else State.REPLACED
