"""Reads or writes contours with another program, in its own environment; called by check.py."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np


def save(array, image, path):
    """Saves an array of slices with the place of a SimpleITK image."""
    import SimpleITK as sitk

    made = sitk.GetImageFromArray(array.astype(np.uint8))
    made.CopyInformation(image)
    sitk.WriteImage(made, str(path))


def mask(work):
    import nibabel as nib

    return np.asarray(nib.load(Path(work) / "mask.nii.gz").dataobj)


def read(tool, object, work, out, names):
    series = str(Path(work) / "series")
    if tool == "platipy":
        from platipy.dicom.io.rtstruct_to_nifti import convert_rtstruct

        convert_rtstruct(series, object, prefix="", output_dir=out)
        for value, name in names.items():
            found = [path for path in Path(out).glob("*.nii.gz") if path.name.removesuffix(".nii.gz").lower() == name.lower()]
            if found:
                found[0].rename(Path(out) / f"{value}.nii.gz")
    elif tool == "dcmrtstruct2nii":
        from dcmrtstruct2nii import dcmrtstruct2nii

        dcmrtstruct2nii(object, series, out, convert_original_dicom=False)
        for value, name in names.items():
            found = Path(out) / f"mask_{name}.nii.gz"
            if found.exists():
                found.rename(Path(out) / f"{value}.nii.gz")
    elif tool == "rt-utils":
        import nibabel as nib
        from rt_utils import RTStructBuilder

        struct = RTStructBuilder.create_from(series, object)
        affine = nib.load(Path(work) / "mask.nii.gz").affine
        for value, name in names.items():
            found = struct.get_roi_mask_by_name(name).transpose(1, 0, 2)
            nib.save(nib.Nifti1Image(found.astype(np.uint8), affine), Path(out) / f"{value}.nii.gz")
    elif tool == "plastimatch":
        subprocess.run(["plastimatch", "convert", "--input", object, "--referenced-ct", series, "--output-prefix", out,
                        "--prefix-format", "nii.gz"], check=True, capture_output=True)
        for value, name in names.items():
            found = Path(out) / f"{name}.nii.gz"
            if found.exists():
                found.rename(Path(out) / f"{value}.nii.gz")


def write(tool, object, work, out, names):
    series = str(Path(work) / "series")
    values = mask(work)
    if tool == "rt-utils":
        from rt_utils import RTStructBuilder

        struct = RTStructBuilder.create_new(series)
        for value, name in names.items():
            struct.add_roi(mask=(values == int(value)).transpose(1, 0, 2), name=name)
        struct.save(object)
    elif tool == "platipy":
        import SimpleITK as sitk
        from platipy.dicom.io.nifti_to_rtstruct import convert_nifti

        image = sitk.ReadImage(str(Path(work) / "mask.nii.gz"))
        convert_nifti(series, {name: image == int(value) for value, name in names.items()}, object)
    elif tool == "plastimatch":
        import nibabel as nib

        affine = nib.load(Path(work) / "mask.nii.gz").affine
        folder = Path(out) / "masks"
        folder.mkdir()
        for value, name in names.items():
            nib.save(nib.Nifti1Image((values == int(value)).astype(np.uint8), affine), folder / f"{name}.nii.gz")
        subprocess.run(["plastimatch", "convert", "--input-prefix", str(folder), "--referenced-ct", series, "--output-dicom",
                        str(Path(out) / "dicom")], check=True, capture_output=True)
        found = list((Path(out) / "dicom").glob("rtss*.dcm"))
        Path(object).write_bytes(found[0].read_bytes())


if __name__ == "__main__":
    what, tool, object, work, out = sys.argv[1:]
    names = json.loads((Path(work) / "names.json").read_text())
    {"read": read, "write": write}[what](tool, object, work, out, names)
