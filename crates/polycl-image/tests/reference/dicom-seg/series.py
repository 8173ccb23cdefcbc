"""CT series made with pydicom, and masks on them, for make.py and check.py."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, LegacyConvertedEnhancedCTImageStorage

LPS_RAS = np.diag([-1.0, -1.0, 1.0])


def ds(value):
    """A decimal as files hold it: 16 characters."""
    for decimals in range(14, -1, -1):
        text = f"{value:.{decimals}f}"
        if len(text) <= 16:
            return text


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.diag(r))


def header(name, number):
    """What all slices of a series share."""
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 100"
    d.PatientName = "Müller^Jörg"
    d.PatientID = f"id-{name}"
    d.PatientBirthDate = "19500102"
    d.PatientSex = "M"
    d.StudyInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{number}"
    d.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.2.{number}"
    d.FrameOfReferenceUID = f"1.2.826.0.1.3680043.8.498.3.{number}"
    d.StudyDate, d.StudyTime = "20240131", "101112"
    d.SeriesDate, d.SeriesTime = "20240131", "101113.5"
    d.ReferringPhysicianName = ""
    d.AccessionNumber = "A1"
    d.StudyID = "7"
    d.StudyDescription = "Abdomen"
    d.SeriesNumber = "3"
    d.Modality = "CT"
    d.PositionReferenceIndicator = ""
    d.ContentDate, d.ContentTime = "20240131", "101114"
    d.Manufacturer = "nobody"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "0", "1", "HU"
    return d


def series(folder, name, number, shape, cosines, spacing, origin, step, thickness=None, multiframe=False):
    """Writes a series; returns its files in the order of the slices and the affine to RAS+ mm."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows, slices = shape
    orientation = [ds(v) for v in np.concatenate(cosines)]
    positions = [[ds(v) for v in origin + k * step] for k in range(slices)]
    measures = [ds(spacing[1]), ds(spacing[0])]
    thickness = ds(thickness or np.linalg.norm(step))
    base = header(name, number)
    base.Rows, base.Columns = rows, columns

    def save(d, uid, class_uid, path):
        d.SOPInstanceUID, d.SOPClassUID = uid, class_uid
        d.file_meta = FileMetaDataset()
        d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = class_uid, uid
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        FileDataset(str(path), d, file_meta=d.file_meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)

    files = []
    for k in range(1 if multiframe else slices):
        d = Dataset()
        d.update(base)
        uid = f"1.2.826.0.1.3680043.8.498.4.{number}.{k + 1}"
        path = folder / f"{k:03}.dcm"
        if multiframe:
            d.NumberOfFrames = slices
            d.PixelData = bytes(2 * rows * columns * slices)
            shared, d.PerFrameFunctionalGroupsSequence = Dataset(), []
            plane, measure = Dataset(), Dataset()
            plane.ImageOrientationPatient = orientation
            measure.PixelSpacing, measure.SliceThickness = measures, thickness
            shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measure]
            d.SharedFunctionalGroupsSequence = [shared]
            for position in positions:
                frame, place = Dataset(), Dataset()
                place.ImagePositionPatient = position
                frame.PlanePositionSequence = [place]
                d.PerFrameFunctionalGroupsSequence.append(frame)
            save(d, uid, LegacyConvertedEnhancedCTImageStorage, path)
        else:
            d.InstanceNumber = k + 1
            d.ImageOrientationPatient, d.ImagePositionPatient = orientation, positions[k]
            d.PixelSpacing, d.SliceThickness = measures, thickness
            d.PixelData = bytes(2 * rows * columns)
            save(d, uid, CTImageStorage, path)
        files.append(path)

    # From what the files hold, not from what was meant.
    i, j = (np.array([float(v) for v in orientation[a:a + 3]]) for a in (0, 3))
    first, last = (np.array([float(v) for v in positions[k]]) for k in (0, -1))
    k = (last - first) / (slices - 1) if slices > 1 else step
    affine = np.stack([i * float(measures[1]), j * float(measures[0]), k, first], axis=1)
    return files * slices if multiframe else files, LPS_RAS @ affine


def labels(shape):
    """The mask of the golden file; the Rust test draws the same."""
    i, j, k = np.indices(shape)
    mask = np.choose((7 * i + 5 * j + 3 * k) % 11, [3, 0, 0, 7, 3, 0, 0, 12, 0, 0, 0]).astype(np.uint16)
    mask[(mask == 12) & (k != 2)] = 0
    mask[:, :, 3] = 0
    return mask
