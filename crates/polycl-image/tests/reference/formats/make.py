"""Writes small NIfTI-2, NRRD, MetaImage and npz files and what other programs read in them (expected.json).

Each format has a file for each of ten kinds of number in both byte orders, and these go through twenty
orientations, most of them oblique; then come the peculiarities of the format.

NIfTI-2 is written and read by nibabel; NRRD and MetaImage are written by SimpleITK, pynrrd or by hand, and read
by SimpleITK; npz is written and read by numpy, its geometry by SimpleITK.

Made with: nibabel 5.4.2, SimpleITK 2.5.7, pynrrd 1.1.3, numpy 2.4.6, scipy 1.17.1, Python 3.11.
Run:       python make.py            (from any directory; writes beside itself)
"""

import io
import json
import zipfile
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

HERE = Path(__file__).parent
rng = np.random.default_rng(11)
expected = {}

SHAPE = (5, 4, 3)
SPACING = np.array([0.75, 0.8, 2.5])
ORIGIN = np.array([-91.3, 12.7, -401.25])
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
CODES = ["LPS", "RAS", "LAS", "RPS", "LPI", "RAI", "PSL", "AIR", "SPL", "IRA", "LSA", "PRS"]
CASES = [(kind, order) for order in "<>" for kind in TYPES]
LPS = np.diag([-1.0, -1.0, 1.0])


def directions(number):
    """Unit axes (RAS+) as columns: each of twelve orientations, then eight of them turned."""
    columns = np.zeros((3, 3))
    for axis, letter in enumerate(CODES[number % 12]):
        columns[{"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[letter], axis] = 1 if letter in "RAS" else -1
    turn = Rotation.from_euler("xyz", [20, -12, 35 + number], degrees=True).as_matrix()
    return turn @ columns if number >= 12 else columns


def values(kind):
    """An array [x, y, z] of one kind of number, its largest and smallest among them."""
    if np.dtype(kind).kind == "f":
        return rng.normal(0, 500, SHAPE).astype(kind)
    info = np.iinfo(kind)
    # Beyond 2^24 f32, in which images are held, is not exact.
    low, high = max(info.min, -(2**24)), min(info.max, 2**24)
    array = rng.integers(low, high, SHAPE, endpoint=True).astype(kind)
    array.flat[:2] = low, high
    return array


def record(name, array, affine):
    """What is expected: `array` [x, y, z] and the affine to RAS+ mm."""
    expected[name] = {
        "shape": list(array.shape),
        "affine": np.asarray(affine, dtype=float)[:3].tolist(),
        "voxels": [float(x) for x in array.flatten(order="F")],
    }


def record_itk(name, of=None):
    image = sitk.ReadImage(str(HERE / (of or name)))
    affine = np.eye(4)
    affine[:3, :3] = LPS @ np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    affine[:3, 3] = LPS @ image.GetOrigin()
    record(name, sitk.GetArrayFromImage(image).transpose(), affine)


def image(array, number):
    made = sitk.GetImageFromArray(array.transpose().astype(array.dtype.newbyteorder("=")))
    made.SetSpacing(SPACING)
    made.SetOrigin(LPS @ ORIGIN)
    made.SetDirection((LPS @ directions(number)).flatten())
    return made


def swap(name, size, replace):
    """Turns the file's last `size` bytes, numbers of little endian, into big endian, and says so in its header."""
    path = HERE / name
    kind, old, new = replace
    content = path.read_bytes()
    head, body = content[:-size], np.frombuffer(content[-size:], kind)
    assert old in head or np.dtype(kind).itemsize == 1, head
    path.write_bytes(head.replace(old, new) + body.astype(np.dtype(kind).newbyteorder(">")).tobytes())


def nifti2():
    def save(name, array, affine, order="<", codes=(0, 1), ending=".nii"):
        header = nib.Nifti2Header(endianness=order)
        header.set_data_dtype(array.dtype.newbyteorder(order))
        made = nib.Nifti2Image(array, affine, header)
        made.header.set_xyzt_units("mm", "sec")
        made.set_sform(affine, codes[1])
        made.set_qform(affine, codes[0], strip_shears=True)
        nib.save(made, HERE / (name + ending))
        back = nib.load(HERE / (name + ending))
        assert isinstance(back, nib.Nifti2Image) and back.header.endianness == order
        record(name + ending, back.get_fdata(), back.affine)

    for number, (kind, order) in enumerate(CASES):
        affine = nib.affines.from_matvec(directions(number) @ np.diag(SPACING), ORIGIN)
        ending = ".nii.gz" if number % 5 == 0 else ".nii"
        tag = "le" if order == "<" else "be"
        save(f"nifti2_{kind}_{tag}", values(kind), affine, order, codes=(1, 0) if number % 3 == 0 else (0, 1), ending=ending)
    tilt = np.eye(3)
    tilt[1, 2] = -0.35  # a gantry tilt
    save("nifti2_sheared", values("int16"), nib.affines.from_matvec(tilt @ directions(0) @ np.diag(SPACING), ORIGIN))
    save("nifti2_sheared_oblique", values("int16"), nib.affines.from_matvec(directions(13) @ tilt @ np.diag(SPACING), ORIGIN))
    save("nifti2_long", np.arange(40000, dtype="int32").astype("uint8").reshape(40000, 1, 1), np.diag([1.0, 2, 3, 1]), ending=".nii.gz")
    expected["nifti2_long.nii.gz"]["voxels"] = expected["nifti2_long.nii.gz"]["voxels"][:300]


def nrrds():
    for number, (kind, order) in enumerate(CASES):
        array = values(kind)
        name = f"nrrd_{kind}_{'le' if order == '<' else 'be'}.nrrd"
        packed = order == "<" and number % 2 == 0
        sitk.WriteImage(image(array, number), str(HERE / name), packed)
        if order == ">":
            swap(name, array.nbytes, (kind, b"endian: little", b"endian: big"))
        record_itk(name)
        assert expected[name]["voxels"] == [float(x) for x in array.flatten(order="F")], name

    array = values("int16")
    for space, signs in [("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1)), ("LPS", (-1, -1, 1))]:
        into = np.diag(signs)
        header = {
            "space": space,
            "space directions": (into @ directions(14) @ np.diag(SPACING)).T,
            "space origin": into @ ORIGIN,
            "kinds": ["domain"] * 3,
            "centerings": ["node"] * 3,
            "encoding": "ascii" if space == "LAS" else "gzip",
            "Patient Name": "Doe^Jane",
        }
        name = f"nrrd_space_{space}.nrrd"
        nrrd.write(str(HERE / name), array, header)
        record_itk(name)

    for name, encoding in [("detached_raw", "raw"), ("detached_gzip", "gzip"), ("detached_text", "ascii")]:
        header = {"space": "RAS", "space directions": (directions(15) @ np.diag(SPACING)).T, "space origin": ORIGIN,
                  "encoding": encoding}
        nrrd.write(str(HERE / f"nrrd_{name}.nhdr"), array, header, detached_header=True)
        record_itk(f"nrrd_{name}.nhdr")

    raw = array.astype("<i2").tobytes(order="F")
    plain = "NRRD0005\n# made by hand\ntype: int16\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\n"

    def by_hand(name, fields, body=raw, start=plain, read=True):
        (HERE / f"nrrd_{name}.nrrd").write_bytes((start + fields).encode() + b"\n\n" + body)
        if read:
            record_itk(f"nrrd_{name}.nrrd")

    by_hand("spacings", "spacings: 0.75 0.8 2.5")
    by_hand("axis_mins", "spacings: 0.75 0.8 2.5\naxis mins: 1 2 3")
    by_hand("axis_mins_node", "spacings: 0.75 0.8 2.5\naxis mins: 1 2 3\ncenterings: node node node")
    by_hand("no_spacing", "old min: 3\nold max: 7")
    by_hand("space_dimension", "space dimension: 3\nspace directions: (0,2,0) (1,0,0) (0,0,3)\nspace origin: (1, 2, 3)")
    by_hand("byte_skip", "byte skip: 7\nspacings: 1 2 3", b"1234567" + raw)
    by_hand("byte_skip_last", "byte skip: -1\nspacings: 1 2 3", b"some\nheader\x00of unknown length" + raw)
    by_hand("line_skip", "line skip: 2\nspacings: 1 2 3", b"one\ntwo\n" + raw)
    (HERE / "nrrd_windows_lines.nrrd").write_bytes((plain + "spacings: 1 2 3\n\n").replace("\n", "\r\n").encode() + raw)
    record_itk("nrrd_windows_lines.nrrd")
    # ITK refuses an axis that has no direction; what is expected is the volume without it.
    oriented = "space: LPS\nspace directions: (0,2,0) (1,0,0) (0,0,3)\nspace origin: (1,2,3)"
    by_hand("three_axes", oriented)
    for name, sizes, directions_4 in [("first_axis", "1 5 4 3", "none (0,2,0) (1,0,0) (0,0,3)"),
                                      ("last_axis", "5 4 3 1", "(0,2,0) (1,0,0) (0,0,3) none")]:
        start = plain.replace("dimension: 3", "dimension: 4").replace("5 4 3", sizes)
        fields = f"space: LPS\nspace directions: {directions_4}\nspace origin: (1,2,3)"
        by_hand(name, fields, start=start, read=False)
        record_itk(f"nrrd_{name}.nrrd", of="nrrd_three_axes.nrrd")


def metaimages():
    for number, (kind, order) in enumerate(CASES):
        array = values(kind)
        ending = "mhd" if number % 4 in (1, 2) else "mha"
        name = f"meta_{kind}_{'le' if order == '<' else 'be'}.{ending}"
        packed = order == "<" and number % 2 == 0
        sitk.WriteImage(image(array, number), str(HERE / name), packed)
        if order == ">":
            msb = (b"BinaryDataByteOrderMSB = False", b"BinaryDataByteOrderMSB = True")
            if ending == "mha":
                swap(name, array.nbytes, (kind, *msb))
            else:
                (HERE / name).write_bytes((HERE / name).read_bytes().replace(*msb))
                body = (HERE / name).with_suffix(".raw")
                body.write_bytes(np.frombuffer(body.read_bytes(), kind).astype(np.dtype(kind).newbyteorder(">")).tobytes())
        record_itk(name)
        assert expected[name]["voxels"] == [float(x) for x in array.flatten(order="F")], name

    raw = values("int16").astype("<i2").tobytes(order="F")
    plain = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\n"

    def by_hand(name, fields, body=raw):
        (HERE / f"meta_{name}.mha").write_bytes((plain + fields + "ElementDataFile = LOCAL\n").encode() + body)
        record_itk(f"meta_{name}.mha")

    by_hand("bare", "")
    by_hand("size", "ElementSize = 0.75 0.8 2.5\nPosition = 1 2 3\nOrientation = 0 1 0 -1 0 0 0 0 1\n")
    by_hand("both", "ElementSize = 1 1 1\nElementSpacing = 2 2 3\nOrigin = 1 2 3\nRotation = 0 1 0 -1 0 0 0 0 1\n")
    by_hand("header_last", "ElementSpacing = 1 2 3\nHeaderSize = -1\n", b"junk" + raw)
    body = "meta_header.raw"
    (HERE / body).write_bytes(b"1234567" + raw)
    for name, size in [("header", 7), ("header_unknown", -1)]:
        (HERE / f"meta_{name}.mhd").write_text(plain + f"HeaderSize = {size}\nElementSpacing = 1 2 3\nElementDataFile = {body}\n")
        record_itk(f"meta_{name}.mhd")


def npzs():
    def save(name, array, number=None, version=(1, 0), method=zipfile.ZIP_DEFLATED, **members):
        if number is not None:
            of = image(array.transpose(), number)
            members |= {"spacing": np.array(of.GetSpacing()), "origin": np.array(of.GetOrigin()),
                        "direction": np.array(of.GetDirection())}
        with zipfile.ZipFile(HERE / f"npz_{name}.npz", "w", method) as archive:
            for member, content in ({"imgs": array} | members).items():
                written = io.BytesIO()
                np.lib.format.write_array(written, content, version=version)
                archive.writestr(zipfile.ZipInfo(f"{member}.npy"), written.getvalue(), method)
        back = np.load(HERE / f"npz_{name}.npz")
        assert np.array_equal(back["imgs"], array)
        direction = directions(number) if number is not None else LPS
        spacing = back["spacing"] if "spacing" in back else np.ones(3)
        origin = ORIGIN if number is not None else np.zeros(3)
        record(f"npz_{name}.npz", back["imgs"].transpose(), nib.affines.from_matvec(direction @ np.diag(spacing), origin))

    for number, (kind, order) in enumerate(CASES):
        array = np.ascontiguousarray(values(kind).transpose().astype(np.dtype(kind).newbyteorder(order)))
        if number % 2 == 1:
            array = np.asfortranarray(array)
        method = zipfile.ZIP_STORED if number % 3 == 0 else zipfile.ZIP_DEFLATED
        tag = "le" if order == "<" else "be"
        save(f"{kind}_{tag}", array, number, version=(1 + number % 3, 0), method=method)
    array = values("int16").transpose()
    save("bare", array)
    save("spacing", array, spacing=SPACING)
    save("mask", array, gts=(np.arange(60) % 3 == 0).reshape(array.shape), spacing=SPACING)


def main():
    for old in HERE.iterdir():
        if old.suffix not in [".py", ".json"]:
            old.unlink()
    nifti2()
    nrrds()
    metaimages()
    npzs()
    text = "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in expected.items()) + "\n}"
    (HERE / "expected.json").write_text(text + "\n")
    print(len(expected), "files,", sum(file.stat().st_size for file in HERE.iterdir()), "bytes")


main()
