"""Every route of the service, in the order of PS3.18 10, and how it is answered; what runs beside them."""

import os

import azure.functions as func
from azurefunctions.extensions.bindings.blob import BlobClient
from azurefunctions.extensions.http.fastapi import Request, Response

from dicom_core import bootstrap, health, resources
from dicom_core.functions_http import Responder
from dicom_core.ingest import importing
from dicom_core.settings import Settings
from dicom_core.storage import blobs
from dicom_core.studies import (
    bulkdata,
    capabilities,
    changefeed,
    delete,
    rendered,
    retrieve,
    search,
    store,
    subscribers,
    uri_service,
)

settings = Settings.from_environment(os.environ)
OPEN, KEY = func.AuthLevel.ANONYMOUS, func.AuthLevel.FUNCTION
app = func.FunctionApp(http_auth_level=KEY if settings.authentication.by_key else OPEN)
stores = bootstrap.stores(settings)
respond = Responder(settings, stores, bootstrap.guard(settings), bootstrap.tracing(settings))
source = func.BlobSource(settings.blob_source)
served = (resources.DEFAULT_PARTITION,)
overdue = importing.Overdue(served)
deliver = bootstrap.delivering(settings)
SOON, LATER = 30.0, 120.0  # seconds that the subscribers are given

READ = ["GET", "HEAD"]

BASE = "v{version:int}"
STUDIES = f"{BASE}/studies"
STUDY = f"{STUDIES}/{{study}}"
SERIES = f"{STUDY}/series/{{series}}"
INSTANCE = f"{SERIES}/instances/{{instance}}"

# Retrieve transaction (PS3.18 10.4), also known as WADO-RS


@app.route(route=STUDY, methods=READ)
async def retrieve_study(req: Request) -> Response:
    """All instances of a study."""
    return await respond(req, retrieve.instances)


@app.route(route=f"{STUDY}/metadata", methods=READ)
async def retrieve_study_metadata(req: Request) -> Response:
    """The data sets of a study's instances, without bulk data."""
    return await respond(req, retrieve.metadata)


@app.route(route=SERIES, methods=READ)
async def retrieve_series(req: Request) -> Response:
    """All instances of a series."""
    return await respond(req, retrieve.instances)


@app.route(route=f"{SERIES}/metadata", methods=READ)
async def retrieve_series_metadata(req: Request) -> Response:
    """The data sets of a series' instances, without bulk data."""
    return await respond(req, retrieve.metadata)


@app.route(route=INSTANCE, methods=READ)
async def retrieve_instance(req: Request) -> Response:
    """An instance."""
    return await respond(req, retrieve.instances)


@app.route(route=f"{INSTANCE}/metadata", methods=READ)
async def retrieve_instance_metadata(req: Request) -> Response:
    """The data set of an instance, without bulk data."""
    return await respond(req, retrieve.metadata)


@app.route(route=f"{STUDY}/rendered", methods=READ)
async def retrieve_rendered_study(req: Request) -> Response:
    """A study as an image, a video or a document."""
    return await respond(req, rendered.rendered)


@app.route(route=f"{SERIES}/rendered", methods=READ)
async def retrieve_rendered_series(req: Request) -> Response:
    """A series as an image, a video or a document."""
    return await respond(req, rendered.rendered)


@app.route(route=f"{INSTANCE}/rendered", methods=READ)
async def retrieve_rendered_instance(req: Request) -> Response:
    """An instance as an image, a video or a document."""
    return await respond(req, rendered.rendered)


@app.route(route=f"{INSTANCE}/frames/{{frames}}/rendered", methods=READ)
async def retrieve_rendered_frames(req: Request) -> Response:
    """Frames of an instance as images."""
    return await respond(req, rendered.rendered)


@app.route(route=f"{STUDY}/thumbnail", methods=READ)
async def retrieve_thumbnail_study(req: Request) -> Response:
    """A small image that stands for a study."""
    return await respond(req, rendered.thumbnail)


@app.route(route=f"{SERIES}/thumbnail", methods=READ)
async def retrieve_thumbnail_series(req: Request) -> Response:
    """A small image that stands for a series."""
    return await respond(req, rendered.thumbnail)


@app.route(route=f"{INSTANCE}/thumbnail", methods=READ)
async def retrieve_thumbnail_instance(req: Request) -> Response:
    """A small image that stands for an instance."""
    return await respond(req, rendered.thumbnail)


@app.route(route=f"{INSTANCE}/frames/{{frames}}/thumbnail", methods=READ)
async def retrieve_thumbnail_frame(req: Request) -> Response:
    """A small image of a frame."""
    return await respond(req, rendered.thumbnail)


@app.route(route=f"{INSTANCE}/frames/{{frames}}", methods=READ)
async def retrieve_frames(req: Request) -> Response:
    """Frames of an instance."""
    return await respond(req, bulkdata.frames)


@app.route(route=f"{STUDY}/bulkdata", methods=READ)
async def retrieve_study_bulkdata(req: Request) -> Response:
    """All bulk data of a study."""
    return await respond(req, bulkdata.all_bulkdata)


@app.route(route=f"{SERIES}/bulkdata", methods=READ)
async def retrieve_series_bulkdata(req: Request) -> Response:
    """All bulk data of a series."""
    return await respond(req, bulkdata.all_bulkdata)


@app.route(route=f"{INSTANCE}/bulkdata", methods=READ)
async def retrieve_instance_bulkdata(req: Request) -> Response:
    """All bulk data of an instance."""
    return await respond(req, bulkdata.all_bulkdata)


@app.route(route=f"{INSTANCE}/bulkdata/{{*bulkdata}}", methods=READ)
async def retrieve_bulkdata(req: Request) -> Response:
    """The value that a BulkDataURI in the metadata stands for."""
    return await respond(req, bulkdata.bulkdata)


@app.route(route=f"{STUDY}/pixeldata", methods=READ)
async def retrieve_study_pixeldata(req: Request) -> Response:
    """The pixel data of a study's instances."""
    return await respond(req, bulkdata.pixel_data)


@app.route(route=f"{SERIES}/pixeldata", methods=READ)
async def retrieve_series_pixeldata(req: Request) -> Response:
    """The pixel data of a series' instances."""
    return await respond(req, bulkdata.pixel_data)


@app.route(route=f"{INSTANCE}/pixeldata", methods=READ)
async def retrieve_instance_pixeldata(req: Request) -> Response:
    """The pixel data of an instance."""
    return await respond(req, bulkdata.pixel_data)


# URI Service (PS3.18 9), also known as WADO-URI


@app.route(route=f"{BASE}/wado", methods=READ)
async def retrieve_by_uri(req: Request) -> Response:
    """An instance that parameters name, as it is stored or as an image."""
    return await respond(req, uri_service.instance)


# Store transaction (PS3.18 10.5), also known as STOW-RS


@app.route(route=STUDIES, methods=["POST"])
async def store_instances(req: Request) -> Response:
    """Store instances of any studies."""
    return await respond(req, store.store)


@app.route(route=STUDY, methods=["POST"])
async def store_study_instances(req: Request) -> Response:
    """Store instances of one study."""
    return await respond(req, store.store)


@app.route(route=STUDIES, methods=["PUT"])
async def upsert_instances(req: Request) -> Response:
    """Store instances of any studies in the place of what stands there."""
    return await respond(req, store.upsert)


@app.route(route=STUDY, methods=["PUT"])
async def upsert_study_instances(req: Request) -> Response:
    """Store instances of one study in the place of what stands there."""
    return await respond(req, store.upsert)


# Search transaction (PS3.18 10.6), also known as QIDO-RS


@app.route(route=STUDIES, methods=READ)
async def search_studies(req: Request) -> Response:
    """Search for studies."""
    return await respond(req, search.studies)


@app.route(route=f"{BASE}/series", methods=READ)
async def search_series(req: Request) -> Response:
    """Search for series of any study."""
    return await respond(req, search.series)


@app.route(route=f"{BASE}/instances", methods=READ)
async def search_instances(req: Request) -> Response:
    """Search for instances of any study."""
    return await respond(req, search.instances)


@app.route(route=f"{STUDY}/series", methods=READ)
async def search_study_series(req: Request) -> Response:
    """Search for series of a study."""
    return await respond(req, search.series)


@app.route(route=f"{STUDY}/instances", methods=READ)
async def search_study_instances(req: Request) -> Response:
    """Search for instances of a study."""
    return await respond(req, search.instances)


@app.route(route=f"{SERIES}/instances", methods=READ)
async def search_series_instances(req: Request) -> Response:
    """Search for instances of a series."""
    return await respond(req, search.instances)


# Beside the standard, as the managed service has them


@app.route(route=STUDY, methods=["DELETE"])
async def delete_study(req: Request) -> Response:
    """Delete a study."""
    return await respond(req, delete.delete)


@app.route(route=SERIES, methods=["DELETE"])
async def delete_series(req: Request) -> Response:
    """Delete a series."""
    return await respond(req, delete.delete)


@app.route(route=INSTANCE, methods=["DELETE"])
async def delete_instance(req: Request) -> Response:
    """Delete an instance."""
    return await respond(req, delete.delete)


@app.route(route=f"{BASE}/changefeed", methods=READ)
async def read_change_feed(req: Request) -> Response:
    """What became of which instance, in the order in which it is told."""
    return await respond(req, changefeed.changes)


@app.route(route=f"{BASE}/changefeed/latest", methods=READ)
async def read_latest_change(req: Request) -> Response:
    """What was told last."""
    return await respond(req, changefeed.latest)


@app.route(route=f"{BASE}/subscribers", methods=READ)
async def list_subscribers(req: Request) -> Response:
    """Who is told of changes, and how far each has got."""
    return await respond(req, subscribers.listed)


@app.route(route=f"{BASE}/subscribers/{{subscriber}}/failures", methods=READ)
async def list_failures(req: Request) -> Response:
    """What could not be delivered to a subscriber."""
    return await respond(req, subscribers.failures)


@app.route(route=f"{BASE}/subscribers/{{subscriber}}/failures", methods=["POST"])
async def retry_failures(req: Request) -> Response:
    """Try it again."""
    return await respond(req, subscribers.retry)


@app.route(route="health/check", methods=READ, auth_level=OPEN)
async def check_health(req: Request) -> Response:
    """Whether the service can reach its storage."""
    return await respond(req, health.check)


@app.route(route=f"{BASE}/api.json", methods=READ, auth_level=OPEN)
async def retrieve_api_description(req: Request) -> Response:
    """What all of this is, for the tools that read OpenAPI."""
    return await respond(req, capabilities.description)


@app.route(route=f"{BASE}/{{*path}}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"])
async def answer_unknown(req: Request) -> Response:
    """What is asked of any other path, or by another method."""
    return await respond.unknown(req)


@app.route(route=f"{BASE}/{{*path}}", methods=["OPTIONS"], auth_level=OPEN)
async def retrieve_capabilities(req: Request) -> Response:
    """What there is at a path and below it; or what a browser asks before it lets a page of another origin ask."""
    return await respond.options(req, capabilities.retrieve)


# What follows the transactions; of each blob only its name is looked at


@app.blob_trigger(arg_name="blob", path="dicom/{name}.dcm", connection="DicomStorage", source=source)
async def index_stored_instance(blob: BlobClient) -> None:
    """A hint that bytes of a study have come, so that it is indexed soon, and those who follow are told."""
    await (await stores()).index.refresh(*blobs.origin(blob.blob_name))
    await deliver(await stores(), SOON)


@app.blob_trigger(arg_name="blob", path="import/{name}", connection="DicomStorage", source=source)
async def import_stored_file(blob: BlobClient) -> None:
    """Store a file that was put into the drop zone."""
    await importing.take(blob.blob_name, await stores(), served)


# What finishes the transactions: it indexes what was stored, and decides what was broken off


@app.timer_trigger(schedule="%DicomSweepSchedule%", arg_name="timer")
async def sweep(timer: func.TimerRequest) -> None:
    """As often as the setting says: every minute is prompt, every five cost less while no one calls."""
    await (await stores()).index.sweep()
    await overdue.take(await stores())


# What passes changes on, where someone follows them; beside the sweep, which no one's server may hold up


if settings.subscribers:

    @app.timer_trigger(schedule="%DicomSweepSchedule%", arg_name="timer")
    async def deliver_changes(timer: func.TimerRequest) -> None:
        """What was not passed on when it came, or has to be tried again."""
        await deliver(await stores(), LATER)
