"""CT images made in memory, with as many attributes as a scanner writes, and a chest in noise as their pixels.

One file is encoded by pydicom; the others are that file with other UIDs and positions of the same length.
"""

from __future__ import annotations

import functools
import io
import random
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless

HUGE = 2048
"""Rows and columns of an image of 8 MiB, as a radiograph has."""

LARGE = 512
"""Rows and columns of an image of 0.5 MiB."""

SMALL = 64
"""Rows and columns of an image of 12 KiB."""

_TISSUES = (
    (0.00, 0.05, 0.90, 0.65, 40),
    (-0.40, 0.00, 0.30, 0.42, -850),
    (0.40, 0.00, 0.30, 0.42, -850),
    (0.08, -0.05, 0.20, 0.25, 55),
    (0.00, 0.45, 0.12, 0.14, 450),
)
"""Ellipses, each drawn over those before it: middle and half axes (of an image from -1 to 1), Hounsfield units."""

_AIR, _NOISE = -1000, 15

_UID = "2.25.1{kind}{number:035d}"
_POSITION = "{:09.3f}"
_NUMBER = "{:05d}"
_PLACE = 99999
"""The number in the encoded file, which other numbers replace."""

_IDENTIFICATION = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
    "InstanceCreationDate": "20260131",
    "InstanceCreationTime": "101502.343000",
    "InstanceCreatorUID": "1.3.12.2.1107.5.1.4",
    "SOPClassUID": CTImageStorage,
    "StudyDate": "20260131",
    "SeriesDate": "20260131",
    "AcquisitionDate": "20260131",
    "ContentDate": "20260131",
    "AcquisitionDateTime": "20260131101455.781000",
    "StudyTime": "100941.250000",
    "SeriesTime": "101433.671000",
    "AcquisitionTime": "101455.781000",
    "ContentTime": "101455.781000",
    "AccessionNumber": "A0012345678",
    "Modality": "CT",
    "Manufacturer": "EXAMPLE MEDICAL",
    "InstitutionName": "General Hospital",
    "InstitutionAddress": "1 Main Street, Springfield",
    "ReferringPhysicianName": "House^Gregory^^Dr.",
    "TimezoneOffsetFromUTC": "+0100",
    "StationName": "CT71234",
    "StudyDescription": "Thorax^1_Routine (Adult)",
    "SeriesDescription": "Thorax 1.0 B70f",
    "InstitutionalDepartmentName": "Radiology",
    "PhysiciansOfRecord": "Wilson^James",
    "PerformingPhysicianName": "Chase^Robert",
    "OperatorsName": "Tech^One",
    "ManufacturerModelName": "Sensation 64",
    "IrradiationEventUID": "1.3.12.2.1107.5.1.4.55555.30000026013110095000000000001",
    "PatientName": "Doe^Jane^Mary",
    "PatientID": "PID-000123456",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19620417",
    "PatientSex": "F",
    "OtherPatientIDs": ["AX-2231", "BN-99120"],
    "PatientAge": "063Y",
    "PatientSize": "1.68",
    "PatientWeight": "71.5",
    "EthnicGroup": "unknown",
    "PregnancyStatus": 4,
    "AdditionalPatientHistory": "Cough for six weeks, rule out infiltrate",
    "PatientComments": "none",
}
_ACQUISITION = {
    "ContrastBolusAgent": "Iopamidol 300",
    "BodyPartExamined": "CHEST",
    "ScanOptions": "HELICAL MODE",
    "SliceThickness": "1.0",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "DeviceSerialNumber": "55555",
    "SoftwareVersions": "syngo CT 2012B",
    "ProtocolName": "1_Thorax_Routine",
    "ContrastBolusRoute": "IV",
    "ContrastBolusVolume": "80",
    "ContrastBolusTotalDose": "80",
    "ReconstructionDiameter": "350",
    "DistanceSourceToDetector": "1040",
    "DistanceSourceToPatient": "570",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "211",
    "Exposure": "150",
    "FilterType": "0",
    "GeneratorPower": "25",
    "FocalSpots": "1.2",
    "DateOfLastCalibration": "20260130",
    "TimeOfLastCalibration": "070512.000000",
    "ConvolutionKernel": "B70f",
    "PatientPosition": "HFS",
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 19.2,
    "TableSpeed": 38.4,
    "TableFeedPerRotation": 19.2,
    "SpiralPitchFactor": 1.0,
    "ExposureModulationType": "XYZ_EC",
    "CTDIvol": 10.14,
    "EstimatedDoseSaving": 22.5,
}
_RELATION = {
    "StudyID": "1",
    "SeriesNumber": "4",
    "AcquisitionNumber": "2",
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "FrameOfReferenceUID": "1.3.12.2.1107.5.1.4.55555.30000026013110095000000000002",
    "PositionReferenceIndicator": "XY",
    "ImageComments": "reconstructed from the raw data",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelSpacing": ["0.68359375", "0.68359375"],
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 2303,
    "WindowCenter": ["50", "-600"],
    "WindowWidth": ["350", "1200"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"],
    "RequestingPhysician": "Cuddy^Lisa",
    "RequestedProcedureDescription": "CT Thorax with contrast",
    "PerformedStationAETitle": "CT71234",
    "PerformedProcedureStepStartDate": "20260131",
    "PerformedProcedureStepStartTime": "100941.250000",
    "PerformedProcedureStepID": "PPS-7781",
    "PerformedProcedureStepDescription": "Thorax routine",
    "RequestedProcedureID": "RP-7781",
}
_CODES = {
    "ProcedureCodeSequence": ("24627-2", "LN", "CT Chest"),
    "AnatomicRegionSequence": ("51185008", "SCT", "Chest"),
    "ContrastBolusAgentSequence": ("109219", "DCM", "Iopamidol"),
}


@dataclass(frozen=True, slots=True)
class Image:
    """One PS3.10 file: all before the pixels, and the pixels, which many images share."""

    study: str
    series: str
    instance: str
    head: bytes
    pixels: bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.head) + len(self.pixels)


def uid(kind: int, number: int) -> str:
    """A UID for a study (1), series (2) or instance (3); all are of the same length."""
    return _UID.format(kind=kind, number=number)


def image(side: int, study: int, number: int, frames: int = 1, *, compressed: bool = False) -> Image:
    """The image of a number (below 1000) in the only series of the study of a number; compressed by JPEG 2000."""
    head, pixels = _file(side, frames, compressed)
    ours = (uid(1, study), uid(2, study), uid(3, study * 1000 + number))
    for kind, value in enumerate(ours, 1):
        head = head.replace(uid(kind, _PLACE).encode(), value.encode())
    head = head.replace(_POSITION.format(_PLACE).encode(), _POSITION.format(number * 1.0).encode())
    head = head.replace(_NUMBER.format(_PLACE).encode(), _NUMBER.format(number).encode())
    return Image(*ours, head, pixels)


@functools.cache
def _file(side: int, frames: int, compressed: bool) -> tuple[bytes, bytes]:
    """The file that all are made from, cut before the value of Pixel Data."""
    dataset = _dataset()
    dataset.Rows = dataset.Columns = side
    if frames > 1:
        dataset.NumberOfFrames = frames
    samples = chest(side)
    if compressed:
        frame = imagecodecs.jpeg2k_encode(samples, reversible=True, codecformat="j2k", bitspersample=12)
        pixels = encapsulate([frame] * frames)
    else:
        pixels = samples.tobytes() * frames
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB" if compressed else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless if compressed else ExplicitVRLittleEndian
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    file = content.getvalue()
    start = file.rindex(pixels)
    return file[:start], file[start:]


def chest(side: int) -> npt.NDArray[np.uint16]:
    """A slice of a chest, 12 bits stored: how large it is compressed, and how long that takes, is as of patients."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    units = np.full((side, side), float(_AIR))
    for middle_x, middle_y, half_x, half_y, value in _TISSUES:
        units[((x - middle_x) / half_x) ** 2 + ((y - middle_y) / half_y) ** 2 <= 1] = value
    units += np.random.default_rng(7).normal(0, _NOISE, units.shape)
    stored: npt.NDArray[np.uint16] = np.clip(units + 1024, 0, 4095).astype("<u2")
    return stored


def _dataset() -> Dataset:
    dataset = Dataset()
    for keyword, value in (_IDENTIFICATION | _ACQUISITION | _RELATION).items():
        setattr(dataset, keyword, value)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(1, _PLACE), uid(2, _PLACE)
    dataset.SOPInstanceUID = uid(3, _PLACE)
    dataset.InstanceNumber = _NUMBER.format(_PLACE)
    dataset.SliceLocation = _POSITION.format(_PLACE)
    dataset.ImagePositionPatient = ["-174.65820", "-324.65820", _POSITION.format(_PLACE)]
    for keyword, code in _CODES.items():
        setattr(dataset, keyword, Sequence([_code(*code)]))
    dataset.ReferencedStudySequence = Sequence([_reference("1.2.840.10008.3.1.2.3.1", 1)])
    dataset.ReferencedImageSequence = Sequence([_reference(CTImageStorage, number) for number in (2, 3)])
    request = Dataset()
    request.RequestedProcedureID = "RP-7781"
    request.ScheduledProcedureStepID = "SPS-7781"
    request.ScheduledProcedureStepDescription = "CT Thorax with contrast"
    dataset.RequestAttributesSequence = Sequence([request])
    block = dataset.private_block(0x0029, "EXAMPLE CSA HEADER", create=True)
    block.add_new(0x08, "CS", "SOM 5")
    block.add_new(0x09, "LO", "VA10A 971201")
    block.add_new(0x10, "OB", random.Random(3).randbytes(512))
    return dataset


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _reference(sop_class: str, number: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = f"1.3.12.2.1107.5.1.4.55555.300000260131100950000000001{number:02d}"
    return item
