"""Writes source.dcm, the header of a series, and expected.json: what highdicom makes of a mask on it.

    python make.py

Needs highdicom 0.28.2, pydicom 3.0.2 and numpy 2.4.6.
"""

import json
import tempfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from series import labels, rotation, series

HERE = Path(__file__).parent
SHAPE = (7, 5, 6)


def main():
    r = rotation(5)
    with tempfile.TemporaryDirectory() as folder:
        files, affine = series(Path(folder), "golden", 99, SHAPE, (r[0], r[1]), (0.7123456789, 1.3),
                               np.array([-123.456789, 87.654321, -1000.125]), 2.25 * r[2], thickness=3.0)
        images = [pydicom.dcmread(file) for file in files]
    mask = labels(SHAPE)
    values = [int(v) for v in np.unique(mask) if v]
    described = [hd.seg.SegmentDescription(
        segment_number=number, segment_label=f"label {value}",
        segmented_property_category=codes.SCT.Tissue, segmented_property_type=codes.SCT.Tissue,
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence("polycl", codes.DCM.ArtificialIntelligence, "0.1.0"),
    ) for number, value in enumerate(values, 1)]
    numbers = np.searchsorted([0, *values], mask).astype(np.uint8)
    seg = hd.seg.Segmentation(
        images, numbers.transpose(2, 1, 0), "BINARY", described, series_instance_uid=hd.UID(), series_number=1003,
        sop_instance_uid=hd.UID(), instance_number=1, manufacturer="PolyCL", manufacturer_model_name="polycl",
        software_versions="0.1.0", device_serial_number="0.1.0")

    def frame(f):
        return {
            "segment": f.SegmentIdentificationSequence[0].ReferencedSegmentNumber,
            "position": [float(v) for v in f.PlanePositionSequence[0].ImagePositionPatient],
            "source": f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID,
            "index": list(f.FrameContentSequence[0].DimensionIndexValues),
        }

    shared = seg.SharedFunctionalGroupsSequence[0]
    pixel = shared.PixelMeasuresSequence[0]
    expected = {
        "shape": SHAPE,
        "affine": affine.tolist(),
        "instances": [image.SOPInstanceUID for image in images],
        "frames": [frame(f) for f in seg.PerFrameFunctionalGroupsSequence],
        "orientation": [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient],
        "pixel_spacing": [float(v) for v in pixel.PixelSpacing],
        "slice_thickness": float(pixel.SliceThickness),
        # highdicom fills up to an even number of bytes with a character "0"; the standard wants a byte 0 there.
        "pixel_data": seg.PixelData[:-(-int(seg.NumberOfFrames) * SHAPE[0] * SHAPE[1] // 8)].hex(),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    del images[0].PixelData
    images[0].save_as(HERE / "source.dcm")


main()
