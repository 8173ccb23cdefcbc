"""Resized planes by the programs that SAM and SAM 2 (PIL), MedSAM (scikit-image) and all of them (PyTorch) resize with.

    pip install torch pillow scikit-image
    python3 make.py
"""

import json
from pathlib import Path

import numpy as np
import PIL
import skimage
import torch
from PIL import Image
from skimage.transform import resize

random = np.random.default_rng(3)
cases = []
# Columns and rows before and after. New versions of PIL choose which axis comes first; here, as in old ones, it is the columns.
for before, after in (([7, 5], [16, 12]), ([9, 6], [9, 6]), ([13, 11], [29, 11]), ([24, 17], [10, 7]), ([1, 4], [3, 12])):
    plane = random.integers(0, 256, (before[1], before[0])).astype(np.uint8)
    case = {"before": before, "after": after, "plane": plane.flatten().tolist()}
    case["pil"] = np.asarray(Image.fromarray(plane).resize(after, Image.BILINEAR)).flatten().tolist()
    case["pil_bicubic"] = np.asarray(Image.fromarray(plane).resize(after, Image.BICUBIC)).flatten().tolist()
    torch_plane = torch.from_numpy(plane).double()[None, None]
    size = (after[1], after[0])
    for key, antialias in (("antialiased", True), ("interpolated", False)):
        resized = torch.nn.functional.interpolate(torch_plane, size, mode="bilinear", align_corners=False, antialias=antialias)
        case[key] = [round(x, 5) for x in resized.flatten().tolist()]
    if all(a >= b for a, b in zip(after, before)):
        resized = resize(plane.astype(float), size, order=3, preserve_range=True, anti_aliasing=True)
        case["cubic"] = [round(x, 5) for x in resized.flatten().tolist()]
    cases.append(case)
versions = {"pillow": PIL.__version__, "scikit-image": skimage.__version__, "torch": torch.__version__}
text = json.dumps({"versions": versions, "cases": cases}, separators=(",", ":"))
Path(__file__).with_name("cases.json").write_text(text + "\n")
