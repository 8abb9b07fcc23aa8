"""Delete transaction: a study, a series or an instance, as the managed service has it; not in PS3.18."""

from __future__ import annotations

from dicom_core import versions
from dicom_core.errors import ResourceNotFound
from dicom_core.ports import Stores, Transaction
from dicom_core.web.messages import Request, Response


async def delete(request: Request, stores: Stores) -> Response:
    """Remove the Target Resource from the record, at once for every reader; its bytes go later.

    Raises
    ------
    ResourceNotFound
        There is no such resource, or no longer.
    """
    resource = request.resource
    assert resource.study is not None
    transaction = Transaction(versions.new_transaction(), resource.study, resource.partition)
    await stores.index.begin(transaction, None)
    if not await stores.index.remove(transaction, resource):
        raise ResourceNotFound(f"there is no {resource.path}")
    return Response(204)
