"""Parts of a stream (PS3.18 8.7.3.5)."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.representations import source
from dicom_core.representations.bulkdata import Inflater, Window
from dicom_core.representations.instances import InvalidInstance
from tests.unit.representations import samples


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 70))
def test_window_of_chunks(start: int, length: int, size: int) -> None:
    """A window gives its range of the stream, in whatever chunks it flows by."""
    content = bytes(range(50))
    window = Window(start, length)

    got = b"".join(window.feed(content[at : at + size]) for at in range(0, 50, size))

    assert got == content[start : start + length]
    assert window.complete == (start + length <= 50)


@pytest.mark.parametrize("size", [1, 7, 333, 100_000])
def test_inflater_of_a_deflated_instance(size: int) -> None:
    """What comes out is the data set that the offsets of a Layout count in (PS3.5 A.5)."""
    content = samples.named("image_dfl.dcm")
    path = next(path for path in samples.FILES if path.name == "image_dfl.dcm")
    start, length = samples.read(content).bulkdata["7FE00010"]
    inflater, window = Inflater(), Window(start, length)

    got = b"".join(
        window.feed(piece)
        for at in range(0, len(content), size)
        for piece in inflater.feed(content[at : at + size])
    )

    assert got == samples.oracle(path).PixelData


def test_inflater_of_what_is_not_deflated() -> None:
    """Bytes that cannot be inflated are refused."""
    with pytest.raises(InvalidInstance, match="cannot be inflated"):
        list(Inflater().feed(samples.instance(b"\xff" * 100)))


def test_inflater_of_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    """What inflates to more than the longest data set is refused when it is reached."""
    monkeypatch.setattr(source, "MAX_INFLATED", 3 << 20)
    pieces = Inflater().feed(samples.deflated(bytes(4 << 20)))

    assert sum(len(next(pieces)) for _ in range(3)) == 3 << 20
    with pytest.raises(InvalidInstance, match="inflates to more than 3145728 bytes"):
        next(pieces)


def test_inflater_of_the_longest_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound itself is allowed; bytes behind the end of the deflated stream are passed over."""
    monkeypatch.setattr(source, "MAX_INFLATED", 4 << 20)
    content = samples.deflated(bytes(4 << 20)) + bytes(range(256)) * 300
    inflater = Inflater()

    pieces = [piece for part in (content[:1000], content[1000:]) for piece in inflater.feed(part)]

    assert b"".join(pieces) == bytes(4 << 20)
    assert max(map(len, pieces)) <= 1 << 20


@pytest.mark.parametrize("level", [0, 9])
def test_inflate_of_a_large_chunk(level: int) -> None:
    """The pieces are those of the data, however many are in a chunk."""
    data = bytes(range(256)) * (3 << 12)
    compressor = zlib.compressobj(level, wbits=-15)

    pieces = list(source.Inflate().feed(compressor.compress(data) + compressor.flush()))

    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1 << 20
