"""What an instance can be rendered to (PS3.18 8.7.2, 8.7.4), and documents and videos that are given as they are."""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass

from dicom_core.record import Dataset
from dicom_core.representations import metadata

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"

IMAGES = (JPEG, PNG, GIF)
"""Of one frame; of several, GIF is an animation of them all."""

DOCUMENT = "00420011"
"""The path of an encapsulated document in a record's bulk data."""

DOCUMENTS = {
    "1.2.840.10008.5.1.4.1.1.104.1": "application/pdf",
    "1.2.840.10008.5.1.4.1.1.104.2": "text/xml",
    "1.2.840.10008.5.1.4.1.1.104.3": "model/stl",
    "1.2.840.10008.5.1.4.1.1.104.4": "model/obj",
    "1.2.840.10008.5.1.4.1.1.104.5": "model/mtl",
}
"""The media type of an encapsulated document by its SOP class (PS3.3 A.45, A.85, A.104): what the document calls
itself is not passed on, since a browser would believe it."""

_MPEG2, _MPEG4, _HEVC = ("video/mpeg",), ("video/mp4",), ("video/H265", "video/mp4")
_CODECS = {
    **dict.fromkeys((100, 101), _MPEG2),
    **dict.fromkeys(range(102, 107), _MPEG4),
    **dict.fromkeys((107, 108), _HEVC),
}

VIDEOS = {
    f"1.2.840.10008.1.2.4.{number}{fragmentable}": types
    for number, types in _CODECS.items()
    for fragmentable in ("", ".1")
}
"""The media types of a video by its transfer syntax (PS3.18 Table 8.7.4-1, PS3.5 A.4)."""


def rendered_media_types(sop_class: str, transfer_syntax: str, frames: int) -> tuple[str, ...]:
    """The media types that an instance can be rendered to, the default first; none if it cannot be.

    Parameters
    ----------
    frames
        How many frames can be located: 0 without pixel data, or if they cannot be told apart.
    """
    if sop_class in DOCUMENTS:
        return (DOCUMENTS[sop_class],)
    if transfer_syntax in VIDEOS:
        return VIDEOS[transfer_syntax]
    return IMAGES if frames else ()


def thumbnail_media_types(sop_class: str, transfer_syntax: str, frames: int) -> tuple[str, ...]:
    """The media types of an instance's thumbnail, the default first; none if there can be no thumbnail."""
    is_image = sop_class not in DOCUMENTS and transfer_syntax not in VIDEOS and frames
    return IMAGES if is_image else ()


def reason(sop_class: str, transfer_syntax: str, *, thumbnail: bool = False) -> str:
    """Why there is no rendered representation: the text of a 406."""
    if thumbnail and (sop_class in DOCUMENTS or transfer_syntax in VIDEOS):
        return "there are thumbnails of images only, not of documents and videos"
    return f"instances of SOP class {sop_class} are not rendered, or this one has no frames that can be told apart"


@dataclass(frozen=True, slots=True)
class Document:
    """An encapsulated document (PS3.3 C.24.2).

    `content` is None if it is bulk data, to be read by the path `DOCUMENT`; `length` is how much of it counts.
    """

    content: bytes | None
    length: int | None


def document(dataset: Dataset) -> Document:
    """Find the document of a header; one of an odd length is padded, which its length says."""
    length = metadata.integer(dataset, "00420015") or None
    inline = dataset.get(DOCUMENT, {}).get("InlineBinary")
    return Document(a2b_base64(inline)[:length] if isinstance(inline, str) else None, length)
