"""Common aspects of DICOM Web Services (PS3.18 8): bytes and values, no I/O, no data sets."""
