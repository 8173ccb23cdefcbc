"""Reference numbers of every loss: value and gradients, computed in float64 (key names: ../README.md)."""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import Cases, blob_masks, with_gradients  # noqa: E402
import losses_reference as losses  # noqa: E402


def add(cases, name, loss, inputs, wanted, **settings):
    def compute(tensors):
        value, grads = with_gradients(lambda **t: loss(**t), tensors, wanted)
        return {"loss": value, **grads}

    cases.add(name, compute, inputs, **settings)


def contrastive():
    cases = Cases(seed=11)
    wanted = ("anchor", "positive", "negative")

    def triplet():
        return {k: torch.randn(5, 8) for k in wanted}

    for temperature in (0.1, 0.5):
        add(cases, f"cosine_t{temperature}", lambda **t: losses.cosine_loss(**t, temperature=temperature),
            triplet(), wanted, temperature=temperature)
    hard = triplet()
    hard["negative"], hard["positive"] = 2 * hard["anchor"] + 0.01 * hard["negative"], 0.1 * hard["positive"] - hard["anchor"]
    add(cases, "cosine_overflow", lambda **t: losses.cosine_loss(**t, temperature=0.01), hard, wanted, temperature=0.01)
    add(cases, "euclidean", losses.euclidean_loss, {k: 0.4 * v for k, v in triplet().items()}, wanted, epsilon=1e-8)
    equal = {k: 0.4 * v for k, v in triplet().items()}
    equal["positive"][0] = equal["anchor"][0]
    add(cases, "euclidean_equal", losses.euclidean_loss, equal, wanted, epsilon=1e-8)
    cases.save(HERE / "contrastive.safetensors")


def segmentation():
    cases = Cases(seed=12)
    shape, wanted = (3, 1, 8, 6), ("logits",)
    some_empty = blob_masks(3, 8, 6)
    some_empty[1] = 0
    targets = {"": blob_masks(3, 8, 6), "_one_empty": some_empty, "_all_empty": torch.zeros(shape)}
    for suffix, target in targets.items():
        inputs = {"logits": 2 * torch.randn(shape), "target": target}
        add(cases, f"dice_sigmoid{suffix}", losses.dice_sigmoid, inputs, wanted)
        add(cases, f"dice_bce{suffix}", losses.dice_bce, inputs, wanted)
    add(cases, "dice_bce_large", losses.dice_bce, {"logits": 60 * torch.randn(shape), "target": targets[""]}, wanted)
    classes = torch.randint(0, 4, (3, 8, 6))
    absent = torch.where(classes == 2, 0, classes)
    absent[1] = 0
    for suffix, logits, target in (("", torch.randn(3, 4, 8, 6), classes), ("_one_empty", torch.randn(3, 4, 8, 6), absent),
                                   ("_large", 60 * torch.randn(3, 4, 8, 6), classes)):
        inputs = {"logits": logits, "classes": target}
        add(cases, f"dice_softmax{suffix}", losses.dice_softmax, inputs, wanted, organs=3)
        add(cases, f"dice_cross_entropy{suffix}", losses.dice_cross_entropy, inputs, wanted, organs=3)
    cases.save(HERE / "segmentation.safetensors")


if __name__ == "__main__":
    contrastive(), segmentation()
