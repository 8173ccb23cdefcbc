"""Reference values for polycl_metrics: pairs of masks and what others score them.

    pip install surface-distance==0.1 numpy==2.4.6 scipy==1.17.1
    python make.py            # writes cases.json and areas.json beside this file

Surface metrics are surface-distance's, overlap is NumPy's, and a second Hausdorff distance comes
from SciPy's k-d tree over the corners of voxels, without any distance transform. Masks are run
lengths, first axis fastest, starting with background.
"""

import json
import pathlib

import numpy as np
from scipy import ndimage, spatial

# surface-distance 0.1 still uses names that NumPy 2 and SciPy 2 have dropped.
np.Inf, np.NaN = np.inf, np.nan
if not hasattr(ndimage, "filters"):
    ndimage.filters, ndimage.morphology = ndimage, ndimage

import surface_distance as sd
from surface_distance import lookup_tables

HERE = pathlib.Path(__file__).parent
TOLERANCES = [0.0, 1.0, 2.0, 3.5]


def ellipsoid(shape, centre, radii):
    grid = np.indices(shape).T
    return (((grid - centre) / radii) ** 2).sum(-1).T <= 1


def blob(rng, shape, sigma, keep):
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return noise > np.quantile(noise, 1 - keep)


def pairs():
    rng = np.random.default_rng(20)
    a = ellipsoid((30, 28, 20), (14, 13, 9), (9, 7, 5))
    yield "ellipsoids", (0.7, 1.3, 2.9), a, ellipsoid((30, 28, 20), (16, 12, 10), (8, 8, 4))
    yield "identical", (0.7, 1.3, 2.9), a, a
    yield "shifted_by_the_tolerance", (1.0, 1.0, 2.0), a, np.roll(a, 1, 2)
    yield "inside_one_another", (1.5, 1.5, 3.0), a, ellipsoid(a.shape, (14, 13, 9), (4, 3, 2))
    border = ellipsoid((16, 16, 16), (1, 14, 8), (9, 9, 12))
    yield "touching_the_border", (1.0, 2.0, 0.5), border, np.roll(border, 2, 0) & border
    full = np.ones((6, 5, 4), bool)
    yield "whole_image", (1.0, 1.2, 1.4), full, ellipsoid(full.shape, (3, 2, 2), (3, 2, 2))
    one, other = np.zeros((9, 8, 7), bool), np.zeros((9, 8, 7), bool)
    one[0, 0, 0] = other[8, 7, 6] = True
    yield "single_voxels", (0.9, 1.1, 5.0), one, other
    sheet, bent = np.zeros((20, 20, 12), bool), np.zeros((20, 20, 12), bool)
    sheet[2:18, 2:18, 5] = True
    bent[2:18, 2:18, 5] = True
    bent[9:, 2:18] = np.roll(bent[9:, 2:18], 2, 2)
    yield "thin_sheets", (0.8, 0.8, 3.0), sheet, bent
    parts = sheet.copy()
    parts[0:3, 0:3, 0:3] = parts[17:20, 16:20, 9:12] = True
    yield "disjoint_parts", (1.0, 0.5, 2.0), parts, sheet
    yield "one_slice", (0.6, 0.6, 5.0), a[:, :, 9:10], np.roll(a, 3, 0)[:, :, 9:10]
    for n, spacing in enumerate([(1, 1, 1), (0.727, 0.727, 2.0), (3.27, 0.98, 0.98), (5, 0.3, 1.1)]):
        shape = tuple(rng.integers(10, 26, 3))
        yield f"blobs_{n}", spacing, blob(rng, shape, 2, 0.3), blob(rng, shape, 2, 0.2)
    for n in range(3):  # every neighbour code occurs in noise
        shape = (12, 11, 10)
        yield f"noise_{n}", (0.7, 1.9, 1.2), rng.random(shape) < 0.5, rng.random(shape) < 0.4


def run_lengths(mask):
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
    return np.diff(np.concatenate([[0], edges])).tolist()


def surface_corners(mask, spacing):
    """Corners of voxels with some but not all of their eight voxels inside, in mm."""
    padded = np.pad(mask, 1)
    eight = sum(
        padded[x : x + mask.shape[0] + 1, y : y + mask.shape[1] + 1, z : z + mask.shape[2] + 1].astype(int)
        for x in (0, 1) for y in (0, 1) for z in (0, 1)
    )
    return np.argwhere((eight > 0) & (eight < 8)) * spacing


def hausdorff_by_tree(a, b, spacing):
    a, b = surface_corners(a, spacing), surface_corners(b, spacing)
    return max(spatial.cKDTree(b).query(a)[0].max(), spatial.cKDTree(a).query(b)[0].max())


def expected(ref, pred, spacing):
    s = sd.compute_surface_distances(ref, pred, spacing)
    d = np.concatenate([s["distances_gt_to_pred"], s["distances_pred_to_gt"]])
    w = np.concatenate([s["surfel_areas_gt"], s["surfel_areas_pred"]])
    tp = int((ref & pred).sum())
    return {
        "Dice": float(sd.compute_dice_coefficient(ref, pred)),
        "IoU": tp / int((ref | pred).sum()),
        "HD": float(sd.compute_robust_hausdorff(s, 100)),
        "HD_tree": float(hausdorff_by_tree(ref, pred, spacing)),
        "HD95": float(sd.compute_robust_hausdorff(s, 95)),
        "ASSD": float((d * w).sum() / w.sum()),
        "NSD": [float(sd.compute_surface_dice_at_tolerance(s, t)) for t in TOLERANCES],
        "volume_difference_ml": float((pred.sum() - ref.sum(dtype=float)) * np.prod(spacing) / 1000),
        "TP": tp,
        "FP": int((~ref & pred).sum()),
        "FN": int((ref & ~pred).sum()),
        "TN": int((~ref & ~pred).sum()),
    }


cases = [
    {
        "name": name,
        "shape": list(map(int, ref.shape)),
        "spacing": list(map(float, spacing)),
        "reference": run_lengths(ref),
        "prediction": run_lengths(pred),
        "expected": expected(ref, pred, spacing),
    }
    for name, spacing, ref, pred in pairs()
]
with open(HERE / "cases.json", "w") as file:
    file.write('{"tolerances": %s, "cases": [\n' % json.dumps(TOLERANCES))
    file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]}\n")

# Upstream's bits: 128 for the voxel (0, 0, 0) of the eight, and then down with the last axis fastest.
areas = lookup_tables.create_table_neighbour_code_to_surface_area([0.7, 1.3, 2.9])
kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
ours = [
    areas[sum(int(kernel[x, y, z]) for x in (0, 1) for y in (0, 1) for z in (0, 1) if code >> (x + 2 * y + 4 * z) & 1)]
    for code in range(256)
]
with open(HERE / "areas.json", "w") as file:
    json.dump({"spacing": [0.7, 1.3, 2.9], "areas": [round(float(area), 12) for area in ours]}, file)
    file.write("\n")
for case in cases:
    e = case["expected"]
    print(f"{case['name']:26} Dice {e['Dice']:.4f} HD {e['HD']:.4f} tree {e['HD_tree']:.4f} HD95 {e['HD95']:.4f} ASSD {e['ASSD']:.4f}")
