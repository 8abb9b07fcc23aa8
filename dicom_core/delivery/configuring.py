"""Makes the subscribers that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from azure.core.credentials_async import AsyncTokenCredential

from dicom_core.delivery import events
from dicom_core.delivery.events import Writer
from dicom_core.delivery.targets import EventSubscriber, QueueSender, Sender, Topic, Webhook
from dicom_core.event_targets import EventTarget, Kind
from dicom_core.storage.queues import Queue
from dicom_core.storage.rest import Client
from dicom_core.subscriptions import EVENT_SCHEMAS, Events

_CLOUD, _GRID = EVENT_SCHEMAS
_WRITERS: Mapping[tuple[str, Kind], Writer] = MappingProxyType(
    dict.fromkeys(((_CLOUD, kind) for kind in Kind), events.cloud_event)
    | dict.fromkeys(((_GRID, kind) for kind in Kind), events.delivered_event_grid_event)
    | {(_GRID, Kind.TOPIC): events.event_grid_event}
)


def event_subscribers(
    told: Events, source: str, credential: Callable[[], AsyncTokenCredential], queues: Client | None
) -> Sequence[EventSubscriber]:
    """A subscriber for each target of events.

    Parameters
    ----------
    credential
        Makes the identity, for topics.
    source
        What the URLs of the service begin with.
    queues
        The queue service; None only where no target is a queue.
    """
    cloud = told.schema == _CLOUD

    def sender(target: EventTarget) -> Sender:
        if target.kind is Kind.QUEUE:
            assert queues is not None
            return QueueSender(Queue(queues, target.address))
        if target.kind is Kind.TOPIC:
            return Topic(target.address, credential(), cloud=cloud)
        return Webhook(target.address, target.name, told.secrets, cloud=cloud)

    return [
        EventSubscriber(target.name, sender(target), _WRITERS[told.schema, target.kind], source)
        for target in told.targets
    ]
