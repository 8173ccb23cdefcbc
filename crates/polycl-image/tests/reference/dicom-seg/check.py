"""Reads DICOM segmentations written by PolyCL in highdicom, pydicom-seg and dcmqi (3D Slicer's reader), and has
dciodvfy of dicom3tools look for errors.

Run by hand:

    cargo build --release -p polycl-image --example seg
    python check.py ../../../../../target/release/examples/seg OTHER/bin

Needs highdicom 0.28.2, pydicom 3.0.2, nibabel 5.4.2, scipy, numpy 2.4.6 and dciodvfy. OTHER is a virtual
environment with pydicom-seg 0.4.1 (which wants an older numpy and pydicom), scipy 1.13.1 and dcmqi 1.5.7.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
# mm
NEAR = 1e-5


def where(mask, affine, label):
    """Positions of a label's voxels in mm, in an order that does not depend on that of the voxels."""
    points = np.argwhere(mask == label) @ affine[:, :3].T + affine[:, 3]
    return points


def same_places(expected, found, near):
    from scipy.spatial import cKDTree

    assert len(expected) == len(found), (len(expected), len(found))
    if len(expected) == 0:
        return 0.0
    far, index = cKDTree(found).query(expected)
    assert len(set(index)) == len(expected) and far.max() <= near, far.max()
    return far.max()


def read_mask(job):
    return np.fromfile(job["voxels"], "<u2").reshape(job["shape"], order="F")


def in_pydicom_seg(folder):
    """Run by the other interpreter."""
    import pydicom
    import pydicom_seg
    import SimpleITK as sitk

    flip = np.diag([-1.0, -1.0, 1.0])
    for path in sorted(Path(folder).glob("*.json")):
        job = json.loads(path.read_text())
        mask, affine = read_mask(job), np.array(job["affine"])
        result = pydicom_seg.SegmentReader().read(pydicom.dcmread(job["out"]))
        shown = [int(v) for v in np.unique(mask) if v] or sorted(map(int, job["names"]))
        assert list(result.available_segments) == list(range(1, len(shown) + 1))
        for number, label in enumerate(shown, 1):
            image = result.segment_image(number)
            info = result.segment_infos[number]
            assert info.SegmentDescription == f"label {label}"
            array = sitk.GetArrayFromImage(image).transpose()
            direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
            found = flip @ np.concatenate([direction, np.array(image.GetOrigin())[:, None]], axis=1)
            same_places(where(mask, affine, label), where(array, found, 1), 1e-4)
        print("pydicom-seg", path.stem, "agrees")


def in_highdicom(job):
    import highdicom as hd
    import pydicom

    mask, affine = read_mask(job), np.array(job["affine"])
    seg = hd.seg.segread(job["out"])
    shown = [int(v) for v in np.unique(mask) if v] or sorted(map(int, job["names"]))
    assert list(seg.segment_numbers) == list(range(1, len(shown) + 1))
    source = pydicom.dcmread(job["slices"][0])
    for key in ["PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate", "AccessionNumber"]:
        assert seg[key].value == source[key].value, key
    for number, label in enumerate(shown, 1):
        told = seg.get_segment_description(number)
        assert told.segment_label == job["names"].get(str(label), f"label {label}"), told.segment_label
        assert told.SegmentDescription == f"label {label}"
        assert told.SegmentAlgorithmType == ("MANUAL" if job["manual"] else "AUTOMATIC")
        assert told.get("SegmentAlgorithmName") == (None if job["manual"] else "polycl check")

    # By reference to the slices.
    if job["multiframe"]:
        pixels = seg.get_pixels_by_source_frame(source.SOPInstanceUID, list(range(1, job["shape"][2] + 1)),
                                                assert_missing_frames_are_empty=True)
    else:
        uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in job["slices"]]
        pixels = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    for number, label in enumerate(shown):
        assert np.array_equal(pixels[..., number].transpose(2, 1, 0) != 0, mask == label), label

    # By place alone.
    volume = seg.get_volume()
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine
    far = 0.0
    for number, label in enumerate(shown):
        far = max(far, same_places(where(mask, lps, label), where(volume.array[..., number], volume.affine[:3], 1), NEAR))

    # Frame by frame, as the file has them; highdicom reckons with the mean distance of slices.
    for frame in seg.PerFrameFunctionalGroupsSequence:
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        k = np.linalg.lstsq(lps[:, 2:3], position - lps[:, 3], rcond=None)[0][0]
        far = max(far, np.abs(position - lps[:, 3] - round(k) * lps[:, 2]).max())
    assert far <= NEAR, far
    return far


def in_dcmqi(job, tool):
    import nibabel as nib

    mask, affine = read_mask(job), np.array(job["affine"])
    with tempfile.TemporaryDirectory() as out:
        command = [tool, "--inputDICOM", job["out"], "--outputDirectory", out, "--outputType", "nii", "--mergeSegments"]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        files = sorted(Path(out).glob("*.nii.gz"))
        assert len(files) == 1, files
        image = nib.load(files[0])
        array = np.asarray(image.dataobj)
        shown = [int(v) for v in np.unique(mask) if v]
        for number, label in enumerate(shown, 1):
            # NIfTI holds its affine in 32 bits.
            same_places(where(mask, affine, label), where(array, image.affine[:3], number), 1e-2)
        told = json.loads(next(Path(out).glob("*.json")).read_text())
        names = [segment["SegmentLabel"] for group in told["segmentAttributes"] for segment in group]
        return names


def in_dciodvfy(path):
    run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    lines = (run.stdout + run.stderr).splitlines()
    return [l for l in lines if l.startswith("Error")], [l for l in lines if l.startswith("Warning")]


def codes_are_known():
    """Codes and meanings of PolyCL's table against pydicom's dictionary of SNOMED CT."""
    from pydicom.sr._concepts_dict import concepts

    known = {(code, told[0].lower()) for named in concepts["SCT"].values() for code, told in named.items()}
    table = (HERE / "../../../src/dicom/segmentation/codes.rs").read_text().split("#[cfg(test)]")[0]
    codes = re.findall(r'\("(\d+)",\s*"([^"]+)"\)', table)
    assert len(codes) > 70
    unknown = [code for code in codes if (code[0], code[1].lower()) not in known]
    assert not unknown, unknown
    print(f"{len(codes)} codes are pydicom's")


def cases():
    """Shapes whose rows times columns are no multiple of 8, but for two."""
    from series import rotation

    e = np.eye(3)
    axial, flat = (e[0], e[1]), np.array([0.7, 0.7, 5.0])
    at = np.array([-123.456789, 87.654321, -1000.125])
    # name, shape, cosines, spacing of columns and rows, origin, step
    yield "axial", (7, 5, 6), axial, flat, at, 5.0 * e[2], {}
    yield "feet_first", (9, 3, 5), axial, flat, at, -5.0 * e[2], {}
    yield "prone", (5, 5, 4), (-e[0], -e[1]), (0.9765625, 0.4882812), at, 2.5 * e[2], {"thickness": 5.0}
    yield "sagittal", (11, 7, 5), (e[1], -e[2]), (0.6, 0.8), at, 3.3 * e[0], {}
    yield "coronal", (7, 11, 5), (e[0], -e[2]), (0.7, 1.1), at, 1.3 * e[1], {}
    yield "mirrored", (8, 4, 5), (e[1], e[0]), (1 / 3, 0.7), at, 1.7 * e[2], {}
    for seed in range(4):
        r = rotation(seed)
        yield f"oblique_{seed}", (9 + seed, 7, 6), (r[0], r[1]), (0.7123456789, 1.3), at, (0.8 + seed) * r[2], {}
    r = rotation(9)
    yield "oblique_left_handed", (3, 3, 40), (r[1], r[0]), (0.5, 1.9), at, 0.625 * r[2], {}
    yield "one_slice", (13, 11, 1), axial, flat, at, 4.0 * e[2], {}
    yield "multiframe", (7, 9, 5), (r[0], r[1]), flat, at, 2.0 * r[2], {"multiframe": True}
    yield "large", (512, 512, 12), axial, flat, at, 5.0 * e[2], {}
    yield "empty", (7, 5, 4), axial, flat, at, 5.0 * e[2], {}


NAMES = {"1": "liver", "2": "kidney_left", "3": "Leber, groß", "7": "liver tumour", "300": "vertebrae_L1"}


def draw(name, shape):
    rng = np.random.default_rng(len(name) + sum(shape))
    values = np.array([0, 1, 2, 3, 7, 11, 300], np.uint16)
    mask = values[rng.integers(0, 7, shape)]
    if name == "empty":
        return np.zeros(shape, np.uint16)
    if shape[2] > 4:
        # A slice without anything, a label that stands in one slice, and one with a gap.
        mask[:, :, 2] = 0
        mask[:, :, :-1][mask[:, :, :-1] == 11] = 0
        mask[:, :, 1][mask[:, :, 1] == 3] = 0
    return mask


def main(program, other):
    from series import series

    codes_are_known()
    root = Path(tempfile.mkdtemp(prefix="dicom-seg-"))
    warnings, errors, far = {}, 0, 0.0
    for number, (name, shape, cosines, spacing, origin, step, more) in enumerate(cases(), 1):
        folder = root / name
        files, affine = series(folder, name, number, shape, cosines, spacing, origin, step, **more)
        draw(name, shape).ravel(order="F").astype("<u2").tofile(root / f"{name}.raw")
        job = {"slices": [str(f) for f in files], "shape": list(shape), "affine": affine.tolist(),
               "voxels": str(root / f"{name}.raw"), "names": NAMES, "multiframe": bool(more.get("multiframe")), "manual": name == "mirrored",
               "out": str(root / f"{name}.seg.dcm")}
        (root / f"{name}.json").write_text(json.dumps(job))
        subprocess.run([program, root / f"{name}.json"], check=True)
        bytes_once = Path(job["out"]).read_bytes()
        subprocess.run([program, root / f"{name}.json"], check=True)
        assert bytes_once == Path(job["out"]).read_bytes()
        moved = in_highdicom(job)
        far = max(far, moved)
        names = in_dcmqi(job, Path(other) / "segimage2itkimage")
        wrong, odd = in_dciodvfy(job["out"])
        errors += len(wrong)
        print(f"{name}: {len(bytes_once)} bytes, highdicom agrees to {moved:.1e} mm, dcmqi agrees with {names},",
              f"dciodvfy has {len(wrong)} errors", *wrong, sep="\n  " if wrong else " ")
        for line in odd:
            warnings.setdefault(line, []).append(name)
    for line, names in warnings.items():
        print(f"{len(names)} x {line}")
    subprocess.run([Path(other) / "python", __file__, "--pydicom-seg", root], check=True,
                   env={**os.environ, "PYTHONWARNINGS": "ignore"})
    print(f"farthest {far:.1e} mm; files in {root}")
    assert errors == 0


if __name__ == "__main__":
    if sys.argv[1] == "--pydicom-seg":
        in_pydicom_seg(sys.argv[2])
    else:
        main(*sys.argv[1:])
