"""DICOM Functions: a DICOMweb service that runs as Azure Functions."""
