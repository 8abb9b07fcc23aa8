"""Data sets (PS3.5 7): pydicom's generator reads the elements, this walks the nesting and waits for bytes.

`pydicom.filereader.data_element_generator` decides where elements begin and end and what VR they are written with. It
runs over what has arrived, at one level of nesting at a time; what it stops at (sequences, delimiters, values too
large to keep, undefined lengths) is handled here. An element that has not arrived whole is read again when it has.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable

from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.filereader import data_element_generator
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_core.representations import charsets, frames, metadata
from dicom_core.representations.levels import Ambiguous, Context, Level
from dicom_core.representations.source import ELEMENT, Steps

LARGE = 64 << 10
"""Values up to this length are read; larger ones are only located, texts and numbers excepted."""

MAX_DEPTH = 64
"""The deepest nesting of sequences that is read."""

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET = 0x00080005
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002

_STOPS = frozenset({ITEM, SEQUENCE_END, CHARACTER_SET})
TOP_STOPS = _STOPS | {0, EXTENDED_OFFSETS, EXTENDED_LENGTHS}
LONG = frozenset(vr.value for vr in EXPLICIT_VR_LENGTH_32)
_REMEMBERED = 20_000


class _Keys(dict[int, str]):
    """Tag → its 8 hex digits, remembered."""

    def __missing__(self, tag: int) -> str:
        key = f"{tag:08X}"
        if len(self) < _REMEMBERED:
            self[tag] = key
        return key


class _Dictionary(dict[int, str]):
    """Tag → the VR of the data dictionary (PS3.6), remembered; empty for tags that it does not have."""

    def __missing__(self, tag: int) -> str:
        try:
            vr = str(dictionary_VR(tag))
        except KeyError:
            vr = ""
        if len(self) < _REMEMBERED:
            self[tag] = vr
        return vr


class _PrivateDictionary(dict[tuple[int, str], str]):
    """(Tag, private creator) → the VR of pydicom's private dictionary, remembered; UN where it has none."""

    def __missing__(self, name: tuple[int, str]) -> str:
        try:
            vr = str(private_dictionary_VR(*name))
        except KeyError:
            vr = "UN"
        if len(self) < _REMEMBERED:
            self[name] = vr
        return vr


KEYS, DICTIONARY, PRIVATE = _Keys(), _Dictionary(), _PrivateDictionary()


def stop_at(context: Context, tags: Iterable[int] = ()) -> Callable[[int, str | None, int], bool]:
    """What pydicom's generator stops at in a data set, or in an item of one."""
    stops = frozenset(tags)

    def stop(tag: int, vr: str | None, length: int) -> bool:
        if length > LARGE or tag in stops:
            context.stopped = (tag | 0, vr, length)  # an int: pydicom's tags compare in Python
            return True
        return False

    return stop


def stop_outside(context: Context, group: int) -> Callable[[int, str | None, int], bool]:
    """What pydicom's generator stops at in the elements of one group."""

    def stop(tag: int, vr: str | None, length: int) -> bool:
        if tag >> 16 != group or length > LARGE:
            context.stopped = (tag | 0, vr, length)
            return True
        return False

    return stop


def is_implicit(head: bytes, offset: int, *, declared: bool, nested: bool) -> bool:
    """Say if a data set is really written with implicit VR, as pydicom finds it out.

    The two bytes behind the first tag are letters only if they are a VR. An item may be implicit in an explicit data
    set (PS3.5 6.2.2), not the other way round.
    """
    if nested and declared:
        return True
    vr = head[offset + 4 : offset + 6]
    return declared if len(vr) < 2 else not (0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B)


def resolve(tag: int, vr: str | None, length: int, level: Level) -> str:
    """The VR of an element that is written without one, or as UN (PS3.5 6.2.2)."""
    if vr is None and (known := DICTIONARY[tag]):
        return known
    if tag & 0x10000:
        return _private_vr(tag, level)
    if vr is None:
        return "UL" if tag & 0xFFFF == 0 else "UN"
    return (DICTIONARY[tag] if length < 0xFFFF else "") or "UN"


def _private_vr(tag: int, level: Level) -> str:
    """The VR of a private element by its private creator, as pydicom finds it (PS3.5 7.8)."""
    number = tag & 0xFFFF
    if 0x10 <= number < 0x100:
        return "LO"
    creator = metadata.text(level.dataset, KEYS[tag & 0xFFFF0000 | number >> 8]) if number & 0xFF00 else ""
    return PRIVATE[tag, creator] if creator else "UN"


def read(level: Level, end: int, stop: Callable[[int, str | None, int], bool]) -> Steps[None]:
    """Read elements into the level's data set: up to an offset, its delimiter, a tag of `until`, or the end.

    `context.stopped` holds the element that it ended at, if that is one of `until`.
    """
    context, source = level.context, level.context.source
    while True:
        if source.position + 8 > end:
            source.skip(max(0, end - source.position))
            return
        if source.end - source.position < 8 and not (yield from _another(level)):
            context.stopped = None
            return
        short, sequence = _run(level, end, stop)
        if sequence is not None:
            yield from _sequence(level, *sequence)
        elif short:
            yield from source.keep(short)
        elif source.position + 8 > end:
            continue
        elif context.stopped is None:
            if _at_item_end(level):
                return
        elif level.until(context.stopped[0]):
            source.check()
            return
        elif (yield from _stopped(level, *context.stopped)):
            return


def _run(
    level: Level, end: int, stop: Callable[[int, str | None, int], bool]
) -> tuple[int, tuple[str, int] | None]:
    """Read those elements that have arrived.

    Gives how many bytes the next element needs, or the tag and length of the sequence whose value is next; neither
    where pydicom's generator ended by itself, at what `context.stopped` holds if it was stopped.
    """
    context, dataset = level.context, level.dataset
    source, known = context.source, len(dataset)
    encoders, unknown = metadata.ENCODERS[context.little], metadata.unknown_vr
    keys = KEYS
    context.stopped = None
    base = source.start
    at = source.position - base
    room = end - base
    short, sequence = 0, None
    file = source.file
    file.seek(at)
    try:
        for tag, vr, length, value, tell, _, _, _, _ in data_element_generator(
            file, level.implicit, context.little, stop
        ):
            number = tag | 0
            key = keys[number]
            if tell + length > room and base + tell + length > level.limit:
                length = max(0, level.limit - base - tell)  # as pydicom: a sequence's own length counts
                value = value[:length] if value else value
            if vr is None or vr == "UN":
                vr = resolve(number, vr, length, level)
            if vr == "SQ":
                sequence, at = (key, length), tell
                break
            if not length:
                value = b""
            elif len(value) < length:
                short = tell + length - at
                source.inside = name(key)
                break
            dataset[key] = encoders.get(vr, unknown)(value, level, key, base + tell)
            at = tell + length
            if at + 8 > room:
                break
    except struct.error:
        short = 12
        source.inside = f"the element at byte {base + at}"
    source.position = base + at
    source.objects += (len(dataset) - known) * ELEMENT
    return short, sequence


def name(key: str) -> str:
    """A tag as error texts spell it."""
    return f"({key[:4]},{key[4:]})"


def _another(level: Level) -> Steps[bool]:
    """Wait for the next element's tag; False at the end of the bytes, which may be padded."""
    source = level.context.source
    source.check()
    if (yield from source.available(8)):
        return True
    rest = source.data[source.position - source.start :]
    if level.parent is None and not rest.strip(b"\0 \r\n"):
        return False
    inside = f"a sequence item of {name(level.top)}" if level.parent is not None else "an element's tag"
    raise source.invalid(f"ends at byte {source.end} inside {inside}")


def _at_item_end(level: Level) -> bool:
    """Say if pydicom's generator ended at the delimiter of the item, and go on behind it."""
    source = level.context.source
    order = "<HH" if level.context.little else ">HH"
    at = source.position - source.start
    if len(source.data) - at < 8:
        return False
    group, element = struct.unpack_from(order, source.data, at)
    if group << 16 | element != ITEM_END:
        return False
    if level.parent is None:
        raise source.invalid(f"has an item delimiter outside of a sequence at byte {source.position}")
    source.position += 8
    return True


def _stopped(level: Level, tag: int, vr: str | None, length: int) -> Steps[bool]:
    """Read the element that pydicom's generator was stopped at; says if it ends the level."""
    context, source, key = level.context, level.context.source, KEYS[tag]
    source.inside = name(key)
    source.objects += ELEMENT
    if tag in (ITEM, SEQUENCE_END):
        return _lacks_delimiter(level, tag, length)
    if tag == 0 and not length:
        source.position += 8  # zeros to fill the file
        return False
    header = 12 if vr in LONG and not level.implicit else 8
    if length > LARGE and source.position + header + length > level.limit and length != UNDEFINED:
        length = max(0, level.limit - source.position - header)
    kind = yield from _kind(level, tag, vr, length, header)
    if kind == "SQ":
        source.position += header
        yield from _sequence(level, key, length)
    elif length == UNDEFINED:
        source.position += header
        yield from _fragments(level, key, kind)
    elif length > LARGE and kind not in _KEPT and tag not in (EXTENDED_OFFSETS, EXTENDED_LENGTHS):
        source.position += header
        yield from _large(level, key, kind, length)
    else:
        yield from source.keep(header + length)
        at = source.position - source.start + header
        value = source.data[at : at + length]
        if tag == CHARACTER_SET:
            level.encodings, good = charsets.encodings(value)
            if not good:
                level.problem(key, "a character set that does not exist")
        elif tag in (EXTENDED_OFFSETS, EXTENDED_LENGTHS):
            context.raw[tag] = value
        encode = metadata.ENCODERS[context.little].get(kind, metadata.unknown_vr)
        level.dataset[key] = encode(value, level, key, source.position + header)
        source.position += header + length
    return False


_KEPT = frozenset(metadata.ENCODERS[True]) - metadata.BINARY - set(metadata.AMBIGUOUS) | {"US or SS"}


def _lacks_delimiter(level: Level, tag: int, length: int) -> bool:
    """An item that ends where the next one, or the end of its sequence, begins; outside of sequences padding."""
    source = level.context.source
    if level.parent is not None:
        return True
    if length or tag == ITEM:
        raise source.invalid(f"has {source.inside} outside of a sequence at byte {source.position}")
    source.position += 8
    return False


def _kind(level: Level, tag: int, vr: str | None, length: int, header: int) -> Steps[str]:
    """The VR of an element that pydicom's generator was stopped at; undefined length makes unknown ones SQ."""
    if vr is not None and vr != "UN":
        return vr
    if length != UNDEFINED:
        return resolve(tag, vr, length, level)
    if vr == "UN":
        return "SQ"
    if known := DICTIONARY[tag]:
        return known
    source = level.context.source
    yield from source.more(header + 4)
    order = "<HH" if level.context.little else ">HH"
    group, element = struct.unpack_from(order, source.data, source.position - source.start + header)
    return "SQ" if group << 16 | element == ITEM else "UN"


def _large(level: Level, key: str, vr: str, length: int) -> Steps[None]:
    """Locate a value, and let it flow by."""
    source = level.context.source
    offset = source.position
    if vr not in metadata.AMBIGUOUS:
        vr = vr if vr in metadata.BINARY else "UN"
        level.dataset[key] = level.locate(key, vr, offset, length)
    else:
        level.dataset[key] = element = {"vr": vr}
        pending = Ambiguous(element, level, key, vr, offset, length, None)
        level.context.ambiguous.append(pending)
    source.skip(length)
    yield from source.more(0)


def _fragments(level: Level, key: str, vr: str) -> Steps[None]:
    """Locate a value of undefined length that is no sequence (PS3.5 A.4), such as the pixels of an icon."""
    source = level.context.source
    fragments = yield from frames.scan(source, little=level.context.little)
    if fragments.lost:
        raise source.invalid(f"has something else than an item in {source.inside} at byte {source.position}")
    vr = vr if vr in metadata.BINARY else "OB"
    level.dataset[key] = level.locate(key, vr, fragments.start, fragments.end - fragments.start)


def _sequence(level: Level, key: str, length: int) -> Steps[None]:
    """Read the items of a sequence (PS3.5 7.5), whose value begins at the position."""
    context, source = level.context, level.context.source
    if level.depth >= MAX_DEPTH:
        raise source.invalid(f"nests sequences deeper than {MAX_DEPTH} at byte {source.position}")
    unpack = struct.Struct("<HHL" if context.little else ">HHL").unpack_from
    stop = stop_at(context, _STOPS)
    limit = level.limit if length == UNDEFINED else min(source.position + length, level.limit)
    end = sys.maxsize if length == UNDEFINED else limit
    items: list[dict[str, object]] = []
    source.objects += ELEMENT
    while source.position + 8 <= end:
        if source.end - source.position < 8:
            source.inside = name(key)
            yield from source.keep(8)
        group, element, size = unpack(source.data, source.position - source.start)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            source.position += 8
            break
        if tag != ITEM:
            if length == UNDEFINED:
                raise source.invalid(f"has no item at byte {source.position} of the sequence {name(key)}")
            level.problem(key, "a sequence with something else than items")
            if not items:
                yield from _no_sequence(level, key, end - source.position)
                return
            break
        source.position += 8
        item_end = sys.maxsize if size == UNDEFINED else source.position + size
        source.count(ELEMENT)
        item = level.item(key, len(items) + 1, limit, implicit=True)
        items.append(item.dataset)
        if size:
            if source.end - source.position < 6:
                source.inside = name(key)
                yield from source.more(6)
            head = source.position - source.start
            item.implicit = is_implicit(source.data, head, declared=level.implicit, nested=True)
            yield from read(item, min(item_end, limit), stop)
    if length != UNDEFINED and source.position < end:
        source.skip(end - source.position)
    level.dataset[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _no_sequence(level: Level, key: str, length: int) -> Steps[None]:
    """Take a value that is no sequence as VR UN."""
    source = level.context.source
    source.inside = name(key)
    if length > metadata.INLINE:
        yield from _large(level, key, "UN", length)
        return
    yield from source.keep(length)
    at = source.position - source.start
    level.dataset[key] = metadata.opaque(source.data[at : at + length], level, key, source.position)
    source.position += length
