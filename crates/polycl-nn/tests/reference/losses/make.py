"""Reference numbers of every loss: value and gradients, computed in float64 (key names: ../README.md).

With names of files as arguments (`batch_dice`), only those are made.
"""

import sys
from pathlib import Path

import torch
from torch.nn import functional as F

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


def batch_dice():
    cases = Cases(seed=13)
    b, h, w = 6, 8, 6
    one = blob_masks(b, h, w)
    three = F.one_hot(torch.randint(0, 3, (b, h, w)), 3).movedim(-1, 1).float()
    background = torch.zeros(b, 3, h, w)
    background[:, 0] = 1
    shown = (torch.arange(b) == 2).float().view(-1, 1, 1, 1)  # The one image that shows something.
    uneven, even = torch.tensor([0.25, 1.75, 1.0, 0.5, 2.0, 0.5]), torch.ones(b)
    for name, target, empty in (("sigmoid", one, torch.zeros_like(one)), ("softmax", three, background)):
        few = shown * target + (1 - shown) * empty
        for suffix, target, weights, scale in (("", target, uneven, 2), ("_even", target, even, 2),
                                               ("_few", few, uneven, 2), ("_few_even", few, even, 2),
                                               ("_empty", empty, uneven, 2), ("_empty_even", empty, even, 2),
                                               ("_large", target, uneven, 60)):
            inputs = {"logits": scale * torch.randn(target.shape), "target": target, "weights": weights}
            add(cases, f"{name}{suffix}", losses.batch_dice_ce, inputs, ("logits",), organs=max(1, target.shape[1] - 1))
    cases.save(HERE / "batch_dice.safetensors")


def ignored():
    cases = Cases(seed=14)
    b, h, w = 4, 6, 5
    weights = {"": torch.ones(b), "_uneven": torch.tensor([0.25, 1.75, 1.0, 0.5])}
    for name, channels in (("sigmoid", 1), ("softmax", 3)):
        truth = torch.randint(0, max(2, channels), (b, h, w))
        some = torch.where(torch.rand(b, h, w) < 0.4, losses.IGNORED, truth)
        whole = truth.clone()
        whole[2] = losses.IGNORED
        for kind, classes in (("some", some), ("whole", whole), ("all", torch.full_like(truth, losses.IGNORED))):
            for suffix, own in weights.items():
                for over in ("batch", "image"):
                    inputs = {"logits": 2 * torch.randn(b, channels, h, w), "classes": classes, "weights": own}
                    add(cases, f"{name}_{kind}{suffix}_{over}", lambda over=over, **t: losses.ignoring(**t, over=over),
                        inputs, ("logits",), organs=max(1, channels - 1), over=over)
    cases.save(HERE / "ignored.safetensors")


def regions():
    cases = Cases(seed=15)
    b, h, w, organs = 4, 6, 5, 3
    weights = {"": torch.ones(b), "_uneven": torch.tensor([0.25, 1.75, 1.0, 0.5])}
    truth = torch.randint(0, organs + 1, (b, h, w))
    some = torch.where(torch.rand(b, h, w) < 0.4, losses.IGNORED, truth)
    whole = truth.clone()
    whole[2] = losses.IGNORED
    few = truth.clone()
    few[1:] = 0
    kinds = (("all_known", truth, 2), ("few", few, 2), ("none", torch.zeros_like(truth), 2), ("large", truth, 60),
             ("some", some, 2), ("whole", whole, 2), ("all", torch.full_like(truth, losses.IGNORED), 2))
    for kind, classes, scale in kinds:
        for suffix, own in weights.items():
            for over in ("batch", "image"):
                inputs = {"logits": scale * torch.randn(b, organs, h, w), "classes": classes, "weights": own}
                add(cases, f"{kind}{suffix}_{over}", lambda over=over, **t: losses.of_regions(**t, over=over), inputs, ("logits",))
    cases.save(HERE / "regions.safetensors")


FILES = {"ignored": ignored, "regions": regions, "contrastive": contrastive, "segmentation": segmentation, "batch_dice": batch_dice}

if __name__ == "__main__":
    for name in sys.argv[1:] or FILES:
        FILES[name]()
