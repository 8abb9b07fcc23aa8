"""Acceptable Media Types, and the one selected for each object (PS3.18 8.7).

An object is given in the transfer syntax it is stored with, or in one that it can be transcoded to. No transfer syntax
asked for means Explicit VR Little Endian, and `*` means as stored. There are two steps, since a request that can never
be satisfied is 406 even before its resource is looked up: `negotiate` the request, then `Acceptable.select` for each
stored object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from itertools import islice

from dicom_core.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from dicom_core.resources import is_uid
from dicom_core.web import headers
from dicom_core.web.messages import Request

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTET_STREAM = "application/octet-stream"
RELATED = "multipart/related"
ZIP = "application/zip"

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

COMPRESSED = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.4.100": "video/mpeg",
    "1.2.840.10008.1.2.4.100.1": "video/mpeg",
    "1.2.840.10008.1.2.4.101": "video/mpeg",
    "1.2.840.10008.1.2.4.101.1": "video/mpeg",
    "1.2.840.10008.1.2.4.102": "video/mp4",
    "1.2.840.10008.1.2.4.102.1": "video/mp4",
    "1.2.840.10008.1.2.4.103": "video/mp4",
    "1.2.840.10008.1.2.4.103.1": "video/mp4",
    "1.2.840.10008.1.2.4.104": "video/mp4",
    "1.2.840.10008.1.2.4.104.1": "video/mp4",
    "1.2.840.10008.1.2.4.105": "video/mp4",
    "1.2.840.10008.1.2.4.105.1": "video/mp4",
    "1.2.840.10008.1.2.4.106": "video/mp4",
    "1.2.840.10008.1.2.4.106.1": "video/mp4",
    "1.2.840.10008.1.2.4.107": "video/H265",
    "1.2.840.10008.1.2.4.108": "video/H265",
}
"""The media type of compressed pixel data by its transfer syntax (PS3.18 Table 8.7.3-4, 8.7.3-5)."""

DOCUMENTS = ("application/pdf", "text/xml", "model/stl", "model/obj", "model/mtl")
"""The media types an encapsulated document may have (PS3.3 C.24.2)."""

MAX_MEMBERS = 64
"""The members of an Accept list that are looked at; no client sends more than a dozen."""

MAX_ACCEPT = 4096
"""The characters of it that are looked at."""

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", re.ASCII)
_QUALITY = re.compile(r"0(\.[0-9]{0,9})?|1(\.0{0,9})?|\.[0-9]{1,9}")


class Category(Enum):
    """What is retrieved: the Resource Category decides which media types there are (PS3.18 8.7.2, 8.7.3)."""

    INSTANCES = "instances"
    FRAMES = "frames"
    BULKDATA = "bulk data"
    METADATA = "metadata"


_DEFAULT = {
    Category.INSTANCES: DICOM,
    Category.FRAMES: OCTET_STREAM,
    Category.BULKDATA: OCTET_STREAM,
    Category.METADATA: DICOM_JSON,
}


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One member of the Acceptable Media Types (PS3.18 8.7.4).

    `related` is the `type` parameter of multipart/related; no transfer syntax means that none was named.
    """

    type: str
    q: float = 1.0
    related: str | None = None
    transfer_syntaxes: tuple[str, ...] = ()

    @property
    def multipart(self) -> bool:
        """Only a multipart payload is meant."""
        return self.type in (RELATED, "multipart/*")

    @property
    def content(self) -> str:
        """What is meant of the media type of the content, alone or in the parts."""
        return (self.related or "*/*") if self.multipart else self.type

    @property
    def specificity(self) -> int:
        """How little the range leaves open (RFC 9110 12.5.1)."""
        return (not self.content.endswith("*")) + (self.type != "*/*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A Selected Media Type and Selected Transfer Syntax, for the payload or for a part of it."""

    media_type: str
    transfer_syntax: str | None
    multipart: bool
    transcoded: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the content: of the answer, or of a part if it is multipart.

        The UID has no quotes around it: viewers read it up to the next semicolon.
        """
        if self.transfer_syntax is None:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"


@dataclass(frozen=True, slots=True, eq=False)
class Acceptable:
    """The Acceptable Media Types of a request for one category; `single` if one part is all there is.

    Made by `negotiate`, once for each Accept header, and compared by identity: its selections are remembered.
    """

    ranges: tuple[MediaRange, ...]
    category: Category
    single: bool

    def select(
        self,
        transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
        *,
        targets: tuple[str, ...] = (),
        document: str | None = None,
    ) -> Offer:
        """Select the media type of an object by its stored transfer syntax (PS3.18 8.7.8.1).

        Parameters
        ----------
        transfer_syntax
            As stored; without meaning for metadata.
        targets
            The transfer syntaxes that it can be transcoded to, those that cost least first.
        document
            The media type of bulk data that is an encapsulated document.

        Raises
        ------
        NotAcceptable
            None of the ranges takes the object as it is stored, or transcoded.
        """
        offer = _best(self, transfer_syntax, targets, document)
        if offer is None:
            others = f"can be transcoded to {', '.join(targets)}" if targets else "is given in no other"
            raise NotAcceptable(
                f"Accept: what is stored with transfer syntax {transfer_syntax} {others}, and "
                f"nothing that was asked for takes it; {_default(self)}; transfer-syntax=* takes anything"
            )
        return offer


@dataclass(frozen=True, slots=True)
class StoreContent:
    """The payload of a Store request: multipart with its boundary, or one instance."""

    multipart: bool
    boundary: str | None


def acceptable(request: Request) -> tuple[MediaRange, ...]:
    """The Acceptable Media Types of a request, in their order (PS3.18 8.7.4).

    The query parameter `accept` wins over the header; without either, all media types are acceptable. Members
    that are malformed are left out; those with q=0 are in, since they exclude.
    """
    return _media_ranges(_accept(request))


def negotiate(request: Request, category: Category, *, single: bool) -> Acceptable:
    """Read the Acceptable Media Types of a request, before the resource is looked up.

    `single` says that one part would do: the target is one instance, or one frame. Metadata always are one.

    Raises
    ------
    NotAcceptable
        None of them could be given, whatever the resource is stored with.
    """
    return _negotiated(_accept(request), category, single)


def select_among(request: Request, offers: Sequence[Offer]) -> Offer:
    """Select among all that there is of a resource, the default first (PS3.18 8.7.8.1).

    A user agent that asks for a media type alone gets several objects of it as parts, if there is no other way.

    Raises
    ------
    NotAcceptable
        Nothing of it is acceptable.
    """
    ranges = acceptable(request)
    best = max(offers, key=lambda offer: _rank(ranges, offer))
    if not _rank(ranges, best)[0]:
        there_is = ", ".join(dict.fromkeys(offer.media_type for offer in offers))
        raise NotAcceptable(f"Accept: none of the media types asked for can be given; there is {there_is}")
    return best


def _rank(ranges: Iterable[MediaRange], offer: Offer) -> tuple[float, int]:
    """The q value of an offer, by the range that says most of it (RFC 9110 12.5.1), and how much that says."""
    fitting = [
        (media_range.specificity, media_range.q)
        for media_range in ranges
        if _covers(media_range.content, offer.media_type) and media_range.multipart <= offer.multipart
    ]
    specificity, q = max(fitting, default=(0, 0.0))
    return q, specificity


def related(media_type: str, boundary: str) -> str:
    """The Content-Type of a multipart answer with parts of a media type (PS3.18 8.7.1; RFC 2387)."""
    return f'{RELATED}; type="{media_type}"; boundary={boundary}'


def store_content(content_type: str | None) -> StoreContent:
    """Read the Content-Type of a Store request (PS3.18 10.5.1).

    Raises
    ------
    UnsupportedMediaType
        It is neither application/dicom nor multipart/related with that type.
    BadRequest
        There is no boundary, or a root part is named by `start`.
    """
    media_type, parameters = headers.parse_parameters(content_type or "")
    if media_type == DICOM:
        return StoreContent(multipart=False, boundary=None)
    if media_type != RELATED or (headers.first(parameters, "type") or "").lower() != DICOM:
        raise UnsupportedMediaType(f'Content-Type: Store takes {DICOM} and {RELATED}; type="{DICOM}"')
    if headers.first(parameters, "start") is not None:
        raise BadRequest("Content-Type: the parameter start is not supported, the parts are equals")
    boundary = headers.first(parameters, "boundary")
    if not boundary:
        raise BadRequest(f"Content-Type: {RELATED} without the parameter boundary")
    return StoreContent(multipart=True, boundary=boundary)


def part_is_dicom(fields: Mapping[str, str]) -> bool:
    """Say if a part of a Store request is an instance; without a Content-Type it has that of the payload."""
    content_type = fields.get("content-type")
    return not content_type or headers.parse_parameters(content_type)[0] == DICOM


def _accept(request: Request) -> str:
    parameter = ",".join(value for name, value in request.parameters if name == "accept")
    return (parameter or request.headers.get("accept", ""))[:MAX_ACCEPT]


@lru_cache(maxsize=256)
def _media_ranges(accept: str) -> tuple[MediaRange, ...]:
    members = headers.split_list(accept)[:MAX_MEMBERS] or ["*/*"]
    return tuple(media_range for member in members if (media_range := _media_range(member)))


def _media_range(member: str) -> MediaRange | None:
    """Read one member of the list, None if it is malformed."""
    media_type, parameters = headers.parse_parameters(member)
    media_type = _normal(media_type)
    content = headers.first(parameters, "type")
    if not _MEDIA_TYPE.fullmatch(media_type) or (content and not _MEDIA_TYPE.fullmatch(_normal(content))):
        return None
    q = headers.first(parameters, "q") or "1"
    return MediaRange(
        type=media_type,
        q=float(q) if _QUALITY.fullmatch(q) else 1.0,
        related=_normal(content) if content and media_type == RELATED else None,
        transfer_syntaxes=tuple(filter(None, headers.every(parameters, "transfer-syntax"))),
    )


def _normal(media_type: str) -> str:
    """Lower-case; in a query a bare + arrives as a space; some Java clients send * for */*."""
    return "*/*" if media_type == "*" else media_type.lower().replace(" ", "+")


@lru_cache(maxsize=256)
def _negotiated(accept: str, category: Category, single: bool) -> Acceptable:
    result = Acceptable(_media_ranges(accept), category, single)
    if not any(_best(result, syntax, (), document) for syntax, document in _conceivable(result)):
        alone = f", or {_DEFAULT[category]} alone" if single and category is not Category.METADATA else ""
        raise NotAcceptable(
            f"Accept: none of the media types asked for can be given for {category.value}; "
            f"there is {_default(result)}{alone}"
        )
    return result


def _default(acceptable: Acceptable) -> str:
    media_type = _DEFAULT[acceptable.category]
    return media_type if acceptable.category is Category.METADATA else f'{RELATED}; type="{media_type}"'


def _conceivable(acceptable: Acceptable) -> Iterator[tuple[str, str | None]]:
    """Whatever an object may be stored with, what a range names and no table knows included."""
    yield EXPLICIT_VR_LITTLE_ENDIAN, None
    yield from ((uid, None) for uid in COMPRESSED)
    for media_range in acceptable.ranges:
        yield from ((uid, None) for uid in islice(filter(is_uid, media_range.transfer_syntaxes), 1))
    yield from ((EXPLICIT_VR_LITTLE_ENDIAN, document) for document in DOCUMENTS)


@lru_cache(maxsize=1024)
def _best(
    acceptable: Acceptable, transfer_syntax: str, targets: tuple[str, ...], document: str | None
) -> Offer | None:
    """The offer of the highest rank, the first of equals; None if none is acceptable."""
    wanted = [media_range for media_range in acceptable.ranges if media_range.q]
    refused = [media_range for media_range in acceptable.ranges if not media_range.q]
    best, best_rank = None, (0.0, _Fit.NONE, 0)
    for offer in (*_offers(acceptable, transfer_syntax, document), *_transcoded(acceptable, targets)):
        for media_range in wanted:
            fit, specificity = _fit(media_range, offer), media_range.specificity
            rank = (media_range.q, fit, specificity)
            if fit and rank > best_rank and not _is_refused(offer, specificity, refused):
                best, best_rank = offer, rank
    return best


def _offers(acceptable: Acceptable, transfer_syntax: str, document: str | None) -> Iterator[Offer]:
    """What an object can be given as, in this service's order: multipart before single."""
    if acceptable.category is Category.METADATA:
        yield from (Offer(media_type, None, multipart=False) for media_type in (DICOM_JSON, JSON, DICOM_XML))
        yield Offer(DICOM_XML, None, multipart=True)
        return
    for multipart in (True, False) if acceptable.single else (True,):
        yield Offer(_DEFAULT[acceptable.category], transfer_syntax, multipart)
        if acceptable.category is not Category.INSTANCES and transfer_syntax in COMPRESSED:
            yield Offer(COMPRESSED[transfer_syntax], transfer_syntax, multipart)
        if acceptable.category is Category.BULKDATA and document and document.lower() in DOCUMENTS:
            yield Offer(document, None, multipart)
    if acceptable.category is Category.INSTANCES:
        yield Offer(ZIP, None, multipart=False)


def _transcoded(acceptable: Acceptable, targets: Iterable[str]) -> Iterator[Offer]:
    """What an object can be transcoded to: all of it, or its frames."""
    for multipart in (True, False) if acceptable.single else (True,):
        for target in targets:
            yield Offer(_DEFAULT[acceptable.category], target, multipart, transcoded=True)
            if acceptable.category is Category.FRAMES and target in COMPRESSED:
                yield Offer(COMPRESSED[target], target, multipart, transcoded=True)


class _Fit(IntEnum):
    """How well an offer fits a range, the better the higher."""

    NONE = 0
    INSTEAD = 1  # the range names a codec, and any transfer syntax besides
    STORED = 2  # Explicit VR Little Endian is meant, or another media type, and cannot be given
    EXACT = 3


def _fit(media_range: MediaRange, offer: Offer) -> _Fit:
    if media_range.type != "*/*" and media_range.multipart != offer.multipart:
        return _Fit.NONE
    syntaxes = media_range.transfer_syntaxes
    content = media_range.content
    if offer.media_type == ZIP and content != ZIP:  # for those who ask for it by its name
        return _Fit.NONE
    if offer.transcoded and "*" in syntaxes:  # which is: as stored
        return _Fit.NONE
    if not _covers(content, offer.media_type):
        # A viewer that prefers one codec adds transfer-syntax=* to it, and decodes what the part says it is.
        instead = offer.media_type == OCTET_STREAM and len(syntaxes) > 1 and "*" in syntaxes
        return _Fit.INSTEAD if instead and content.startswith(("image/", "video/")) else _Fit.NONE
    if offer.transfer_syntax is None or "*" in syntaxes or offer.transfer_syntax in syntaxes:
        return _Fit.EXACT
    if syntaxes:
        return _Fit.NONE
    if offer.media_type in (DICOM, OCTET_STREAM):
        if offer.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN:
            return _Fit.EXACT
        return _Fit.NONE if offer.transcoded else _Fit.STORED
    return _Fit.EXACT if content == offer.media_type.lower() else _Fit.STORED


def _covers(content: str, media_type: str) -> bool:
    media_type = media_type.lower()
    return content in ("*/*", media_type) or (content.endswith("/*") and media_type.startswith(content[:-1]))


def _is_refused(offer: Offer, specificity: int, refused: Iterable[MediaRange]) -> bool:
    """Say if a range with q=0 excludes the offer; the more specific range wins (RFC 9110 12.5.1)."""
    return any(z.specificity >= specificity and _fit(z, offer) > _Fit.INSTEAD for z in refused)
