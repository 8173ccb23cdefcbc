"""Writes small DICOM series and what pydicom and SimpleITK make of them.

Made with: pydicom 3.0.2, pylibjpeg 2.1.0 (libjpeg 2.5.0, openjpeg 2.6.0, rle 2.2.0), pyjpegls 1.4.0, SimpleITK 2.5.7,
           dcmtk 3.6.7 (dcmcjpeg), numpy 2.4.6.
Run:       python make.py            (from any directory; writes beside itself)

files.pack.gz   all files of all cases: (name length u16, name, length u32, bytes), little endian, gzip
expected.json   for each case: shape, affine (RAS+, rows of 4), what they come from, and notes to be told

Voxels of a case (float32, first axis fastest) are the file CASE.f32 of the pack: pydicom's pixel_array of each
file, times slope plus intercept in float64, in the order that SimpleITK's ImageSeriesReader gives the files.
Affines are SimpleITK's (origin, direction, spacing; LPS to RAS), but where "by" says "formula": sheared stacks
and multi-frame files, of which the series reader says nothing; there they are what this script has put in.
"""

import gzip
import json
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage, DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage, ExplicitVRBigEndian,
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000, JPEG2000Lossless, JPEGLossless, JPEGLSLossless,
    JPEGLSNearLossless, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, RLELossless,
)

HERE = Path(__file__).parent
TMP = Path(tempfile.mkdtemp())
ROWS, COLUMNS, SLICES = 12, 16, 5
SPACING = (0.8, 0.6)  # between rows, between columns
STEP = 2.5
rng = np.random.default_rng(7)
expected = {}
packed = {}
serial = 0


def uid():
    global serial
    serial += 1
    return f"1.2.826.0.1.3680043.8.498.7.{serial}"


def volume(low=-1024, high=3071, slices=SLICES, rows=ROWS, columns=COLUMNS):
    """Stored values: a smooth part that compresses, and noise."""
    k, j, i = np.mgrid[:slices, :rows, :columns]
    smooth = 400 * np.sin(i / 3) + 300 * np.cos(j / 4) + 100 * k
    noisy = smooth + rng.integers(-200, 200, smooth.shape)
    return np.clip(noisy, low, high).astype(np.int32)


def rotation(axis, degrees):
    a = np.radians(degrees)
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k


def dataset(series, study, instance):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uid()
    ds.Modality = "CT"
    ds.SeriesDescription = "Abdömen 2.5"
    ds.PatientName = "Mustermann^Erika"
    ds.PatientID = "SECRET-4711"
    ds.SliceThickness = "5"
    ds.ConvolutionKernel = "B30f"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = series
    ds.InstanceNumber = instance
    ds.add_new((0x0009, 0x0010), "LO", "POLYCL TEST")
    ds.add_new((0x0009, 0x1001), "UN", b"private bytes ")
    return ds


def image(ds, stored, bits=16, signed=True, allocated=16):
    """Puts one frame or several (stored values as they are) into the data set."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    if stored.ndim == 3:
        ds.NumberOfFrames = len(stored)
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    kind = {8: np.uint8, 16: np.uint16, 32: np.uint32}[allocated]
    cells = stored.astype(np.int64) & ((1 << bits) - 1)
    ds.PixelData = cells.astype(kind).tobytes()
    if allocated == 8 and len(ds.PixelData) % 2:
        ds.PixelData += b"\0"


def save(ds, path, transfer=ExplicitVRLittleEndian, bare=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
    ds.file_meta = meta
    if transfer == ExplicitVRBigEndian:
        swapped = np.frombuffer(ds.PixelData, {8: "<u2", 16: "<u2", 32: "<u4"}[ds.BitsAllocated]).byteswap()
        ds.PixelData = swapped.tobytes()
    ds["PixelData"].VR = "OW"
    if bare:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = transfer == ImplicitVRLittleEndian, transfer != ExplicitVRBigEndian
        write_dataset(buffer, ds)
        path.write_bytes(buffer.getvalue())
        return
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def frames(iop=np.eye(3), origin=(-100.5, -80.25, 33.0), step=None, slices=SLICES):
    """Orientation (columns: along a row, down a column, normal), and the position of each slice."""
    step = iop[:, 2] * STEP if step is None else np.asarray(step)
    return [np.asarray(origin) + k * step for k in range(slices)]


def text(numbers):
    return [f"{x:.6f}".rstrip("0").rstrip(".") for x in numbers]


def make(case, iop=np.eye(3), positions=None, values=None, transfer=ExplicitVRLittleEndian, bits=16, signed=True,
         allocated=16, slope=1.0, intercept=0.0, each=None, bare=False, compress=None, tool=None, spacing=SPACING):
    """A case of single-frame files with shuffled names in nested folders."""
    folder = TMP / case
    positions = frames(iop) if positions is None else positions
    values = volume(slices=len(positions)) if values is None else values
    series, study = uid(), uid()
    names = rng.permutation(len(positions))
    for k, position in enumerate(positions):
        ds = dataset(series, study, int(rng.integers(1, 1000)))
        ds.ImagePositionPatient = text(position)
        ds.ImageOrientationPatient = text(np.concatenate([iop[:, 0], iop[:, 1]]))
        ds.PixelSpacing = list(spacing)
        ds.RescaleIntercept, ds.RescaleSlope = intercept, slope
        image(ds, values[k], bits, signed, allocated)
        if each:
            each(ds, k)
        path = folder / f"d{names[k] % 2}" / f"{names[k]:03d}{['', '.dcm', '.IMA'][k % 3]}"
        save(ds, path, transfer, bare)
        if compress:
            again = pydicom.dcmread(path)
            again.compress(compress, generate_instance_uid=False, **({"jls_error": 3} if compress == JPEGLSNearLossless else {}), **({"j2k_cr": [4]} if compress == JPEG2000 else {}))
            again.save_as(path, enforce_file_format=True)
        if tool:
            subprocess.run([*tool, path, path], check=True, capture_output=True)
    return folder


def by_pydicom(path):
    """Voxels [frames, rows, columns] in float64."""
    ds = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in ds.file_meta:
        little = ds.is_little_endian if hasattr(ds, "is_little_endian") else True
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if ds.original_encoding[0] else (
            ExplicitVRLittleEndian if ds.original_encoding[1] else ExplicitVRBigEndian)
    stored = ds.pixel_array.astype(np.float64)
    # pydicom leaves bits above the stored ones alone (they were for overlays): they are no part of the value.
    if ds.BitsStored < ds.BitsAllocated and ds.file_meta.TransferSyntaxUID in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        low = stored.astype(np.int64) & ((1 << ds.BitsStored) - 1)
        stored = np.where(low >> (ds.BitsStored - 1) & ds.PixelRepresentation, low - (1 << ds.BitsStored), low).astype(float)
    return np.atleast_3d(stored).reshape(-1, ds.Rows, ds.Columns) * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))


def by_itk(folder):
    """Files in order and affine, as SimpleITK's series reader has them."""
    reader = sitk.ImageSeriesReader()
    files = reader.GetGDCMSeriesFileNames(str(folder), "", False, True)
    reader.SetFileNames(files)
    read = reader.Execute()
    direction = np.array(read.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(read.GetSpacing())
    affine[:3, 3] = read.GetOrigin()
    return files, np.diag([-1, -1, 1, 1]) @ affine, sitk.GetArrayFromImage(read).astype(float)


def formula(iop, positions, spacing=SPACING):
    affine = np.eye(4)
    affine[:3, 0] = iop[:, 0] * spacing[1]
    affine[:3, 1] = iop[:, 1] * spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / max(len(positions) - 1, 1) if len(positions) > 1 else iop[:, 2] * 5
    affine[:3, 3] = positions[0]
    return np.diag([-1, -1, 1, 1]) @ affine


def pack(case):
    for path in sorted((TMP / case).rglob("*")):
        if path.is_file():
            packed[f"{case}/{path.relative_to(TMP / case)}"] = path.read_bytes()


def record(case, voxels, affine, by, notes=()):
    voxels = np.asarray(voxels)
    expected[case] = {"shape": list(voxels.shape[::-1]), "affine": affine[:3].tolist(), "by": by, "notes": list(notes)}
    packed[f"{case}.f32"] = voxels.astype("<f4").tobytes()
    pack(case)


SEVERAL = "slices have several rescale slopes or intercepts"


def itk(case, folder, notes=(), voxels_agree=True):
    """Records a case by SimpleITK's order and affine and pydicom's voxels, which must be SimpleITK's too."""
    files, affine, values = by_itk(folder)
    voxels = np.concatenate([by_pydicom(path) for path in files])
    if voxels_agree:
        assert np.array_equal(values, voxels.astype(values.dtype)), f"{case}: SimpleITK and pydicom disagree"
    record(case, voxels, affine, "SimpleITK, pydicom", notes)


def by_hand(case, order, affine, notes=()):
    """Records a case whose files are in `order`, by pydicom's voxels and a known affine."""
    record(case, np.concatenate([by_pydicom(path) for path in order]), affine, "formula, pydicom", notes)


def in_order(folder, normal):
    """The files along the normal."""
    def along(path):
        return float(np.dot([float(x) for x in pydicom.dcmread(path, force=True, stop_before_pixels=True).ImagePositionPatient], normal))
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=along)


# Orientations: columns are the directions of rows (index i), of columns (index j), and their normal.
x, y, z = np.eye(3)
orientations = {
    "axial": (x, y), "axial_prone": (-x, -y), "axial_feet_first": (-x, y), "sagittal": (y, -z), "coronal": (x, -z),
    "coronal_flipped": (-x, -z), "sagittal_flipped": (-y, -z), "rotated_in_plane": (y, -x),
}
for name, (row, column) in orientations.items():
    iop = np.stack([row, column, np.cross(row, column)], axis=1)
    itk(name, make(name, iop))
oblique = rotation((1, 2, 3), 25)
itk("oblique", make("oblique", oblique))
itk("double_oblique", make("double_oblique", rotation((1, -1, 0.5), 40) @ np.stack([y, -z, -x], axis=1)))
itk("descending", make("descending", positions=frames()[::-1]))

# Transfer syntaxes.
itk("implicit", make("implicit", transfer=ImplicitVRLittleEndian))
itk("big_endian", make("big_endian", transfer=ExplicitVRBigEndian))
itk("deflated", make("deflated", transfer=DeflatedExplicitVRLittleEndian))
itk("rle", make("rle", compress=RLELossless))
larger = dict(rows=40, columns=36)  # openjpeg refuses to encode smaller ones
itk("jpeg_2000", make("jpeg_2000", values=volume(**larger), compress=JPEG2000Lossless))
itk("jpeg_2000_unsigned", make("jpeg_2000_unsigned", values=volume(**larger) + 1024, bits=12, signed=False, intercept=-1024, compress=JPEG2000Lossless))
itk("jpeg_2000_lossy", make("jpeg_2000_lossy", values=volume(**larger), compress=JPEG2000), voxels_agree=False)
itk("jpeg_ls", make("jpeg_ls", values=volume() + 1024, bits=12, signed=False, intercept=-1024, compress=JPEGLSLossless))
itk("jpeg_ls_16", make("jpeg_ls_16", values=volume() + 20000, signed=False, compress=JPEGLSLossless))
itk("jpeg_ls_near", make("jpeg_ls_near", values=volume() + 1024, bits=12, signed=False, intercept=-1024, compress=JPEGLSNearLossless))
for predictor in range(1, 8):
    tool = ["dcmcjpeg", "+el", "+sv", str(predictor)]
    name = f"jpeg_lossless_{predictor}"
    itk(name, make(name, values=volume() + 1024, bits=12, signed=False, intercept=-1024, tool=tool))
itk("jpeg_lossless_sv1", make("jpeg_lossless_sv1", tool=["dcmcjpeg", "+e1"]))
itk("jpeg_lossless_16", make("jpeg_lossless_16", values=volume() * 20, tool=["dcmcjpeg", "+e1"]))
itk("jpeg_lossless_fragments", make("jpeg_lossless_fragments", tool=["dcmcjpeg", "+e1", "+fs", "1"]))
itk("jpeg_baseline", make("jpeg_baseline", values=(volume() + 1024) // 16, bits=8, allocated=8, signed=False, slope=16, intercept=-1024, tool=["dcmcjpeg", "+eb"]), notes=[SEVERAL])



def lossless(values, predictor, restart, shift):
    """A lossless JPEG stream with a restart marker every `restart` rows (dcmtk writes none), a point transform,
    and codes of up to 16 bits: that of a difference of n bits is n ones and a zero."""
    values = values.astype(int) >> shift
    out = bytearray(b"\xff\xd8\xff\xc4" + struct.pack(">HB", 35, 0) + bytes([1] * 16) + bytes(range(16)))
    rows, columns = values.shape
    out += b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, 12, rows, columns, 1, 1, 0x11, 0)
    out += b"\xff\xdd" + struct.pack(">HH", 4, restart * columns)
    out += b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, predictor, 0, shift)
    bits = ""
    for y in range(rows):
        fresh = y % restart == 0
        if fresh and y:
            out += flush(bits) + bytes([0xFF, 0xD0 + (y // restart - 1) % 8])
            bits = ""
        for x in range(columns):
            a, b, c = values[y, x - 1], values[y - 1, x], values[y - 1, x - 1]
            if fresh:
                guess = a if x else 1 << (11 - shift)
            elif x == 0:
                guess = b
            else:
                guess = [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][predictor - 1]
            step = int(values[y, x] - guess)
            n = abs(step).bit_length()
            bits += "1" * n + "0" + (format(step if step > 0 else step + (1 << n) - 1, f"0{n}b") if n else "")
    return bytes(out + flush(bits) + b"\xff\xd9")


def flush(bits):
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


def restarts(case, predictor, restart, shift):
    """By hand, since dcmtk writes neither; what the values are, pydicom and GDCM say."""
    folder = make(case, values=volume() + 1024, bits=12, signed=False, intercept=-1024)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        ds = pydicom.dcmread(path)
        ds.PixelData = encapsulate([lossless(ds.pixel_array, predictor, restart, shift)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = JPEGLossless
        ds.save_as(path, enforce_file_format=True)
    return folder


itk("jpeg_lossless_restarts", restarts("jpeg_lossless_restarts", 7, 5, 0))
itk("jpeg_lossless_restarts_1", restarts("jpeg_lossless_restarts_1", 1, 1, 0))
itk("jpeg_lossless_shifted", restarts("jpeg_lossless_shifted", 4, 12, 2), voxels_agree=False)

# Files without a meta header.
positions = frames()
for name, transfer in [("bare_implicit", ImplicitVRLittleEndian), ("bare_explicit", ExplicitVRLittleEndian), ("bare_big", ExplicitVRBigEndian)]:
    by_hand(name, in_order(make(name, transfer=transfer, bare=True), z), formula(np.eye(3), positions))

# Bits.
itk("unsigned_8", make("unsigned_8", values=(volume() + 1024) // 16, bits=8, allocated=8, signed=False, slope=16, intercept=-1024))
itk("signed_32", make("signed_32", values=volume() * 5000, bits=32, allocated=32), voxels_agree=False)
itk("big_endian_8", make("big_endian_8", values=(volume() + 1024) // 16, bits=8, allocated=8, signed=False, transfer=ExplicitVRBigEndian))


def junk(ds, k):
    """Something above the stored bits, as overlays of old."""
    cells = np.frombuffer(ds.PixelData, np.uint16)
    ds.PixelData = (cells | (rng.integers(0, 16, cells.shape) << 12).astype(np.uint16)).tobytes()


def slopes(ds, k):
    ds.RescaleSlope, ds.RescaleIntercept = [1, 0.5, 2, 1.25, 0.1][k], [-1024, -1000, 0, 3.5, 7][k]


itk("signed_12_junk", make("signed_12_junk", values=np.clip(volume(), -2048, 2047), bits=12, each=junk))
itk("slope_of_each_slice", make("slope_of_each_slice", each=slopes), voxels_agree=False, notes=[SEVERAL])


def monochrome1(ds, k):
    ds.PhotometricInterpretation = "MONOCHROME1"


def padded(ds, k):
    ds.add_new((0x0028, 0x0120), "SS", -2000)


itk("monochrome1", make("monochrome1", each=monochrome1), voxels_agree=False, notes=["MONOCHROME1: shown inverted by viewers; values are kept as they are"])
itk("padding", make("padding", each=padded))  # below the range of HU: nothing to tell

# Stacks that are not quite regular.
tilted = frames(step=(0, -0.7, STEP))
by_hand("tilt", in_order(make("tilt", positions=tilted), z), formula(np.eye(3), tilted),
        ["sheared: its axes are up to 15.64 degrees from right angles (gantry tilt?); distances are measured as if they stood at right angles"])
leaning = frames(oblique, step=oblique @ np.array([0.3, 0.4, 2.0]))
by_hand("tilt_oblique", in_order(make("tilt_oblique", oblique, leaning), oblique[:, 2]), formula(oblique, leaning),
        ["sheared: its axes are up to 14.04 degrees from right angles (gantry tilt?); distances are measured as if they stood at right angles"])
rounded = [np.round(p, 1) for p in frames(step=(0, 0, 1.25))]
by_hand("rounded", in_order(make("rounded", positions=rounded), z), formula(np.eye(3), rounded),
        ["uneven spacing: slices lie up to 0.050 mm from a regular grid"])
alone = frames(slices=1)
by_hand("single", in_order(make("single", positions=alone), z), formula(np.eye(3), alone),
        ["a single slice: its thickness of 5 mm is taken as the spacing"])

# Localizers, images of another kind, copies, other objects beside the series.
folder = make("localizer", values=volume())
source = in_order(folder, z)
extra = pydicom.dcmread(source[0])
extra.ImageType, extra.SOPInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], uid()
extra.ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]
extra.save_as(folder / "scout")
by_hand("localizer", source, formula(np.eye(3), positions), ["left out 1 image marked as localizers"])
folder = make("screenshot", values=volume())
source = in_order(folder, z)
extra = pydicom.dcmread(source[0])
extra.SOPInstanceUID, extra.ImageOrientationPatient = uid(), ["0", "1", "0", "0", "0", "-1"]
extra.save_as(folder / "other")
by_hand("screenshot", source, formula(np.eye(3), positions), ["left out 1 image of another size, spacing or orientation"])
folder = make("copies", values=volume())
source = in_order(folder, z)
shutil.copy(source[1], folder / "copy")
(folder / "notes.txt").write_text("not DICOM at all")
by_hand("copies", source, formula(np.eye(3), positions), ["passed over 1 copy of an image"])


# Multi-frame files.
def group(**elements):
    ds = Dataset()
    for name, value in elements.items():
        setattr(ds, name, value)
    return [ds]


def enhanced(case, sop, iop, positions, order, shared_scale, compress=None):
    """One file whose frames are stored in `order`; slope and intercept shared, or each frame's own."""
    values = volume(slices=len(positions))
    ds = dataset(uid(), uid(), 1)
    ds.SOPClassUID = sop
    del ds.SliceThickness, ds.ConvolutionKernel
    image(ds, values)
    ds.SharedFunctionalGroupsSequence = [Dataset()]
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=text(np.concatenate([iop[:, 0], iop[:, 1]])))
    shared.PixelMeasuresSequence = group(PixelSpacing=list(SPACING), SliceThickness="5")
    if shared_scale:
        shared.PixelValueTransformationSequence = group(RescaleIntercept=-1000, RescaleSlope=2, RescaleType="HU")
    ds.PerFrameFunctionalGroupsSequence = []
    for place, k in enumerate(order):
        item = Dataset()
        item.PlanePositionSequence = group(ImagePositionPatient=text(positions[k]))
        if not shared_scale:
            item.PixelValueTransformationSequence = group(RescaleIntercept=-10 * int(k), RescaleSlope=1 + int(k), RescaleType="HU")
        ds.PerFrameFunctionalGroupsSequence.append(item)
    save(ds, TMP / case / "one.dcm")
    path = TMP / case / "one.dcm"
    if compress:
        again = pydicom.dcmread(path)
        again.compress(compress, generate_instance_uid=False)
        again.save_as(path, enforce_file_format=True)
    stored = pydicom.dcmread(path).pixel_array.astype(float)
    scaled = [stored[place] * (2 if shared_scale else 1 + k) + (-1000 if shared_scale else -10 * k) for place, k in enumerate(order)]
    voxels = np.stack([scaled[list(order).index(k)] for k in range(len(positions))])
    record(case, voxels, formula(iop, positions), "formula, pydicom", [] if shared_scale else [SEVERAL])


shuffled = [3, 0, 4, 1, 2]
enhanced("enhanced", EnhancedCTImageStorage, np.eye(3), frames(), shuffled, True)
enhanced("enhanced_oblique", EnhancedCTImageStorage, oblique, frames(oblique), shuffled, False)
enhanced("enhanced_rle", EnhancedCTImageStorage, oblique, frames(oblique), shuffled, False, RLELossless)
enhanced("multi_frame", MultiFrameGrayscaleWordSecondaryCaptureImageStorage, np.eye(3), frames(), range(5), False)

# Refused: what for is a snapshot of the tests.
gone = frames(slices=7)
make("refused_gap", positions=gone[:2] + gone[4:])
make("refused_uneven", positions=[p + np.array([0, 0, 0.3 * (k == 2)]) for k, p in enumerate(frames())])
make("refused_uneven_in_plane", positions=[p + np.array([3.0 * (k == 2), 0, 0]) for k, p in enumerate(frames())])
make("refused_time_points", positions=frames() + frames())
make("refused_orientations", positions=frames(slices=2))
turned = make("refused_orientations_b", iop=np.stack([y, -z, -x], axis=1), positions=frames(np.stack([y, -z, -x], axis=1), slices=2))
uids = pydicom.dcmread(next(p for p in (TMP / "refused_orientations").rglob("*") if p.is_file())).SeriesInstanceUID
for path in [p for p in turned.rglob("*") if p.is_file()]:
    ds = pydicom.dcmread(path)
    ds.SeriesInstanceUID = uids
    ds.save_as(TMP / "refused_orientations" / f"turned_{path.name}")
shutil.rmtree(turned)
make("refused_localizers", positions=frames(slices=2), each=lambda ds, k: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
make("refused_no_position", positions=frames(slices=1), each=lambda ds, k: delattr(ds, "ImagePositionPatient"))


def colour(ds, k):
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(3 * ROWS * COLUMNS)


make("refused_colour", positions=frames(slices=1), each=colour)
make("refused_12_bit_lossy", positions=frames(slices=1), values=volume(slices=1) + 1024, bits=12, signed=False, tool=["dcmcjpeg", "+ee"])


def table(ds, k):
    ds.ModalityLUTSequence = group(LUTDescriptor=[2, 0, 16], ModalityLUTType="HU", LUTData=b"\0\0\1\0")


make("refused_table", positions=frames(slices=1), each=table)
classic = dataset(uid(), uid(), 1)
classic.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
image(classic, volume())
save(classic, TMP / "refused_multi_frame" / "one.dcm")


def other(case, sop, modality, name="object.dcm"):
    ds = dataset(uid(), uid(), 1)
    ds.SOPClassUID, ds.Modality = sop, modality
    path = TMP / case / name
    image(ds, volume(slices=1)[0])
    save(ds, path)
    again = pydicom.dcmread(path)
    del again.PixelData
    again.save_as(path)


other("refused_contours", "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
other("refused_report", "1.2.840.10008.5.1.4.1.1.88.11", "SR")
other("refused_report", "1.2.840.10008.5.1.4.1.1.11.1", "PR", "state")
other("refused_segmentation", "1.2.840.10008.5.1.4.1.1.66.4", "SEG")
both = make("several", positions=frames())
shutil.copytree(make("second", oblique, frames(oblique, slices=3)), both / "second")
for case in ["several"] + sorted(path.name for path in TMP.iterdir() if path.name.startswith("refused_")):
    pack(case)

blob = b"".join(struct.pack("<H", len(n)) + n.encode() + struct.pack("<I", len(d)) + d for n, d in sorted(packed.items()))
(HERE / "files.pack.gz").write_bytes(gzip.compress(blob, 9, mtime=0))
(HERE / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
print(len(expected), "cases,", (HERE / "files.pack.gz").stat().st_size, "bytes")
shutil.rmtree(TMP)
