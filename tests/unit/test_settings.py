"""Settings that are wrong are named."""

from __future__ import annotations

import pytest

from dicom_core.settings import Settings, SettingsError

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}


@pytest.mark.parametrize("source", ["EventGrid", "LogsAndContainerScan"])
def test_blob_source(source: str) -> None:
    """A setting says how the host learns of new blobs; Event Grid is the only way of every plan."""
    assert Settings.from_environment(STORAGE).blob_source == "EventGrid"
    assert Settings.from_environment({**STORAGE, "DicomBlobSource": source}).blob_source == source


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DicomBlobSource", "eventgrid"),
        ("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "200 MB"),
        ("DicomRetentionHours", "0"),
        ("DicomRetentionHours", "0.5"),
        ("DicomRetentionHours", "-1"),
        ("DicomRetentionHours", "100000"),
    ],
)
def test_setting_that_is_malformed(name: str, value: str) -> None:
    """The service does not start, and says which setting is wrong."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**STORAGE, name: value})
