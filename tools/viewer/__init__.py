"""Serves the OHIF viewer, as it is published, for a DICOMweb service.

`tools/setup.sh viewer` installs it. Pages and service are of different origins, as they are in most deployments:
what works here does not lean on a proxy.
"""
