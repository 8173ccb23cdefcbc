"""Whole ViT-B SAM and MobileSAM with random weights in the official file formats, and numbers of their own predictors.

    python3 full_size.py OUT_DIR     # 405 MB; key names: README.md; what pip needs: make.py
"""

import sys
import time
from pathlib import Path

import mobile_sam
import numpy as np
import segment_anything
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from common import relative_error, save  # noqa: E402
from make import PACKAGES, stride_of  # noqa: E402
from networks import allow_float64, randomise  # noqa: E402

BOX = np.array([31.0, 22.5, 150.25, 131.0])  # Pixels of the image as it came.
POINT = np.array([[97.0, 70.0], [12.0, 150.0]])
POINT_LABELS = np.array([1, 0])


def colour_image(h=160, w=200):
    """Gradients, a disc and noise, 8 bits, height × width × RGB."""
    noise = np.random.default_rng(5).normal(0, 12, (h, w, 3))
    y, x = np.mgrid[:h, :w]
    disc = 70.0 * (((x - 95) / 50) ** 2 + ((y - 75) / 45) ** 2 < 1)
    image = np.stack([255 * x / w, 255 * y / h, 128 + 60 * np.sin(x / 17) * np.cos(y / 11)], -1) * 0.7 + disc[..., None] + noise
    return np.clip(image, 0, 255).astype(np.uint8)


def predict(package, model, image):
    predictor = package.SamPredictor(model)
    out = {}
    hook = model.image_encoder.register_forward_pre_hook(lambda _, inputs: out.update(input=inputs[0].clone()))
    predictor.set_image(image)
    hook.remove()
    out["embedding"] = predictor.get_image_embedding()
    for case, prompt in (("box", {"box": BOX}), ("points", {"point_coords": POINT, "point_labels": POINT_LABELS})):
        for prefix, multi in (("", False), ("multi_", True)):
            masks, iou, low = predictor.predict(**prompt, multimask_output=multi, return_logits=True)
            out |= {f"{case}.{prefix}{k}": torch.from_numpy(v)
                    for k, v in (("logits", low[None]), ("iou", iou[None]), ("masks", masks[None]))}
    return out


def make(name, package, model, file, seed, folder):
    randomise(model, seed)
    torch.save(model.state_dict(), folder / file)
    image = colour_image()
    begin = time.time()
    single = predict(package, model, image)
    seconds = time.time() - begin
    exact = predict(package, model.double(), image)
    errors = {k: relative_error(single[k], exact[k]) for k in exact}
    strides = {k: stride_of(exact[k], 2048) for k in ("input", "embedding", "box.multi_logits", "points.logits",
                                                      "points.multi_logits", "box.multi_masks", "points.masks", "points.multi_masks")}
    for key, stride in strides.items():
        exact[key] = exact[key].flatten()[::stride]
    inputs = {"image": torch.from_numpy(image), "box.boxes": torch.from_numpy(BOX)[None],
              "points.coords": torch.from_numpy(POINT)[None], "points.labels": torch.from_numpy(POINT_LABELS)[None]}
    save(folder / f"{name}.safetensors", {**inputs, **exact}, net=name, seed=seed, packages=PACKAGES, float32_error=errors,
         sample_stride=strides)
    print(f"{name}: {seconds:.1f} s for one image and four predictions in float32 on {torch.get_num_threads()} thread")


if __name__ == "__main__":
    allow_float64()
    out_dir = Path(sys.argv[1])
    out_dir.mkdir(parents=True, exist_ok=True)
    make("mobile_sam", mobile_sam, mobile_sam.sam_model_registry["vit_t"](), "mobile_sam.pt", 41, out_dir)
    make("vit_b", segment_anything, segment_anything.sam_model_registry["vit_b"](), "vit_b.pth", 42, out_dir)
