"""Writes DICOM segmentations of other programs, and the voxels that are drawn in them.

    python make.py [DCMQI/bin PYDICOM_SEG/bin]

    seg.pack.gz    for each case the files under CASE/, of which CASE/scan/ is the series where it has one of its own, and
                   CASE.u16: its voxels (first axis fastest) on the series
    expected.json  for each case: names by value, notes, and which series

Objects by highdicom are read back by it and must give the voxels that are recorded. The others are made in virtual
environments, with dcmqi 1.5.7 and SimpleITK, and with pydicom-seg 0.4.1, pydicom below 3 and SimpleITK; without these, their
cases are left out. Needs highdicom 0.28.2, pydicom 3.0.2, pyjpegls 1.5.1,
pylibjpeg 2.1.0 and numpy 2.4.6.
"""

import copy
import gzip
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian,
    JPEGLSLossless, RLELossless,
)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "dicom-seg"))
from series import rotation, series  # noqa: E402

SHAPE = (13, 10, 8)
TMP = Path(tempfile.mkdtemp())
packed, expected = {}, {}
serial = 0


def uid():
    global serial
    serial += 1
    return f"1.2.826.0.1.3680043.8.498.8.{serial}"


def scan(name, number, **more):
    r = rotation(number)
    files, _ = series(TMP / name, name, number, SHAPE, (r[0], r[1]), (0.7123456789, 1.3),
                      np.array([-123.456789, 87.654321, -1000.125]), 2.25 * r[2], thickness=3.0, **more)
    return [pydicom.dcmread(file) for file in dict.fromkeys(files)]


def drawn():
    """Three structures that leave slices 0 and 3 empty, and the last row too."""
    i, j, k = np.indices(SHAPE)
    mask = np.choose((7 * i + 5 * j + 3 * k) % 11, [3, 0, 0, 1, 3, 0, 0, 2, 0, 0, 0]).astype(np.uint16)
    mask[:, :, [0, 3]] = 0
    mask[(mask == 2) & (k != 2) & (k != 6)] = 0
    mask[:, 9, :] = 0
    return mask


NAMES = {1: "Liver", 2: "Kidney, left", 3: "Tumour"}


def described(number, label, automatic="AUTOMATIC", kind=codes.SCT.Liver):
    told = None
    if automatic != "MANUAL":
        told = hd.AlgorithmIdentificationSequence("maker", codes.DCM.ArtificialIntelligence, "0.1.0")
    return hd.seg.SegmentDescription(number, label, codes.SCT.Organ, kind, automatic, told)


def segmentation(images, pixels, form, labels=NAMES, **more):
    """`pixels` has the frames first, then rows and columns, and segments where it has four axes."""
    segments = more.pop("segments", None) or [described(n, label) for n, label in labels.items()]
    return hd.seg.Segmentation(
        images, pixels, form, segments, series_instance_uid=uid(), series_number=2, sop_instance_uid=uid(),
        instance_number=1, manufacturer="nobody", manufacturer_model_name="make.py", software_versions="1",
        device_serial_number="1", content_label=more.pop("content_label", "ORGANS"), **more)


def frames(mask):
    return np.ascontiguousarray(mask.transpose(2, 1, 0)).astype(np.uint16 if mask.max() > 255 else np.uint8)


def record(case, seg, mask, scan, names=NAMES, notes=(), agree=True, syntax=None, file="seg.dcm"):
    path = TMP / f"{case}.dcm"
    if isinstance(seg, Path):
        packed[f"{case}/{file}"] = seg.read_bytes()
    else:
        if syntax is not None:
            seg.file_meta.TransferSyntaxUID = syntax
        seg.save_as(path, enforce_file_format=False) if syntax != ExplicitVRBigEndian else big(seg, path)
        packed[f"{case}/{file}"] = path.read_bytes()
        if agree:
            by_highdicom(path, mask, names, case)
    packed[f"{case}.u16"] = mask.astype("<u2").tobytes(order="F")
    expected[case] = {"scan": scan, "names": {str(k): v for k, v in names.items()}, "notes": list(notes)}


def big(seg, path):
    plain = pydicom.Dataset()
    plain.update(seg)
    plain.file_meta = seg.file_meta
    pydicom.dcmwrite(path, plain, implicit_vr=False, little_endian=False, enforce_file_format=True)


def by_highdicom(path, mask, names, case):
    seg = hd.seg.segread(path)
    files = SCANS[case] if case in SCANS else SCANS["plain"]
    uids = [image.SOPInstanceUID for image in files]
    more = {"assert_missing_frames_are_empty": True}
    if len(files) == 1:
        pixels = seg.get_pixels_by_source_frame(uids[0], list(range(1, SHAPE[2] + 1)), rescale_fractional=True, **more)
    else:
        pixels = seg.get_pixels_by_source_instance(uids, rescale_fractional=True, **more)
    for at, number in enumerate(seg.segment_numbers):
        value = number if number in names else next(k for k in names if names[k] == seg.get_segment_description(number).segment_label)
        assert np.array_equal(pixels[..., at].transpose(2, 1, 0) >= 0.5, mask == value), (case, number)


def shuffled(seg):
    """The same frames in another order."""
    order = np.random.default_rng(3).permutation(int(seg.NumberOfFrames))
    pixels = seg.pixel_array[order]
    seg = copy.deepcopy(seg)
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[k] for k in order]
    bits = np.packbits(pixels.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    return seg


plain = scan("plain", 11)
enhanced = scan("enhanced", 12, multiframe=True)
SCANS = {"plain": plain, "enhanced_reference": enhanced}
mask = drawn()
stack = np.stack([frames(mask) == n for n in NAMES], axis=-1).astype(np.uint8)

binary = segmentation(plain, frames(mask), "BINARY")
record("binary", binary, mask, "plain")
record("binary_every_frame", segmentation(plain, frames(mask), "BINARY", omit_empty_frames=False), mask, "plain")
record("binary_shuffled", shuffled(binary), mask, "plain")
record("enhanced_reference", segmentation(enhanced, frames(mask), "BINARY"), mask, "enhanced")
record("implicit", segmentation(plain, frames(mask), "BINARY", transfer_syntax_uid=ImplicitVRLittleEndian), mask, "plain",
       agree=False)
record("big_endian", segmentation(plain, frames(mask), "BINARY"), mask, "plain", syntax=ExplicitVRBigEndian, agree=False)
record("deflated", segmentation(plain, frames(mask), "BINARY"), mask, "plain", syntax=DeflatedExplicitVRLittleEndian)

# Values to both sides of one half, and one half itself, which belongs.
chances = np.where(stack == 1, np.linspace(0.5, 1.0, stack.size).reshape(stack.shape), np.linspace(0.0, 0.49, stack.size).reshape(stack.shape))
chances[np.unravel_index(stack.argmax(), stack.shape)] = 0.5
told = "a fractional segmentation (probability): voxels of 0.5 and more belong to a segment, {} is 1"
record("fractional", segmentation(plain, chances, "FRACTIONAL", max_fractional_value=200), mask, "plain", notes=[told.format(200)])
occupied = "a fractional segmentation (occupancy): voxels of 0.5 and more belong to a segment, 255 is 1"
for name, syntax in [("rle", RLELossless), ("jpeg_ls", JPEGLSLossless)]:
    record(f"fractional_{name}", segmentation(plain, np.clip(chances, 0.1, 0.9), "FRACTIONAL", transfer_syntax_uid=syntax,
                                              fractional_type="OCCUPANCY"), mask, "plain", notes=[occupied])
    record(f"labelmap_{name}", segmentation(plain, frames(mask), "LABELMAP", transfer_syntax_uid=syntax), mask, "plain")
record("labelmap_offset_table", segmentation(plain, frames(mask), "LABELMAP", transfer_syntax_uid=JPEGLSLossless,
                                             use_extended_offset_table=True), mask, "plain")
record("labelmap", segmentation(plain, frames(mask), "LABELMAP"), mask, "plain")
many = {n: f"part {n}" for n in range(1, 301)}
wide = np.where(mask > 0, mask * 100, 0).astype(np.uint16)
record("labelmap_16_bits", segmentation(plain, frames(wide), "LABELMAP", many), wide, "plain", many, agree=False)

# A finding within its organ: both claim its voxels.
within = stack.copy()
within[..., 0] |= within[..., 2]
overlapping = segmentation(plain, within, "BINARY")
overlapping.save_as(TMP / "overlapping.dcm")
packed["overlapping/seg.dcm"] = (TMP / "overlapping.dcm").read_bytes()

# No label, two segments of one label, text in two character sets, and who drew what.
odd = segmentation(plain, frames(mask), "BINARY", segments=[
    described(1, "x", "MANUAL", codes.SCT.Kidney), described(2, "nodule", "SEMIAUTOMATIC"), described(3, "nodule")])
odd.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
odd.SegmentSequence[0].SegmentLabel = ""
side = pydicom.Dataset()
side.CodeValue, side.CodingSchemeDesignator, side.CodeMeaning = "7771000", "SCT", "Left"
odd.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
odd.SegmentSequence[1].SegmentLabel = "肝臓"
record("odd_names", odd, mask, "plain", {1: "Left Kidney", 2: "肝臓", 3: "nodule"}, agree=False)
twice = segmentation(plain, frames(mask), "BINARY", {1: "nodule", 2: "nodule", 3: "nodule"})
record("one_name", twice, mask, "plain", {1: "nodule", 2: "nodule (2)", 3: "nodule (3)"}, agree=False)

# Rows and columns of a part of the scan alone, in the opposite order.
part = segmentation(plain, frames(mask), "BINARY")
pixels = part.pixel_array[:, ::-1, ::-1][:, 1:10, :]
cosines = [float(v) for v in part.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient]
row, column = np.array(cosines[:3]), np.array(cosines[3:])
between = [float(v) for v in part.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing]
# Frames of one slice share an object.
for place in {id(f.PlanePositionSequence[0]): f.PlanePositionSequence[0] for f in part.PerFrameFunctionalGroupsSequence}.values():
    first = np.array([float(v) for v in place.ImagePositionPatient]) + 12 * between[1] * row + 8 * between[0] * column
    place.ImagePositionPatient = [f"{v:.10f}"[:16] for v in first]
part.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [f"{-v:.13f}"[:16] for v in cosines]
bits = np.packbits(pixels.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
part.Rows, part.PixelData = 9, bits + b"\0" * (len(bits) % 2)
record("part_turned", part, mask, "plain", agree=False)

if len(sys.argv) > 1:
    tool = Path(sys.argv[1])
    made = TMP / "dcmqi.dcm"
    code = ("import SimpleITK as s, sys, json, numpy as n;"
            "i = s.ReadImage(sorted(__import__('glob').glob(sys.argv[1] + '/*.dcm')));"
            "m = n.fromfile(sys.argv[2], '<u2').reshape(i.GetSize(), order='F').transpose();"
            "o = s.GetImageFromArray(m); o.CopyInformation(i); s.WriteImage(o, sys.argv[3])")
    mask.astype("<u2").tofile(TMP / "mask.u2", sep="") if mask.flags.f_contiguous else mask.ravel(order="F").astype("<u2").tofile(TMP / "mask.u2")
    subprocess.run([tool / "python", "-c", code, TMP / "plain", TMP / "mask.u2", TMP / "mask.nrrd"], check=True)
    coded = {"CodeValue": "85756007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    meta = {"ContentCreatorName": "nobody", "SeriesDescription": "made by dcmqi", "SeriesNumber": "300", "InstanceNumber": "1",
            "segmentAttributes": [[{"labelID": n, "SegmentLabel": label, "SegmentAlgorithmType": "MANUAL",
                                    "SegmentedPropertyCategoryCodeSequence": coded,
                                    "SegmentedPropertyTypeCodeSequence": coded} for n, label in NAMES.items()]]}
    (TMP / "meta.json").write_text(json.dumps(meta))
    subprocess.run([tool / "itkimage2segimage", "--inputImageList", TMP / "mask.nrrd", "--inputDICOMDirectory", TMP / "plain",
                    "--inputMetadata", TMP / "meta.json", "--outputDICOM", made, "--skip", "1"], check=True, capture_output=True)
    record("dcmqi", made, mask, "plain")

if len(sys.argv) > 2:
    made = TMP / "pydicom_seg.dcm"
    code = ("import pydicom, pydicom_seg, SimpleITK as s, sys, glob;"
            "t = pydicom_seg.template.from_dcmqi_metainfo(sys.argv[1]);"
            "i = [pydicom.dcmread(f) for f in sorted(glob.glob(sys.argv[2] + '/*.dcm'))];"
            "m = s.Cast(s.ReadImage(sys.argv[3]), s.sitkUInt8);"
            "w = pydicom_seg.MultiClassWriter(template=t, inplane_cropping=True, skip_empty_slices=True, skip_missing_segment=False);"
            "w.write(m, i).save_as(sys.argv[4])")
    subprocess.run([Path(sys.argv[2]) / "python", "-c", code, TMP / "meta.json", TMP / "plain", TMP / "mask.nrrd", made], check=True)
    record("pydicom_seg", made, mask, "plain")

for name in ["plain", "enhanced"]:
    for path in sorted((TMP / name).glob("*.dcm")):
        packed[f"{name}/{path.name}"] = path.read_bytes()
out = bytearray()
for name, data in packed.items():
    out += struct.pack("<H", len(name)) + name.encode() + struct.pack("<I", len(data)) + data
(HERE / "seg.pack.gz").write_bytes(gzip.compress(bytes(out), 9, mtime=0))
(HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
print(len(packed), "files", sum(map(len, packed.values())), "bytes")
