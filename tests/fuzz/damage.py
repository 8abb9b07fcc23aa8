"""Damage to bytes: a few places changed, some cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
"""What draws a value: `draw` of hypothesis."""

PATCHES = (
    b"\xff\xff\xff\xff",
    b"\0\0",
    b"\0\x80",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ\0\0",
    b"\xff\xda",
    b"\xff\x51",
    b"\r\n--",
)
"""What readers look for: lengths, items and their ends, markers of codestreams, boundaries."""

_PATCH = st.one_of(st.sampled_from(PATCHES), st.binary(max_size=8))


def damaged(draw: Draw, content: bytes) -> bytes:
    """Some bytes, changed in up to five places, and perhaps cut."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(changed)))
        patch = draw(_PATCH)
        changed[at : at + draw(st.one_of(st.just(len(patch)), st.integers(0, 8)))] = patch
    cut = draw(st.integers(0, 4)) == 0
    return bytes(changed[: draw(st.integers(0, len(changed)))] if cut else changed)
