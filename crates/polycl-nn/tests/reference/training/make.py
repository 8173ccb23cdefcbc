"""Ten Adam steps of both networks and both tasks, in float64 and, for the tolerance, in float32 (key names: ../README.md).

Dropout is off and batch norm trains. Step k uses batch k % 2. The three slices of a triplet pass the network
as batches of their own, in the order anchor, positive, negative, so running statistics move three times a step.
"""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import blob_masks, cast, relative_error, save, smooth_images  # noqa: E402
from losses_reference import cosine_loss, dice_sigmoid  # noqa: E402
from networks import is_roundoff_only, set_mode  # noqa: E402
from whole_networks import initial_state, model_with  # noqa: E402

WIDTHS = (2, 4, 8, 16, 32)
ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
STEPS, SIZE, TEMPERATURE = 10, 64, 0.1
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


def make(net, task, seed, batches):
    """The float64 run, and how far the worst of five float32 runs ends from it.

    A single float32 run may agree by luck: one activation on the other side of a kink changes a gradient, and
    Adam turns a near-zero gradient of the other sign into a step of the full learning rate.
    """
    state = initial_state(net, WIDTHS, seed)
    exact = train(net, task, state, batches, torch.float64)
    errors = dict.fromkeys(exact, 0.0)
    for replica in range(5):
        single = train(net, task, nudged(state, replica) if replica else state, batches, torch.float32)
        errors = {k: max(errors[k], relative_error(single[k], exact[k])) for k in exact}
    return exact, errors


def main():
    batches = make_batches(seed=40)
    save(HERE / "batches.safetensors", batches, seed=40, size=SIZE)
    for net, seed in (("unet", 316), ("resnet18", 117)):
        common = {"net": net, "widths": WIDTHS, "seed": seed}
        initial = initial_state(net, WIDTHS, seed)
        save(HERE / f"{net}_initial.safetensors", {f"weight.{k}": v for k, v in initial.items()}, **common)
        for task in ("supervised", "contrastive"):
            tensors, errors = make(net, task, seed, batches)
            save(HERE / f"{net}_{task}.safetensors", tensors, **common, adam=ADAM, temperature=TEMPERATURE,
                 float32_error=errors, roundoff_only=sorted(k for k in tensors if is_roundoff_only(k)))


if __name__ == "__main__":
    main()
