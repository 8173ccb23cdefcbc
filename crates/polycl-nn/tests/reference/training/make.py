"""Ten Adam steps of both networks and both tasks, in float64 and, for the tolerance, in float32 (key names: ../README.md).

Dropout is off and batch norm trains. Step k uses batch k % 2. The three slices of a triplet pass the network
as batches of their own, in the order anchor, positive, negative, so running statistics move three times a step.
`recipe` trains the same U-Net on the same batches by another recipe; `heights` does so with a second map, of one value
for each slice, which the first weights do not see. As an argument, one of the two alone is made.
"""

import math
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import blob_masks, cast, relative_error, save, smooth_images  # noqa: E402
from losses_reference import batch_dice_ce, cosine_loss, dice_sigmoid  # noqa: E402
from networks import is_roundoff_only, set_mode  # noqa: E402
from whole_networks import initial_state, model_with  # noqa: E402

WIDTHS = (2, 4, 8, 16, 32)
ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
STEPS, SIZE, TEMPERATURE = 10, 64, 0.1
RECIPE = {"lr": 2e-3, "warmup": 0.2, "clip": 1.0, "average": 0.99}
# Of the two slices of each batch, and of the fixed one.
HEIGHTS = {"0": (0.25, -0.75), "1": (-0.5, 1.5), "fixed": (0.5,)}
SEEDS = {"unet": 316, "resnet18": 117}
TRIPLET = ("anchor", "positive", "negative")


def make_batches(seed):
    torch.manual_seed(seed)
    batches = {"fixed.input": smooth_images(1, SIZE, SIZE)}
    for i in range(2):
        batches |= {f"{i}.image": smooth_images(2, SIZE, SIZE), f"{i}.mask": blob_masks(2, SIZE, SIZE)}
        batches |= {f"{i}.{name}": smooth_images(2, SIZE, SIZE) for name in TRIPLET}
    return batches


def loss_of(model, task, batches, i):
    if task == "supervised":
        return dice_sigmoid(model(batches[f"{i}.image"]), batches[f"{i}.mask"])
    return cosine_loss(*(model.embed(batches[f"{i}.{name}"]) for name in TRIPLET), temperature=TEMPERATURE)


def train(net, task, state, batches, dtype):
    """The loss before each step, then the weights, and the output on the fixed input in evaluation mode."""
    model, batches = model_with(net, WIDTHS, state, "train", dtype), cast(batches, dtype)
    unused = "projection." if task == "supervised" else "decoder."
    adam = torch.optim.Adam([p for n, p in model.named_parameters() if not n.startswith(unused)], **ADAM)
    losses = []
    for step in range(STEPS):
        adam.zero_grad()
        loss = loss_of(model, task, batches, step % 2)
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    weights = {f"weight.{k}": v for k, v in model.state_dict().items()
               if not k.startswith(unused) and not k.endswith("num_batches_tracked")}
    set_mode(model, "eval")
    with torch.no_grad():
        x = batches["fixed.input"]
        output = model(x).sigmoid() if task == "supervised" else model.embed(x)
    return {"losses": torch.stack(losses), "output": output, **weights}


def nudged(tensors, seed):
    """The same tensors, each value moved by about half a unit in its last place: another way of rounding."""
    random = torch.Generator().manual_seed(seed)
    return {k: v * (1 + 6e-8 * torch.randn(v.shape, generator=random, dtype=torch.float64)).to(v.dtype)
            if v.is_floating_point() else v for k, v in tensors.items()}


def factor(step):
    """Of the rate at a step, counted from 0: a rise over the first fifth, then half a cosine."""
    warm = max(1, round(RECIPE["warmup"] * STEPS))
    return (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / (STEPS - warm))) / 2


def train_by_recipe(state, batches, dtype):
    """Batch Dice with cross-entropy, rates that rise and fall, clipped gradients, and an average of the weights."""
    inputs = batches["0.image"].shape[1]
    model, batches = model_with("unet", WIDTHS, state, "train", dtype, inputs), cast(batches, dtype)
    trained = {n: p for n, p in model.named_parameters() if not n.startswith("projection.")}
    average = {n: p.detach().clone() for n, p in trained.items()}
    adam = torch.optim.Adam(trained.values(), **ADAM)
    losses, norms, rates = [], [], []
    for step in range(STEPS):
        for group in adam.param_groups:
            group["lr"] = RECIPE["lr"] * factor(step)
        adam.zero_grad()
        mask = batches[f"{step % 2}.mask"]
        loss = batch_dice_ce(model(batches[f"{step % 2}.image"]), mask, torch.ones(len(mask), dtype=dtype))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), RECIPE["clip"]))
        adam.step()
        losses.append(loss.detach())
        rates.append(RECIPE["lr"] * factor(step))
        keep = min(RECIPE["average"], (step + 1) / (step + 10))
        for name, p in trained.items():
            average[name] = keep * average[name] + (1 - keep) * p.detach()
    weights = {n: p.detach().clone() for n, p in trained.items()}
    found = {"losses": torch.stack(losses), "norms": torch.stack(norms), "rates": torch.tensor(rates, dtype=torch.float64)}
    set_mode(model, "eval")
    for prefix, output, values in (("weight", "output", weights), ("average", "average_output", average)):
        model.load_state_dict(values, strict=False)
        with torch.no_grad():
            found[output] = model(batches["fixed.input"]).sigmoid()
        found |= {f"{prefix}.{n}": v for n, v in values.items()}
    return found


def make(run, state):
    """The float64 run, and how far the worst of five float32 runs ends from it.

    A single float32 run may agree by luck: one activation on the other side of a kink changes a gradient, and
    Adam turns a near-zero gradient of the other sign into a step of the full learning rate.
    """
    exact = run(state, torch.float64)
    errors = dict.fromkeys(exact, 0.0)
    for replica in range(5):
        single = run(nudged(state, replica) if replica else state, torch.float32)
        errors = {k: max(errors[k], relative_error(single[k], exact[k])) for k in exact}
    return exact, errors


def steps_of_adam():
    batches = make_batches(seed=40)
    save(HERE / "batches.safetensors", batches, seed=40, size=SIZE)
    for net, seed in SEEDS.items():
        common = {"net": net, "widths": WIDTHS, "seed": seed}
        initial = initial_state(net, WIDTHS, seed)
        save(HERE / f"{net}_initial.safetensors", {f"weight.{k}": v for k, v in initial.items()}, **common)
        for task in ("supervised", "contrastive"):
            tensors, errors = make(lambda state, dtype: train(net, task, state, batches, dtype), initial)
            save(HERE / f"{net}_{task}.safetensors", tensors, **common, adam=ADAM, temperature=TEMPERATURE,
                 float32_error=errors, roundoff_only=sorted(k for k in tensors if is_roundoff_only(k)))


def recipe():
    batches, initial = make_batches(seed=40), initial_state("unet", WIDTHS, SEEDS["unet"])
    tensors, errors = make(lambda state, dtype: train_by_recipe(state, batches, dtype), initial)
    save(HERE / "unet_recipe.safetensors", tensors, net="unet", widths=WIDTHS, seed=SEEDS["unet"], adam=ADAM, recipe=RECIPE,
         float32_error=errors, roundoff_only=sorted(k for k in tensors if is_roundoff_only(k)))


def told(images, heights):
    """The images, and a map of each one's height."""
    maps = torch.tensor(heights).reshape(-1, 1, 1, 1).expand(-1, 1, *images.shape[2:])
    return torch.cat([images, maps], 1)


def heights():
    batches, initial = make_batches(seed=40), initial_state("unet", WIDTHS, SEEDS["unet"])
    seen = {f"{i}.mask": batches[f"{i}.mask"] for i in range(2)}
    seen |= {f"{i}.image": told(batches[f"{i}.image"], HEIGHTS[f"{i}"]) for i in range(2)}
    seen["fixed.input"] = told(batches["fixed.input"], HEIGHTS["fixed"])
    first = initial["encoder.blocks.0.conv1.weight"]
    initial = {**initial, "encoder.blocks.0.conv1.weight": torch.cat([first, torch.zeros_like(first)], 1)}
    tensors, errors = make(lambda state, dtype: train_by_recipe(state, seen, dtype), initial)
    tensors |= {f"initial.{k}": v for k, v in initial.items()}
    save(HERE / "unet_heights.safetensors", tensors, net="unet", widths=WIDTHS, seed=SEEDS["unet"], adam=ADAM, recipe=RECIPE,
         heights=HEIGHTS, float32_error=errors, roundoff_only=sorted(k for k in tensors if is_roundoff_only(k)))


if __name__ == "__main__":
    only = sys.argv[1:]
    if not only:
        steps_of_adam()
    if only != ["heights"]:
        recipe()
    if only != ["recipe"]:
        heights()
