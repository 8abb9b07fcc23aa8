"""The configuration that OHIF reads as `app-config.js`: which service it shows, and what that service can do."""

from __future__ import annotations

from typing import Any

import orjson

_DATA_SOURCE: dict[str, Any] = {
    "name": "DICOM Functions",
    "friendlyName": "DICOM Functions",
    "imageRendering": "wadors",
    # Thumbnails that the service makes, of a few KB each; the study list has pictures with this strategy only.
    "thumbnailRendering": "thumbnail",
    "thumbnailRequestStrategy": "fetch",
    "enableStudyLazyLoad": True,
    "qidoSupportsIncludeField": True,
    "supportsFuzzyMatching": True,
    "supportsWildcard": True,
    "supportsReject": False,
    "dicomUploadEnabled": True,
    "bulkDataURI": {"enabled": True},
    # Quotation marks make Accept a header that a browser asks about first, once for each frame.
    "omitQuotationForMultipartRequest": True,
}
_VIEWER: dict[str, Any] = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "showLoadingIndicator": True,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "maxNumberOfWebWorkers": 3,
    "maxNumRequests": {"interaction": 100, "thumbnail": 5, "prefetch": 25},
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
}


def script(service: str) -> str:
    """The script that configures the viewer for a service, given by the URL of its DICOMweb resources."""
    roots = {"qidoRoot": service, "wadoRoot": service, "wadoUriRoot": service}
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "dicomweb",
        "configuration": _DATA_SOURCE | roots,
    }
    return f"window.config = {orjson.dumps(_VIEWER | {'dataSources': [source]}).decode()};\n"
