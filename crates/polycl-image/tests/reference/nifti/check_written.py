"""Checks masks written by PolyCL against the images they belong to, in nibabel and SimpleITK.

Run by hand, after the Rust test `nifti written_masks` has left its masks in a folder:

    POLYCL_WRITTEN=/tmp/written cargo nextest run --release -p polycl-image written_masks
    python check_written.py /tmp/written

Needs nibabel 5.4.2, SimpleITK 2.5.7 and numpy 2.4.6.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

HERE = Path(__file__).parent
FIELDS = ["qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
          "qoffset_z", "srow_x", "srow_y", "srow_z", "pixdim"]


def in_nibabel(image, mask):
    image, mask = nib.load(image), nib.load(mask)
    assert mask.shape == image.shape[:3], (mask.shape, image.shape)
    assert np.array_equal(mask.affine, image.affine), (mask.affine, image.affine)
    assert mask.header.get_xyzt_units() == image.header.get_xyzt_units()
    for field in FIELDS:
        assert np.array_equal(mask.header[field], image.header[field]), field
    values = np.asarray(mask.dataobj)
    index = np.arange(values.size).reshape(values.shape, order="F")
    assert np.array_equal(values, index % 7), "labels"


def in_itk(image, mask):
    """False where ITK does not take the image itself."""
    try:
        image = sitk.ReadImage(str(image))
    except RuntimeError:
        return False
    mask = sitk.ReadImage(str(mask))
    d = mask.GetDimension()
    assert mask.GetSize() == image.GetSize()[:d]
    assert mask.GetSpacing() == image.GetSpacing()[:d]
    assert mask.GetOrigin() == image.GetOrigin()[:d]
    if image.GetDimension() == d:
        assert mask.GetDirection() == image.GetDirection()
    return True


def main():
    images = sorted([*HERE.glob("*.nii"), *HERE.glob("*.nii.gz")])
    refused = []
    for image in images:
        mask = Path(sys.argv[1]) / (image.name.removesuffix(".gz").removesuffix(".nii") + ".nii.gz")
        in_nibabel(image, mask)
        if not in_itk(image, mask):
            refused.append(image.name)
    print(f"{len(images)} masks agree in nibabel, {len(images) - len(refused)} in SimpleITK; it refuses the image of {refused}")
    assert all("sheared" in name for name in refused)


main()
