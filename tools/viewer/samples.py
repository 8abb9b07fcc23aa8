"""A few studies to look at, from the files that come with pydicom."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pydicom

from tools.upload.__main__ import Options, upload
from tools.upload.outcomes import Summary

FILES = (
    "CT_small.dcm",
    "examples_jpeg2k.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)


async def store(service: str) -> None:
    """Store the samples if the service has no study.

    Raises
    ------
    aiohttp.ClientError
        The service cannot be asked what it has.
    Stop
        It takes nothing.
    """
    async with aiohttp.ClientSession() as session, session.get(f"{service}/studies?limit=1") as answer:
        answer.raise_for_status()
        if answer.status != 204:
            return
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    await upload(Options([str(folder / name) for name in FILES], service), Summary())
