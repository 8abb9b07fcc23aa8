"""Images made for rendering, and what comes of them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from dicom_core.record import Dataset
from dicom_core.rendition import Rendition
from dicom_core.representations import frames, rendering
from dicom_core.representations.rendering import Source
from tests.unit.representations import samples

EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
PLAIN = Rendition()


def header(
    rows: int,
    columns: int,
    *,
    bits: int = 8,
    allocated: int | None = None,
    high_bit: int | None = None,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    samples_per_pixel: int = 1,
    **elements: tuple[str, Any],
) -> Dataset:
    """The DICOM JSON of an image; further elements are given by tag, as `x00281050=("DS", [40])`."""
    allocated = allocated or (1 if bits == 1 else (bits + 7) // 8 * 8)
    dataset = {
        "00280002": element("US", samples_per_pixel),
        "00280004": element("CS", photometric),
        "00280010": element("US", rows),
        "00280011": element("US", columns),
        "00280100": element("US", allocated),
        "00280101": element("US", bits),
        "00280102": element("US", bits - 1 if high_bit is None else high_bit),
        "00280103": element("US", int(signed)),
    }
    return dataset | {tag[1:]: element(vr, *values(value)) for tag, (vr, value) in elements.items()}


def element(vr: str, *content: Any) -> dict[str, Any]:
    """An element; bytes are an inline binary."""
    if len(content) == 1 and isinstance(content[0], bytes):
        return {"vr": vr, "InlineBinary": base64.b64encode(content[0]).decode()}
    return {"vr": vr, "Value": list(content)}


def values(value: Any) -> Sequence[Any]:
    """One or more values as a sequence."""
    return value if isinstance(value, list | tuple) else (value,)


def lut(first: int, bits: int, entries: Iterable[int]) -> dict[str, Any]:
    """The item of a lookup table sequence, its entries in words."""
    listed = list(entries)
    return {
        "00283002": element("US", len(listed) % 0x10000, first, bits),
        "00283006": element("OW", struct.pack(f"<{len(listed)}H", *listed)),
    }


def pixels(dtype: str, *numbers: int | float) -> bytes:
    """Stored values as bytes."""
    return np.array(numbers, dtype).tobytes()


def rendered(
    dataset: Dataset,
    content: bytes,
    rendition: Rendition = PLAIN,
    *,
    number: int = 1,
    transfer_syntax: str = EXPLICIT,
    media_type: str = "image/png",
    bulk: Mapping[str, bytes] | None = None,
) -> NDArray[np.uint8]:
    """The pixels that come of a frame."""
    source = Source(dataset, transfer_syntax, bulk or {})
    return opened(rendering.render(source, (number, content), rendition, media_type))


def opened(content: bytes) -> NDArray[np.uint8]:
    """The pixels of an encoded image."""
    with Pillow.open(BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)


def gray(dataset: Dataset, content: bytes, rendition: Rendition = PLAIN, **options: Any) -> list[int]:
    """The gray levels that come of a frame, in one row."""
    result = rendered(dataset, content, rendition, **options)
    assert result.ndim == 2
    return [int(level) for level in result.reshape(-1)]


def colors(dataset: Dataset, content: bytes, rendition: Rendition = PLAIN, **options: Any) -> list[list[int]]:
    """The colors that come of a frame, in one row."""
    result = rendered(dataset, content, rendition, **options)
    assert result.ndim == 3
    return [[int(level) for level in color] for color in result.reshape(-1, 3)]


def frame_of(path: Path, number: int = 1) -> tuple[Source, bytes]:
    """What a frame of a file is rendered from, as a transaction would read it."""
    data = path.read_bytes()
    layout = samples.read(data)
    dataset, table = layout.header.dataset, layout.frames
    content = b"".join(data[start : start + length] for start, length in table.locate(number))
    if not table.aligned:
        content = frames.cut_bits(content, table.shift(number), table.bits)
    located = {name: layout.bulkdata[name] for name in rendering.values(dataset, [number], PLAIN)}
    read = {name: data[start : start + length] for name, (start, length) in located.items()}
    return Source(dataset, layout.header.transfer_syntax, read), content
