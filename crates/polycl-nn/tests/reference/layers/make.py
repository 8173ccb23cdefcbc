"""Reference numbers of every layer: forward and gradients, computed in float64 (key names: ../README.md)."""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import Cases, clear_of_kinks, with_gradients  # noqa: E402
from networks import ConvBlock, upsample  # noqa: E402


def add(cases, name, function, parameters, **settings):
    """A case of `function(**parameters)` with a random upstream gradient."""
    upstream = torch.randn_like(function(**parameters))

    def compute(tensors):
        arguments = {k: v for k, v in tensors.items() if k != "upstream"}
        output, grads = with_gradients(function, arguments, list(arguments), tensors["upstream"])
        return {"output": output, **grads}

    cases.add(name, compute, {**parameters, "upstream": upstream}, **settings)


def away_from_zero(*shape):
    x = torch.randn(shape)
    return x.sign() * (0.05 + x.abs())


def all_apart(*shape):
    """No two values closer than 0.06, so that every max-pool window has a clear winner."""
    n = torch.Size(shape).numel()
    return (torch.randperm(n).float().view(shape) - n / 2) * 0.06


def conv():
    cases = Cases(seed=1)
    for name, shape, cout, kernel, stride, padding, bias in (
        ("k3_s1", (2, 3, 8, 8), 4, 3, 1, 1, True), ("k3_s1_odd", (1, 3, 7, 5), 2, 3, 1, 1, True),
        ("k3_s1_wide", (1, 12, 5, 6), 9, 3, 1, 1, True), ("k3_s1_one_pixel", (2, 2, 1, 1), 3, 3, 1, 1, True),
        ("k3_s2", (2, 3, 8, 8), 4, 3, 2, 1, False), ("k3_s2_odd", (1, 3, 9, 7), 4, 3, 2, 1, False),
        ("k1_s1", (2, 4, 6, 6), 3, 1, 1, 0, True), ("k1_s2", (2, 4, 6, 6), 5, 1, 2, 0, False),
        ("k1_s2_odd", (1, 4, 7, 5), 3, 1, 2, 0, False),
        ("k7_s2", (2, 1, 16, 16), 4, 7, 2, 3, False), ("k7_s2_odd", (1, 1, 15, 13), 3, 7, 2, 3, False),
    ):
        parameters = {"input": torch.randn(shape), "weight": torch.randn(cout, shape[1], kernel, kernel) * 0.3}
        if bias:
            parameters["bias"] = torch.randn(cout)

        def function(input, weight, bias=None):
            return F.conv2d(input, weight, bias, stride, padding)

        add(cases, name, function, parameters, kernel=kernel, stride=stride, padding=padding)
    cases.save(HERE / "conv.safetensors")


def instance_norm():
    cases = Cases(seed=2)
    for name, shape, mean in (("plain", (2, 3, 8, 8), 0.0), ("odd", (1, 2, 5, 7), 0.5), ("tiny", (2, 3, 2, 2), 0.0),
                              ("large_mean", (2, 3, 8, 8), 1000.0)):
        add(cases, name, lambda input: F.instance_norm(input, eps=1e-5), {"input": torch.randn(shape) + mean},
            epsilon=1e-5, mean=mean)
    cases.save(HERE / "instance_norm.safetensors")


def batch_norm():
    """Train: two batches one after the other, then the running statistics; eval: with those statistics."""
    cases = Cases(seed=3)
    names = ("weight", "bias", "running_mean", "running_var")
    for case, shape in (("even", (3, 4, 6, 6)), ("odd", (2, 3, 5, 3)), ("one_pixel", (6, 3, 1, 1))):
        inputs = {f"{p}.{k}": torch.randn(shape) * 1.5 + 0.7 for p in ("train0", "train1", "eval") for k in ("input", "upstream")}
        c = shape[1]
        inputs |= dict(zip(names, (1 + 0.2 * torch.randn(c), torch.randn(c), torch.randn(c), 0.5 + torch.rand(c))))

        def compute(t):
            out, mean, var = {}, t["running_mean"].clone(), t["running_var"].clone()
            for phase in ("train0", "train1", "eval"):
                def function(input, weight, bias):
                    return F.batch_norm(input, mean, var, weight, bias, phase != "eval", 0.1, 1e-5)

                arguments = {"input": t[f"{phase}.input"], "weight": t["weight"], "bias": t["bias"]}
                y, grads = with_gradients(function, arguments, list(arguments), t[f"{phase}.upstream"])
                out |= {f"{phase}.{k}": v for k, v in {"output": y, **grads}.items()}
                if phase != "eval":
                    out |= {f"{phase}.running_mean": mean.clone(), f"{phase}.running_var": var.clone()}
            return out

        cases.add(case, compute, inputs, epsilon=1e-5, momentum=0.1)
    cases.save(HERE / "batch_norm.safetensors")


def simple():
    """The layers without parameters of their own, and the linear one."""
    cases = Cases(seed=4)
    add(cases, "leaky_relu", lambda input: F.leaky_relu(input, 0.2), {"input": away_from_zero(2, 3, 5, 7)}, slope=0.2)
    add(cases, "relu", lambda input: F.relu(input), {"input": away_from_zero(2, 3, 5, 7)})
    for suffix, shape in (("", (2, 3, 8, 8)), ("_odd", (1, 2, 7, 9))):
        add(cases, f"max_pool_k2_s2{suffix}", lambda input: F.max_pool2d(input, 2), {"input": all_apart(*shape)})
        add(cases, f"max_pool_k3_s2_p1{suffix}", lambda input: F.max_pool2d(input, 3, 2, 1), {"input": all_apart(*shape)})
    for suffix, shape in (("", (2, 3, 4, 6)), ("_odd", (1, 2, 5, 3)), ("_one_pixel", (2, 3, 1, 1)), ("_row", (1, 2, 1, 4))):
        add(cases, f"upsample{suffix}", lambda input: upsample(input), {"input": torch.randn(shape)}, align_corners=True)
    add(cases, "global_average", lambda input: input.mean((2, 3)), {"input": torch.randn(2, 5, 4, 3)})
    parameters = {"input": torch.randn(3, 6), "weight": torch.randn(4, 6), "bias": torch.randn(4)}
    add(cases, "linear", lambda input, weight, bias: F.linear(input, weight, bias), parameters)
    cases.save(HERE / "simple.safetensors")


def conv_block():
    """The whole block with dropout off; the inputs stay clear of the LeakyReLU kinks inside."""
    cases = Cases(seed=5)
    for name, shape, cout in (("even", (2, 3, 8, 8), 4), ("odd", (1, 2, 9, 7), 3)):
        block = ConvBlock(shape[1], cout).double().eval()
        block.load_state_dict({k: v.float().double() for k, v in block.state_dict().items()})
        image, margin = clear_of_kinks(block, block, torch.randn(shape))
        parameters = {k: v.float() for k, v in block.state_dict().items()}

        def function(input, **weights):
            return torch.func.functional_call(block, weights, input)

        add(cases, name, function, {"input": image, **parameters}, kink_margin=margin)
    roundoff = [f"{case}.grad.{conv}.bias" for case in cases.settings for conv in ("conv1", "conv2")]
    cases.save(HERE / "conv_block.safetensors", roundoff_only=roundoff)


if __name__ == "__main__":
    conv(), instance_norm(), batch_norm(), simple(), conv_block()
