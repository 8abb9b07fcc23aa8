"""OHIF as it is published, in Chromium, with the service as it is: what a reader of images does and sees."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from tests import dicomweb, instances
from tests.dicomweb import Stored, made
from tests.serving import ROOT, served, storage_settings
from tools.local_host.azurite import TOOLS, Azurite, script
from tools.viewer import chromium, site

pytestmark = pytest.mark.viewer

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SLICES, SIDE = 60, 256
FRAMES, ROWS, COLUMNS = 5, 120, 160
LOW, HIGH = -160, 240
"""What is black and what is white in the CT, in HU."""
PACKED = ("implicit", "RLE", "jpeg_ls_lossless", "jp2klossless")
"""The same image, in files of several transfer syntaxes."""
TOLERANCE = 3
"""How far a grey level of the screen, one of 256, may be from the one expected."""
TOLERANCE_OF_JPEG = 2
"""How far the levels of a thumbnail may be from those expected, on the average."""

_PIXELS = """async shown => {
    let canvas = shown;
    if (shown instanceof HTMLImageElement) {
        await shown.decode();
        canvas = new OffscreenCanvas(shown.naturalWidth, shown.naturalHeight);
        canvas.getContext("2d").drawImage(shown, 0, 0);
    }
    const {width, height} = canvas, all = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let text = "";
    for (let at = 0; at < all.length; at += 32768)
        text += String.fromCharCode(...all.subarray(at, at + 32768));
    return [height, width, btoa(text)];
}"""
_VIEWPORT = "#viewerLayoutResizableViewportGridPanel"
_THUMBNAIL = "img[src^='blob:']"
_NEXT_DRAWING = "() => new Promise(requestAnimationFrame)"


def slice_of_ct(number: int) -> np.ndarray[Any, Any]:
    """A slice in HU: darker to the upper left, with a white bar whose height tells the number."""
    row, column = np.mgrid[:SIDE, :SIDE]
    values = LOW + (HIGH - LOW) * (column + row / 2) / (1.5 * SIDE)
    values[4 * number : 4 * number + 4] = HIGH
    return np.asarray(values.round())


def window(values: np.ndarray[Any, Any], low: float, high: float) -> np.ndarray[Any, Any]:
    """Grey levels of the screen."""
    return np.clip((values - low) * 255 / (high - low), 0, 255)


def frame_of_us(number: int) -> np.ndarray[Any, Any]:
    """A colour frame: red to the right, green downwards, a blue bar that tells the number."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    colours = np.stack([column * 1.5, row * 2, np.zeros_like(row)], axis=-1)
    colours[:, 30 * number : 30 * number + 10, 2] = 255
    return np.asarray(colours.astype(np.uint8))


MIDDLE = {"CT": (slice_of_ct(SLICES // 2), LOW, HIGH), "US": (frame_of_us(FRAMES // 2), 0, 255)}
"""The images that stand for the CT and the ultrasound clip, what is black in them and what is white."""


def ct() -> list[Stored]:
    """A CT of many slices."""
    study, series, frame = instances.uid(), instances.uid(), instances.uid()
    return [
        made(
            study,
            series,
            PatientName="Gradient^Carl",
            PatientID="C1",
            StudyDescription="A gradient",
            FrameOfReferenceUID=frame,
            InstanceNumber=number + 1,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, number],
            PixelSpacing=[1, 1],
            Rows=SIDE,
            Columns=SIDE,
            RescaleIntercept=-1024,
            RescaleSlope=1,
            WindowCenter=(LOW + HIGH) / 2,
            WindowWidth=HIGH - LOW,
            PixelData=(slice_of_ct(number) + 1024).astype("<u2").tobytes(),
        )
        for number in range(SLICES)
    ]


def us() -> Stored:
    """An ultrasound clip in colours, its frames in one instance."""
    return made(
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        PatientName="Clip^Ulla",
        PatientID="U1",
        Modality="US",
        NumberOfFrames=FRAMES,
        FrameTime=40,
        FrameIncrementPointer=0x00181063,
        Rows=ROWS,
        Columns=COLUMNS,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=b"".join(frame_of_us(number).tobytes() for number in range(FRAMES)),
    )


def packed(name: str) -> Stored:
    """A file that pydicom ships, under UIDs of its own; its pixels are left as they are encoded."""
    image = pydicom.dcmread(SHIPPED / f"MR_small_{name}.dcm")
    image.StudyInstanceUID, image.SeriesInstanceUID = instances.uid(), instances.uid()
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = instances.uid()
    image.PatientName, image.PatientID = f"Packed^{name}", name
    content = io.BytesIO()
    image.save_as(content)
    return Stored(image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID, content.getvalue())


@dataclass(frozen=True, slots=True)
class Viewer:
    """A running viewer with its service; what the browser asked for, of whomever, and with which answer."""

    url: str
    service: str
    browser: BrowserContext
    studies: dict[str, str]
    answers: list[tuple[str, int]] = field(default_factory=list)
    preflights: list[str] = field(default_factory=list)

    def page(self) -> Page:
        """A page of its own, which is listened to from now on."""
        self.answers.clear()
        self.preflights.clear()
        page = self.browser.new_page()
        page.on("response", lambda answer: self.answers.append((answer.url, answer.status)))
        session = self.browser.new_cdp_session(page)
        session.on("Network.requestWillBeSent", lambda event: self._sent(event))
        session.send("Network.enable")
        return page

    def _sent(self, event: dict[str, Any]) -> None:
        if event["request"]["method"] == "OPTIONS":
            self.preflights.append(event["request"]["url"])


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    """The viewer that `make viewer` starts, with the studies of this file and none else."""
    missing = _missing()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    slices, clip, files = ct(), us(), {name: packed(name) for name in PACKED}
    command = (sys.executable, "-m", "tools.viewer", "--port", "0")
    with (
        Azurite(tools=ROOT / TOOLS) as storage,
        served(command=command, **storage_settings(storage.connection_string)) as running,
        chromium.browser() as browser,
    ):
        assert running.process.stdout is not None
        url = running.process.stdout.readline().split()[-1]
        dicomweb.keep(running.url, *slices, clip)
        for file in files.values():  # one of them is stored with a warning
            assert dicomweb.post(f"{running.url}/studies", file.content).status_code in (200, 202)
        studies = {name: file.study for name, file in files.items()}
        yield Viewer(url, running.url, browser, {"CT": slices[0].study, "US": clip.study, **studies})


def _missing() -> str:
    if chromium.executable() is None:
        return "Chromium is not installed: apt-get install chromium"
    if not ((ROOT / site.FILES / "index.html").exists() and script(ROOT / TOOLS).exists()):
        return "OHIF or Azurite is not installed: run make setup"
    return ""


@pytest.fixture
def page(viewer: Viewer) -> Iterator[Page]:
    """A page of the viewer."""
    opened = viewer.page()
    yield opened
    opened.close()


def open_study(page: Page, viewer: Viewer, name: str) -> None:
    """Open a study as a link does, and wait until OHIF says that it shows its first image."""
    with page.expect_console_message(lambda message: message.text.startswith("studyToFirstImage")):
        page.goto(f"{viewer.url}viewer?StudyInstanceUIDs={viewer.studies[name]}")


def next_image(page: Page, position: str) -> None:
    """Go on by one image, and wait until the viewport says where it is."""
    page.keyboard.press("ArrowDown")
    page.get_by_text(f"({position})").wait_for()


def screen(page: Page) -> np.ndarray[Any, Any]:
    """What the viewport shows."""
    return pixels_of(page.locator(f"{_VIEWPORT} canvas.cornerstone-canvas"))


def pixels_of(shown: Locator) -> np.ndarray[Any, Any]:
    """What a canvas or an image shows, in its own size: rows, columns, red green blue."""
    height, width, text = shown.evaluate(_PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3].astype(float)


def differences(
    shown: np.ndarray[Any, Any], low: float, high: float, image: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """The differences between a viewport and the image that should fill it, enlarged bilinearly."""
    rows, columns = image.shape[:2]
    scale = min(shown.shape[0] / rows, shown.shape[1] / columns)
    places = []
    for on_screen, in_image in zip(shown.shape[:2], (rows, columns), strict=True):
        at = (np.arange(on_screen) + 0.5 - on_screen / 2) / scale + in_image / 2 - 0.5
        inside = (at >= 0) & (at <= in_image - 1)
        places.append((np.flatnonzero(inside), at[inside]))
    (lines, down), (points, right) = places
    colours = image.reshape(rows, columns, -1)
    enlarged = _between(_between(colours, down).swapaxes(0, 1), right).swapaxes(0, 1)
    return np.asarray(np.abs(shown[np.ix_(lines, points)] - window(enlarged, low, high)))


def _between(values: np.ndarray[Any, Any], at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values at fractional positions of the first axis."""
    first = np.minimum(at.astype(int), len(values) - 2)
    part = (at - first)[:, None, None]
    return np.asarray(values[first] * (1 - part) + values[first + 1] * part)


def expect_image(page: Page, tmp_path: Path, image: np.ndarray[Any, Any], low: float, high: float) -> None:
    """The viewport shows an image, now or within a few drawings; a screenshot is kept."""
    end = time.monotonic() + 20
    while (off := differences(screen(page), low, high, image).max()) > TOLERANCE and time.monotonic() < end:
        page.evaluate(_NEXT_DRAWING)
    page.screenshot(path=tmp_path / "viewer.png")
    assert off <= TOLERANCE, f"see {tmp_path / 'viewer.png'}"


def expect_thumbnail(
    page: Page, tmp_path: Path, image: np.ndarray[Any, Any], low: float, high: float
) -> None:
    """There is one thumbnail, and it shows an image, as JPEG does; a screenshot is kept."""
    expect(page.locator(_THUMBNAIL)).to_have_count(1, timeout=chromium.MILLISECONDS)
    off = differences(pixels_of(page.locator(_THUMBNAIL)), low, high, image).mean()
    page.screenshot(path=tmp_path / "viewer.png")
    assert off <= TOLERANCE_OF_JPEG, f"see {tmp_path / 'viewer.png'}"


def configure(page: Page, changes: dict[str, Any]) -> None:
    """Change what the viewer is told of its service."""

    def answer(route: Route) -> None:
        response = route.fetch()
        change = f"Object.assign(config.dataSources[0].configuration, {json.dumps(changes)});"
        route.fulfill(response=response, body=response.text() + change)

    page.route("**/app-config.js", answer)


def names(page: Page, count: int) -> set[str]:
    """The names in the study list, once it has so many studies; its first row holds the filters."""
    expect(page.locator("tbody tr")).to_have_count(count + 1, timeout=chromium.MILLISECONDS)
    return {name for name in page.locator("tbody td:first-child").all_inner_texts() if name.strip()}


def test_study_list(viewer: Viewer, page: Page, tmp_path: Path) -> None:
    """All studies are listed, with their names, and so many instances as they have."""
    page.goto(viewer.url)

    found = names(page, 2 + len(PACKED))

    page.screenshot(path=tmp_path / "list.png")
    assert found == {"Gradient, Carl", "Clip, Ulla", *(f"Packed, {name}" for name in PACKED)}
    row = page.locator("tbody tr", has_text="Gradient")
    assert row.inner_text().split() == ["Gradient,", "Carl", "31-Jan-2026", "CT", "A", "gradient", "60"]


def test_filter_by_name(viewer: Viewer, page: Page) -> None:
    """A part of a name, in any case, finds the patient: OHIF asks with wild cards and fuzzymatching."""
    page.goto(viewer.url)
    names(page, 2 + len(PACKED))

    with page.expect_response(lambda answer: "PatientName=*raDI*" in answer.url) as answer:
        page.locator("tbody input").first.fill("raDI")

    assert len(answer.value.json()) == 1
    assert names(page, 1) == {"Gradient, Carl"}


def test_filter_by_modality(viewer: Viewer, page: Page) -> None:
    """A modality finds the studies that have it."""
    page.goto(viewer.url)
    names(page, 2 + len(PACKED))

    page.locator("[aria-label='Filter Modalities']").click()
    with page.expect_response(lambda answer: "ModalitiesInStudy=US&" in answer.url) as answer:
        page.get_by_role("option", name="US").click()

    assert len(answer.value.json()) == 1
    assert names(page, 1) == {"Clip, Ulla"}


def test_filter_by_modalities(viewer: Viewer, page: Page) -> None:
    """Several modalities are alternatives."""
    with page.expect_response(lambda answer: "ModalitiesInStudy=CT%2CUS&" in answer.url) as answer:
        page.goto(f"{viewer.url}?modalities=CT,US")

    assert len(answer.value.json()) == 2
    assert names(page, 2) == {"Gradient, Carl", "Clip, Ulla"}


def test_ct(viewer: Viewer, page: Page, tmp_path: Path) -> None:
    """A CT opens at one end of its stack; scrolling shows the other slices, each pixel as it was stored."""
    open_study(page, viewer, "CT")

    expect_image(page, tmp_path, slice_of_ct(SLICES - 1), LOW, HIGH)
    for number in range(2, 32):
        next_image(page, f"{number}/{SLICES}")
    expect_image(page, tmp_path, slice_of_ct(SLICES - 31), LOW, HIGH)


def test_us(viewer: Viewer, page: Page, tmp_path: Path) -> None:
    """The frames of one instance are a stack too, in the order of their numbers and in their colours."""
    open_study(page, viewer, "US")

    expect_image(page, tmp_path, frame_of_us(0), 0, 255)
    for number in range(2, FRAMES + 1):
        next_image(page, f"{number}/{FRAMES}")
    expect_image(page, tmp_path, frame_of_us(FRAMES - 1), 0, 255)


@pytest.mark.parametrize("name", PACKED)
def test_packed(viewer: Viewer, page: Page, tmp_path: Path, name: str) -> None:
    """A frame is decoded by the transfer syntax that its part's Content-Type names (PS3.18 8.7.3.5)."""
    plain = pydicom.dcmread(SHIPPED / "MR_small.dcm")
    pixels = np.frombuffer(plain.PixelData, "<i2").reshape(plain.Rows, plain.Columns)
    low = plain.WindowCenter - plain.WindowWidth / 2

    open_study(page, viewer, name)

    expect_image(page, tmp_path, pixels, low, low + plain.WindowWidth)


@pytest.mark.parametrize(("name", "patient"), [("CT", "Gradient"), ("US", "Clip")], ids=["CT", "US"])
def test_thumbnail_in_list(viewer: Viewer, page: Page, tmp_path: Path, name: str, patient: str) -> None:
    """Whoever selects a study sees the middle image of its series, and no frame is read for it."""
    page.goto(viewer.url)

    page.locator("tbody tr", has_text=patient).click()

    expect_thumbnail(page, tmp_path, *MIDDLE[name])
    below = [url.partition(f"/studies/{viewer.studies[name]}/")[2] for url, _ in viewer.answers]
    asked = {urlsplit(path).path.rpartition("/")[2] for path in below if path}
    assert asked == {"series", "thumbnail"}


@pytest.mark.parametrize("name", ["CT", "US"])
def test_thumbnail_in_panel(viewer: Viewer, page: Page, tmp_path: Path, name: str) -> None:
    """Beside the viewport is the middle image too, whose instance OHIF names."""
    open_study(page, viewer, name)

    expect_thumbnail(page, tmp_path, *MIDDLE[name])


@pytest.mark.parametrize(
    ("syntax", "media_type", "quoted"),
    [
        (JPEGLSLossless, "image/jls", False),
        (JPEGLSLossless, "image/jls", True),
        (JPEG2000Lossless, "image/jp2", False),
        (RLELossless, "image/dicom-rle", False),
    ],
    ids=["JPEG-LS", "JPEG-LS, quoted", "JPEG 2000", "RLE"],
)
def test_requested_syntax(
    viewer: Viewer, page: Page, tmp_path: Path, syntax: str, media_type: str, quoted: bool
) -> None:
    """A viewer that is set to ask for a compression gets it, and shows each pixel as it was stored.

    With quotation marks the browser asks first whether it may ask.
    """
    configure(page, {"requestTransferSyntaxUID": syntax, "omitQuotationForMultipartRequest": not quoted})

    with page.expect_response(lambda answer: "/frames/" in answer.url) as answer:
        open_study(page, viewer, "CT")

    expect_image(page, tmp_path, slice_of_ct(SLICES - 1), LOW, HIGH)
    header = f"Content-Type: {media_type}; transfer-syntax={syntax}\r\n"
    assert header.encode() in answer.value.body()
    assert media_type in answer.value.request.headers["accept"]
    assert bool(viewer.preflights) == quoted


def test_requests(viewer: Viewer, page: Page) -> None:
    """Whatever is asked is answered, each frame by one request, and no one else is asked."""
    page.goto(viewer.url)
    with page.expect_console_message(lambda message: message.text.startswith("studyToFirstImage")):
        page.locator("tbody tr", has_text="Clip").dblclick()
    for number in range(2, FRAMES + 1):
        next_image(page, f"{number}/{FRAMES}")

    hosts = {urlsplit(url).netloc for url, _ in viewer.answers if not url.startswith("blob:")}
    frames = [url.rpartition("/frames/")[2] for url, _ in viewer.answers if "/frames/" in url]
    assert [one for one in viewer.answers if one[1] not in (200, 204, 304)] == []
    assert hosts == {urlsplit(viewer.url).netloc, urlsplit(viewer.service).netloc}
    assert viewer.preflights == []
    assert sorted(frames) == [str(number) for number in range(1, FRAMES + 1)]


def test_upload(viewer: Viewer, page: Page, tmp_path: Path) -> None:
    """A file that is given to OHIF is stored: it can be deleted."""
    one = made(PatientName="Uploaded^Ulf")
    (tmp_path / "one.dcm").write_bytes(one.content)
    page.goto(viewer.url)

    page.get_by_text("Upload", exact=True).click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "one.dcm")
    page.get_by_text("Completed!").wait_for()

    assert dicomweb.delete(f"{viewer.service}/studies/{one.study}").status_code == 204
