"""What a subscriber of the change feed is, and how it says that a delivery went wrong."""

from __future__ import annotations

from typing import Protocol

from dicom_core.ports import Stores
from dicom_core.tasks import Task


class DeliveryError(Exception):
    """A task was not delivered; the text is the reason, and holds no attribute values: UIDs, statuses and codes."""


class Unavailable(DeliveryError):
    """The target is down or asks for patience: all tasks of the subscriber wait, and none is the worse for it.

    Parameters
    ----------
    retry_after
        Seconds that the target asks for; None if it does not say.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Failed(DeliveryError):
    """The task could not be delivered now; it is tried again later, ever more seldom, and fails in the end."""


class Refused(DeliveryError):
    """The task never will be delivered as it is; it fails at once."""


class Subscriber(Protocol):
    """One that is told what the feed tells, at least once, and of each study in order.

    `name` is a key of storage: small letters, digits and hyphens, at most 63. `settle` is how many seconds a study
    rests before it is delivered, so that what comes together is delivered together. `from_beginning` says if one that
    is new is told all that the feed holds, or what follows.
    """

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def settle(self) -> float:
        """Its settling time."""

    @property
    def from_beginning(self) -> bool:
        """Where it begins."""

    async def deliver(self, task: Task, stores: Stores) -> int | None:
        """Deliver a task: its changes are `stores.feed.of_study(...)`, from `task.first` to `task.last`.

        The answer is the sequence number up to which it was delivered, None for all of it. What is left is a task that
        is delivered next.

        It may be called again for what was delivered, and is broken off when it takes longer than
        `running.PATIENCE` seconds. Never called twice at once for a study, but by a worker that was thought dead.

        Raises
        ------
        Unavailable, Failed, Refused
            As they say; anything else counts as Failed.
        """

    async def close(self) -> None:
        """Close its connections, for who ends before the process does, as tests do; the service keeps them.

        It may be used again.
        """
