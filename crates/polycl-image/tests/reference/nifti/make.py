"""Writes small NIfTI files with nibabel and what nibabel makes of them (expected.json).

Made with: nibabel 5.4.2, numpy 2.4.6, scipy 1.17.1, Python 3.11.
Run:       python make.py            (from any directory; writes beside itself)
"""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

HERE = Path(__file__).parent
rng = np.random.default_rng(7)
expected = {}


def affine(columns, origin):
    a = np.eye(4)
    a[:3, :3] = columns
    a[:3, 3] = origin
    return a


def axes(code, spacing):
    """Columns of an axis-aligned affine with the given nibabel axis codes."""
    columns = np.zeros((3, 3))
    for axis, letter in enumerate(code):
        world = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[letter]
        columns[world, axis] = spacing[axis] * (1 if letter in "RAS" else -1)
    return columns


def save(name, data, sform, *, qform=None, codes=(1, 1), order="<", units=("mm", "sec"), scale=None, ending=".nii.gz"):
    """Writes `data` as stored numbers and records geometry and values as nibabel reads them back."""
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(data.dtype.newbyteorder(order))
    header.set_data_shape(data.shape)
    spacing = np.linalg.norm((sform if qform is None else qform)[:3, :3], axis=0)
    header.set_zooms(list(spacing) + [1.0] * (data.ndim - 3))
    header.set_xyzt_units(*units)
    if codes[0] > 0:
        header.set_qform(sform if qform is None else qform, codes[0], strip_shears=True)
    if codes[1] > 0:
        header.set_sform(sform, codes[1])
    header["sform_code"] = codes[1]
    header["qform_code"] = codes[0]
    header["descrip"] = b"made by make.py"
    slope, inter = scale or (np.nan, np.nan)
    header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["magic"] = b"n+1"
    stored = header.binaryblock + b"\0" * 4 + data.astype(data.dtype.newbyteorder(order)).tobytes(order="F")
    path = HERE / (name + ending)
    path.write_bytes(gzip.compress(stored, mtime=0) if ending == ".nii.gz" else stored)
    record(path)


def record(path):
    image = nib.load(path)
    header, values = image.header, image.get_fdata(dtype=np.float64)
    values = values.reshape(values.shape[:3])
    # nibabel leaves the unit of length to the caller.
    to_mm = {"meter": 1e3, "micron": 1e-3}.get(header.get_xyzt_units()[0], 1.0)
    world = image.affine.copy()
    world[:3] *= to_mm
    picks = [tuple(int(i) for i in rng.integers(0, values.shape)) for _ in range(6)]
    picks += [(0, 0, 0), tuple(n - 1 for n in values.shape)]
    expected[path.name] = {
        "shape": list(values.shape),
        "affine_mm": world[:3].tolist(),
        "axcodes": "".join(nib.aff2axcodes(image.affine)),
        "qform_code": int(header["qform_code"]),
        "sform_code": int(header["sform_code"]),
        "pixdim": [float(x) for x in header["pixdim"]],
        "xyzt_units": int(header["xyzt_units"]),
        "sum": float(values.sum()),
        "voxels": [[*p, float(values[p])] for p in picks],
    }


def main():
    for old in [*HERE.glob("*.nii"), *HERE.glob("*.nii.gz")]:
        old.unlink()
    shape = (6, 5, 4)
    spacing = (0.75, 0.8, 2.5)
    origin = (-91.3, 12.7, -401.25)

    def stored(dtype):
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return rng.normal(0, 500, shape).astype(dtype)
        low, high = (-1024, 3071) if dtype.kind == "i" else (0, 4000)
        info = np.iinfo(dtype)
        return rng.integers(max(low, info.min), min(high, info.max), shape, endpoint=True).astype(dtype)

    plain = affine(axes("LPS", spacing), origin)
    for dtype in ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]:
        for order, tag in [("<", "le"), (">", "be")]:
            save(f"{dtype}_{tag}", stored(dtype), plain, order=order, ending=".nii" if tag == "be" else ".nii.gz")

    for code in ["LPS", "RAS", "LAS", "RPS", "LPI", "RAI", "PSL", "AIR", "SPL", "IRA", "LSA", "PRS"]:
        save(f"axes_{code}", stored("int16"), affine(axes(code, spacing), origin))

    turn = Rotation.from_euler("xyz", [20, -12, 35], degrees=True).as_matrix()
    oblique = affine(turn @ axes("LPS", spacing), origin)
    save("oblique", stored("int16"), oblique)
    save("oblique_left_handed", stored("int16"), affine(turn @ axes("LAS", spacing), origin))
    tilt = np.eye(3)
    tilt[1, 2] = -0.35  # a gantry tilt
    sheared = affine(tilt @ axes("LPS", spacing), origin)
    save("sheared", stored("int16"), sheared, codes=(0, 1))
    save("sheared_oblique", stored("int16"), affine(turn @ tilt @ axes("RAI", spacing), origin), codes=(0, 2))

    save("qform_only", stored("int16"), oblique, codes=(1, 0))
    save("qform_only_left_handed", stored("int16"), affine(turn @ axes("LAS", spacing), origin), codes=(2, 0))
    save("qform_half_turn", stored("int16"), affine(axes("LPS", spacing), origin), codes=(1, 0))
    other = affine(axes("RAS", spacing), (5.0, 6.0, 7.0))
    save("sform_differs", stored("int16"), plain, qform=other, codes=(1, 2))
    save("no_form", stored("int16"), plain, codes=(0, 0))

    save("slope", stored("int16"), plain, scale=(0.1, -1000.3))
    save("slope_big_endian", stored("uint16"), plain, order=">", scale=(2.0, -1024.0))
    save("slope_zero", stored("int16"), plain, scale=(0.0, 55.0))
    save("slope_mask", (5 * rng.integers(0, 60, shape)).astype("int16"), plain, scale=(0.2, 0.0))

    for unit, mm in [("meter", 1e3), ("micron", 1e-3), ("unknown", 1.0)]:
        scaled = plain.copy()
        scaled[:3] /= mm
        save(f"unit_{unit}", stored("int16"), scaled, units=(unit, "unknown"))
    save("fourth_axis", stored("int16")[..., None], plain)
    save("one_slice", stored("int16")[:, :, :1], plain)

    # Labels that a program kept as fractions: nibabel scales them onto the whole range of uint8.
    labels = rng.integers(0, 8, shape)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    path = HERE / "scaled_labels.nii.gz"
    nib.save(nib.Nifti1Image(labels.astype(np.float64), plain, header), path)
    record(path)
    assert (np.rint(nib.load(path).get_fdata()) == labels).all()

    text = "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in expected.items()) + "\n}"
    (HERE / "expected.json").write_text(text + "\n")


main()
