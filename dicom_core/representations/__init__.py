"""Representations of a DICOM resource (PS3.18 8.6.2): bytes and values, no I/O, no headers."""
