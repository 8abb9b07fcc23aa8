"""Stores folders of files through any DICOMweb service, many at a time (PS3.18 10.5)."""
