"""Compares contours with what other programs read and write, and prints a table.

    cargo build --release -p polycl-image --example contours
    python check.py CONTOURS WORK --platipy PYTHON --dcmrtstruct2nii PYTHON --rt-utils PYTHON CT.nii.gz=MASK.nii.gz ...

CONTOURS is the built example. Each PYTHON is that of an environment with the program and pydicom < 3. plastimatch and
dciodvfy are taken from the PATH where they are. Needs pydicom 3, nibabel and numpy.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("contours")
    parser.add_argument("work", type=Path)
    for tool in ["platipy", "dcmrtstruct2nii", "rt-utils"]:
        parser.add_argument(f"--{tool}", dest=tool)
    parser.add_argument("cases", nargs="+")
    given = vars(parser.parse_args())
    tools = {tool: given[tool] for tool in ["platipy", "dcmrtstruct2nii", "rt-utils"] if given[tool]}
    if shutil.which("plastimatch"):
        tools["plastimatch"] = sys.executable
    worst = {}
    for number, case in enumerate(given["cases"], 1):
        one(given["contours"], given["work"] / f"{number:02}", number, case, tools, worst)
    print("\nworst of organs over 1000 voxels: Dice, volume")
    for (what, tool), (dice, volume) in sorted(worst.items()):
        print(f"{what:<30}{tool:<18}{dice:.4f}  {volume:+.2%}")


def one(contours, work, number, case, tools, worst):
    ct, mask = case.split("=")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    names = prepare(work, number, ct, mask)
    print(f"\n{case}: {len(names)} organs")
    run = lambda *args: subprocess.run(args, check=True, capture_output=True, text=True).stdout
    run(contours, "write", str(work / "series"), str(work / "mask.nii.gz"), str(work / "names.json"), str(work / "ours.dcm"))
    truth = load(work / "mask.nii.gz", names)
    first = next(iter(truth.values()))[0]
    # rt-utils reads into an array of columns by rows, which cuts images that are no squares.
    readers = {tool: python for tool, python in tools.items() if tool != "rt-utils" or first.shape[0] == first.shape[1]}

    def ours(object, out):
        run(contours, "draw", str(object), str(work / "series"), str(work / f"{out}.nii.gz"), str(work / f"{out}.json"))
        found = json.loads((work / f"{out}.json").read_text())
        return load(work / f"{out}.nii.gz", found)

    if shutil.which("dciodvfy"):
        told = subprocess.run(["dciodvfy", str(work / "ours.dcm")], capture_output=True, text=True)
        lines = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Error", "Warning"))]
        print("  dciodvfy:", "; ".join(sorted(set(lines))) or "no error, no warning")
    table("written and read by us", "polycl", truth, ours(work / "ours.dcm", "again"), worst)
    for tool, python in readers.items():
        found = elsewhere(python, "read", tool, work / "ours.dcm", work, names)
        table("written by us, read by", tool, truth, found, worst)
    for tool, python in tools.items():
        # The one writes nothing, the other by rt-utils.
        if tool in ["dcmrtstruct2nii", "platipy"]:
            continue
        elsewhere(python, "write", tool, work / f"{tool}.dcm", work, names)
        read = ours(work / f"{tool}.dcm", f"by-{tool}")
        table("written by, read by us", tool, truth, read, worst)
        for other, python in readers.items():
            theirs = elsewhere(python, "read", other, work / f"{tool}.dcm", work, names)
            table(f"by {tool}, also read by", other, theirs, read, worst)


def elsewhere(python, what, tool, object, work, names):
    """Lets another program's environment read or write an object."""
    with tempfile.TemporaryDirectory() as out:
        args = [python, str(Path(__file__).with_name("tools.py")), what, tool, str(object), str(work), out]
        told = subprocess.run(args, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
        if what == "write":
            return None
        return {name: load_one(Path(out) / f"{value}.nii.gz") for value, name in names.items()
                if (Path(out) / f"{value}.nii.gz").exists()}


def load_one(path):
    import nibabel as nib

    image = nib.load(path)
    return np.asarray(image.dataobj) != 0, image.affine


def load(path, names):
    import nibabel as nib

    image = nib.load(path)
    array = np.asarray(image.dataobj)
    return {name: (array == int(value), image.affine) for value, name in names.items()}


def table(what, tool, expected, found, worst):
    for name, (truth, affine) in expected.items():
        if name not in found:
            print(f"  {what:<30}{tool:<18}{name:<20} is missing")
            continue
        mask, other = found[name]
        # ITK's readers may count other axes backwards.
        turned = np.linalg.inv(affine) @ other
        flips = [axis for axis in range(3) if turned[axis, axis] < 0]
        mask = np.flip(mask, flips)
        assert mask.shape == truth.shape, (what, tool, mask.shape, truth.shape)
        both, sum_ = (mask & truth).sum(), mask.sum() + truth.sum()
        dice, volume = 2 * both / max(sum_, 1), mask.sum() / max(truth.sum(), 1) - 1
        print(f"  {what:<30}{tool:<18}{name:<20}{truth.sum():>8} voxels  Dice {dice:.4f}  volume {volume:+.2%}")
        if truth.sum() > 1000:
            before = worst.get((what, tool), (1.0, 0.0))
            worst[what, tool] = (min(before[0], dice), max(before[1], volume, key=abs))


def prepare(work, number, ct, mask):
    """Makes a DICOM series of a CT, and the mask on its grid."""
    import nibabel as nib

    sys.path.append(str(Path(__file__).parent.parent / "dicom-seg"))
    from series import series

    image, labels = nib.load(ct), nib.load(mask)
    assert np.allclose(image.affine, labels.affine, atol=1e-2), "the mask lies elsewhere"
    order = nib.orientations.axcodes2ornt(("L", "P", "S"))
    lps = lambda one: one.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(one.affine), order))
    image, labels = lps(image), lps(labels)
    values = np.asarray(labels.dataobj).astype(np.uint16)
    voxels = np.round(np.asarray(image.dataobj)).clip(-32768, 32767).astype(np.int16)
    flip = np.diag([-1.0, -1.0, 1.0])
    axes, origin = flip @ image.affine[:3, :3], flip @ image.affine[:3, 3]
    spacing = np.linalg.norm(axes, axis=0)
    files, affine = series(work / "series", f"case-{number}", 500 + number, voxels.shape,
                           (axes[:, 0] / spacing[0], axes[:, 1] / spacing[1]), spacing[:2], origin, axes[:, 2])
    import pydicom

    for k, file in enumerate(files):
        slice = pydicom.dcmread(file)
        slice.PixelData = voxels[:, :, k].T.tobytes()
        slice.save_as(file)
    counts = {int(value): int((values == value).sum()) for value in np.unique(values) if value}
    kept = sorted(sorted(counts, key=counts.get, reverse=True)[:12])
    values[~np.isin(values, kept)] = 0
    matrix = np.vstack([affine, [0, 0, 0, 1]]) if affine.shape[0] == 3 else affine
    nib.save(nib.Nifti1Image(values, matrix), work / "mask.nii.gz")
    names = {str(value): f"organ_{value}" for value in kept}
    (work / "names.json").write_text(json.dumps(names))
    return names


if __name__ == "__main__":
    main()
