"""Records an instance: the row of the record that its bytes make, whoever read them."""

from __future__ import annotations

from dicom_core import attributes
from dicom_core.record import Instance
from dicom_core.representations import metadata
from dicom_core.representations.instances import Layout


def row(layout: Layout, *, partition: str, version: str, length: int, digest: str) -> Instance:
    """The row of an instance; `length` and `digest` (SHA-256 in hex) are those of its bytes."""
    header = layout.header
    return Instance(
        study=header.study,
        series=header.series,
        instance=header.instance,
        partition=partition,
        version=version,
        sop_class=header.sop_class,
        transfer_syntax=header.transfer_syntax,
        length=length,
        digest=digest,
        attributes=attributes.extract(header.dataset),
        header=metadata.pack(header.dataset),
        frames=layout.frames.to_bytes(),
        bulkdata=layout.bulkdata,
    )
