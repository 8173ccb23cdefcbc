"""Writes contours.dcm, and expected.json: what shapely makes of its contours.

    python make.py

Each pixel is a square that shapely cuts with the regions that an odd number of contours surrounds. Needs pydicom 3.0.2,
shapely 2.2.0 and numpy 2.4.6.
"""

import base64
import json
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from shapely import area, box, intersection
from shapely.geometry import LineString
from shapely.ops import polygonize, unary_union

HERE = Path(__file__).parent
SHAPE = (28, 24, 3)
CLEAR = 2e-4


def grid():
    """A turned grid, in LPS mm."""
    q, r = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    axes = q * np.array([0.9, 1.3, 2.5])
    return np.column_stack([axes, [-31.25, 12.5, -104.75]])


def wave(rng, centre, radius, points):
    """A smooth contour around a place."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    size = 1 + sum(rng.uniform(-0.12, 0.12) * np.cos(n * angle + rng.uniform(0, 6)) for n in range(2, 6))
    return np.array(centre) + radius * size[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def keyhole(outer, inner):
    return np.vstack([outer, outer[:1], inner, inner[:1]])


def rois(rng):
    """Contours in voxels by ROI and slice."""
    at = lambda: (13.3 + rng.uniform(-1, 1), 11.6 + rng.uniform(-1, 1))
    for_all = lambda draw: [draw(k) for k in range(SHAPE[2])]
    tangle = lambda k: [rng.uniform([1, 1], [26, 22], size=(14, 2))]
    return {
        "nested": for_all(lambda k: [wave(rng, at(), 10, 60), wave(rng, at(), 6, 40), wave(rng, at(), 2.6, 24)]),
        "keyhole": for_all(lambda k: [keyhole(wave(rng, at(), 9.5, 50), wave(rng, at(), 4.5, 30))]),
        "tangle": for_all(tangle),
        "across": for_all(lambda k: [wave(rng, at(), 7, 30), wave(rng, (18, 9), 7, 33)]),
        "beyond": for_all(lambda k: [wave(rng, (24, 20), 9, 40)]),
        "small": for_all(lambda k: [wave(rng, (x + 0.2 * k, y), 0.9, 12) for x in range(3, 26, 4) for y in range(3, 22, 4)]),
    }


def covered(contours):
    """The part of each pixel that an odd number of contours surrounds."""
    rings = [LineString(np.vstack([contour, contour[:1]])) for contour in contours]
    faces = list(polygonize(unary_union(rings)))

    def is_odd(face):
        x, y = face.representative_point().coords[0]
        crossings = 0
        for contour in contours:
            a, b = contour, np.roll(contour, -1, axis=0)
            over = (a[:, 1] > y) != (b[:, 1] > y)
            with np.errstate(divide="ignore", invalid="ignore"):
                where = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
            crossings += int((over & (where > x)).sum())
        return crossings % 2 == 1

    odd = [face for face in faces if is_odd(face)]
    part = np.zeros(SHAPE[:2])
    for i in range(SHAPE[0]):
        for j in range(SHAPE[1]):
            pixel = box(i - 0.5, j - 0.5, i + 0.5, j + 0.5)
            part[i, j] = sum(area(intersection(face, pixel)) for face in odd)
    return part


def main():
    affine = grid()
    expected = {"shape": SHAPE, "affine": (np.diag([-1.0, -1.0, 1.0]) @ affine).tolist(), "rois": {}}
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 100"
    d.SOPClassUID, d.SOPInstanceUID = RTStructureSetStorage, "1.2.826.0.1.3680043.8.498.9.1"
    d.Modality, d.StructureSetLabel, d.StructureSetDate = "RTSTRUCT", "made", "20240131"
    d.StructureSetROISequence, d.ROIContourSequence = [], []
    for number, (name, slices) in enumerate(rois(np.random.default_rng(31)).items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.9.2"
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        mask = np.zeros(SHAPE, bool)
        for k, contours in enumerate(slices):
            kept = []
            for points in contours:
                voxels = np.column_stack([points, np.full(len(points), k), np.ones(len(points))])
                text = [f"{mm:.4f}" for mm in (voxels @ affine.T).ravel()]
                contour = Dataset()
                contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
                contour.ContourData = text
                drawn.ContourSequence.append(contour)
                # As they were rounded.
                world = np.array(text, float).reshape(-1, 3)
                kept.append((world - affine[:, 3]) @ np.linalg.inv(affine[:, :3]).T[:, :2])
            part = covered(kept)
            assert np.abs(part - 0.5).min() > CLEAR, (name, k, np.abs(part - 0.5).min())
            mask[:, :, k] = part > 0.5
        d.StructureSetROISequence.append(roi)
        d.ROIContourSequence.append(drawn)
        bits = np.packbits(mask.ravel(order="F"), bitorder="little")
        expected["rois"][name] = base64.b16encode(bits.tobytes()).decode()
    d.file_meta = FileMetaDataset()
    d.file_meta.MediaStorageSOPClassUID, d.file_meta.MediaStorageSOPInstanceUID = d.SOPClassUID, d.SOPInstanceUID
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(HERE / "contours.dcm"), d, file_meta=d.file_meta, preamble=b"\0" * 128)
    file.save_as(HERE / "contours.dcm", enforce_file_format=True)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
