"""Small batches, and actors without clock or chance."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from dicom_core.storage import rows
from tests.model import product
from tests.model.processes import controlled


@pytest.fixture
def model(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.MonkeyPatch]:
    """The product as the model runs it; to patch it further."""
    caplog.set_level(logging.CRITICAL, logger="dicom")
    gc.disable()  # all that is made is kept to the end
    try:
        with controlled() as patch:
            patch.setattr(rows, "INSTANCES_AT_ONCE", product.AT_ONCE)
            yield patch
    finally:
        gc.enable()
