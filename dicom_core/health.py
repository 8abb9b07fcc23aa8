"""The health check: not of PS3.18, but what load balancers and people ask first."""

from __future__ import annotations

from dicom_core.ports import Stores
from dicom_core.record import Columns
from dicom_core.resources import Resource
from dicom_core.web.messages import Request, Response

_NO_STUDY = Resource("0", "0", "0")


async def check(request: Request, stores: Stores) -> Response:
    """Answer 200 if the index can be read.

    Raises
    ------
    StorageUnavailable
        It cannot; the answer is 503.
    """
    await stores.index.records(_NO_STUDY, Columns.NONE)
    return Response(200, {"Content-Type": "application/json"}, b'{"overallStatus":"Healthy"}')
