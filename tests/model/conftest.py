"""The product under the model check."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.model.product import explored


@pytest.fixture
def model(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.MonkeyPatch]:
    """The product as the model runs it; to patch it further."""
    caplog.set_level(logging.CRITICAL, logger="dicom")
    with explored() as patch:
        yield patch
