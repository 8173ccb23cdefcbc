"""Makes the checkpoints beside this file, and what is in them.

    python make.py
    python make.py lite_medsam.pth    # prints the hash that tests/torch/reference.rs expects

Written with torch 2.15.0. Every file but the refused ones is listed in expected.json, by tensor:
its shape and its values as float32.
"""
import collections
import hashlib
import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent


class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)


def numbers(*shape):
    return (torch.arange(torch.Size(shape).numel(), dtype=torch.float32) / 8 - 1).reshape(shape)


torch.manual_seed(1)
net = Net()
wide = numbers(6, 8)
shared = numbers(4, 3)
training = torch.optim.Adam(net.parameters(), lr=0.125)
net(torch.ones(1, 2, 5, 5)).sum().backward()
training.step()

files = {
    # An OrderedDict with attributes, as state_dict() gives it; num_batches_tracked is int64.
    "state_dict": net.state_dict(),
    "strides": {
        "transposed": numbers(2, 3, 4).permute(2, 0, 1),
        "part": wide[1:5:2, 3::2],
        "repeated": numbers(3, 1).expand(3, 4),
        "scalar": torch.tensor(0.5),
        "empty": torch.zeros(0, 3),
        "no_axis_of_one": numbers(1, 4).as_strided((1, 4), (77, 1)),
    },
    "types": {
        "half": numbers(5).half(),
        "bfloat16": numbers(5).bfloat16(),
        "double": numbers(5).double(),
        "long": torch.tensor([-3, 1 << 20]),
        "int": torch.tensor([-3, 7], dtype=torch.int32),
        "byte": torch.tensor([3, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "odd": torch.tensor([float("inf"), -0.0, 2.0**-24, 65504.0]).half(),
    },
    "shared": {"a": shared, "b": shared[1:], "c": shared.t(), "d": shared},
    "parallel": collections.OrderedDict((f"module.{k}", v) for k, v in net.state_dict().items()),
    # A training's checkpoint: the optimiser and the rest are of no interest.
    "training": {
        "epoch": 3,
        "optimizer": training.state_dict(),
        "arguments": collections.Counter(a=1),
        "seen": {"b", 1},
        "path": pathlib.PurePosixPath("x"),
        "model": net.state_dict(),
    },
    "nested": {"state_dict": dict(net.state_dict()), "best": 0.5},
    "parameters": {"weight": torch.nn.Parameter(numbers(2, 2)), "bias": torch.nn.Parameter(numbers(2).half())},
}

expected = {}


def flat(entry):
    for key in ("model", "state_dict"):
        entry = entry.get(key, entry)
    return {
        name.removeprefix("module."): {
            "shape": list(tensor.shape),
            "values": [str(x) for x in tensor.detach().float().flatten().tolist()],
        }
        for name, tensor in entry.items()
    }


def digest(path):
    """The hash of all that is in a file of weights too large to stand here."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(f"{name}{list(state[name].shape)}".encode())
        sha.update(state[name].float().contiguous().numpy().tobytes())
    return sha.hexdigest()


if len(sys.argv) > 1:
    print(digest(sys.argv[1]))
    sys.exit()

for name, content in files.items():
    torch.save(content, HERE / f"{name}.pth")
    expected[f"{name}.pth"] = flat(content)

# The same with other protocols of pickle, through memory (the folder is then called archive).
for protocol in (3, 4, 5):
    with open(HERE / f"protocol{protocol}.pth", "wb") as file:
        torch.save(files["state_dict"], file, pickle_protocol=protocol)
    expected[f"protocol{protocol}.pth"] = flat(files["state_dict"])

# What is refused.
torch.save(files["shared"], HERE / "legacy.pth", _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), HERE / "torchscript.pt")
torch.save({"weight": numbers(2).to(torch.complex64)}, HERE / "complex.pth")
torch.save({"weight": torch.eye(2).to_sparse()}, HERE / "sparse.pth")
torch.save({"weight": numbers(2), "name": "no tensor"}, HERE / "text.pth")
torch.save(net, HERE / "module.pth")
torch.save([numbers(2)], HERE / "list.pth")

lines = [json.dumps(file) + ": " + json.dumps(tensors) for file, tensors in expected.items()]
(HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
