"""What the generators share: writing a reference, making inputs, keeping inputs away from kinks."""

import json
import platform

import numpy
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

# A LeakyReLU input or the lead of a max-pool winner must exceed this fraction of the largest value of its tensor.
MARGIN = 2e-5

torch.set_num_threads(1)  # So that `float32_error` does not depend on the number of cores.


def save(path, tensors, **metadata):
    """Writes float64 as float32 (integers as they are); the metadata is one JSON text under `reference`."""
    versions = {"python": platform.python_version(), "torch": torch.__version__,
                "numpy": numpy.__version__, "safetensors": safetensors.__version__}
    stored = {k: (v.detach().float() if v.is_floating_point() else v).clone().contiguous() for k, v in tensors.items()}
    save_file(stored, path, {"reference": json.dumps({**metadata, "versions": versions}, sort_keys=True)})


def reference(compute, inputs):
    """`compute` in float64, and per output how far PyTorch's own float32 is from it, of the largest value."""
    exact = compute(cast(inputs, torch.float64))
    single = compute(cast(inputs, torch.float32))
    return exact, {k: relative_error(single[k], exact[k]) for k in exact}


def cast(tensors, dtype):
    return {k: v.detach().to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def relative_error(value, exact):
    scale = exact.abs().max().item()
    return float(f"{(value.double() - exact).abs().max().item() / scale:.3g}") if scale else 0.0


def with_gradients(function, tensors, wanted, upstream=None):
    """The output of `function(**tensors)` and the gradients `grad.<name>` of the wanted tensors."""
    tensors = {k: v.clone().requires_grad_(k in wanted) for k, v in tensors.items()}
    output = function(**tensors)
    grads = torch.autograd.grad(output, [tensors[k] for k in wanted], upstream)
    return output, {f"grad.{k}": g for k, g in zip(wanted, grads)}


class Cases:
    """Several cases of one kind in one file: tensor keys are `<case>.<key>`, settings go to the metadata."""

    def __init__(self, seed):
        self.seed, self.tensors, self.settings, self.errors = seed, {}, {}, {}
        torch.manual_seed(seed)

    def add(self, case, compute, inputs, **settings):
        outputs, errors = reference(compute, inputs)
        self.tensors |= {f"{case}.{k}": v for k, v in {**inputs, **outputs}.items()}
        self.errors |= {f"{case}.{k}": e for k, e in errors.items()}
        self.settings[case] = settings

    def save(self, path, **metadata):
        save(path, self.tensors, seed=self.seed, cases=self.settings, float32_error=self.errors, **metadata)


def smooth_images(*shape):
    """Random images in 0..1 as (batch, 1, height, width); each mixes coarse, middle and pixel structure in its own way."""
    b, h, w = shape
    layers = [F.interpolate(torch.rand(b, 1, n, n), (h, w), mode="bilinear") for n in (3, 8, h)]
    shares = (2 * torch.randn(b, 3)).softmax(1)[..., None, None, None]
    return sum(shares[:, i] * layer for i, layer in enumerate(layers))


def blob_masks(*shape):
    b, h, w = shape
    return (F.interpolate(torch.rand(b, 1, 4, 4), (h, w), mode="bilinear") > 0.55).float()


def distances_to_kinks(model, forward, image):
    """Per kink passed: (distances, scale); distances of LeakyReLU and ReLU inputs to 0, of max-pool winners to the next."""
    found, hooks = [], []

    def activation(_, inputs):
        found.append((inputs[0].flatten(), inputs[0].detach().abs().max()))

    def pool(module, inputs):
        k, s, p = module.kernel_size, module.stride, module.padding
        windows = F.pad(inputs[0], (p,) * 4, value=-torch.inf).unfold(2, k, s).unfold(3, k, s)
        best = windows.flatten(-2).topk(2).values.flatten(0, -2)
        best = best[best[:, 0] != 0]  # A window of zeros (after a ReLU) passes no gradient whoever wins.
        found.append((best[:, 0] - best[:, 1], inputs[0].detach().abs().max()))

    for module in model.modules():
        if isinstance(module, (nn.LeakyReLU, nn.ReLU)):
            hooks.append(module.register_forward_pre_hook(activation))
        elif isinstance(module, nn.MaxPool2d):
            hooks.append(module.register_forward_pre_hook(pool))
    forward(image)
    for hook in hooks:
        hook.remove()
    return found


def margin_to_kinks(model, forward, image):
    return min((d.detach().abs().min() / scale).item() for d, scale in distances_to_kinks(model, forward, image))


def clear_of_kinks(model, forward, image, rounds=100):
    """Moves a float32 image by the least that takes every kink of the float64 model at least MARGIN away.

    With 10^5 activations no seed does so by luck. Each round solves for the smallest change (least norm)
    that brings the too-close activations to 2 MARGIN, and stops when the rounded image satisfies all.
    Returns the image and the margin reached.
    """
    for _ in range(rounds):
        margin = margin_to_kinks(model, forward, image.double())
        if margin > MARGIN:
            return image, margin
        x = image.double().requires_grad_(True)
        close = [(d[i], 2 * MARGIN * scale) for d, scale in distances_to_kinks(model, forward, x)
                 for i in (d.abs() < 1.5 * MARGIN * scale).nonzero().flatten()]
        rows = torch.stack([torch.autograd.grad(d, x, retain_graph=True)[0].flatten() for d, _ in close])
        wanted = torch.stack([(target if d >= 0 else -target) - d.detach() for d, target in close])
        image = (x.detach() + torch.linalg.lstsq(rows, wanted, driver="gelsd").solution.view_as(x)).float()
    raise RuntimeError(f"kinks remain: margin {margin:.2e}")
