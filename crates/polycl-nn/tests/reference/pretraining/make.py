"""Pre-training other than by triplets: every loss with its gradients, and four Adam steps of every method.

`losses.safetensors` has the cases as in `../losses`; `<net>_<method>.safetensors` has what four steps do, from weights
of its own, on the views in `batches.safetensors`. Dropout is off and batch norm trains. Step k uses batch k % 2.
`float32_error` is the worst of five float32 runs, as in `../training`; the seeds were chosen for a small one.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import Cases, cast, relative_error, save, smooth_images  # noqa: E402
from losses.make import add  # noqa: E402
from networks import PolyCl, is_roundoff_only, set_mode  # noqa: E402
from training.make import ADAM, nudged  # noqa: E402
from whole_networks import initial_state  # noqa: E402

# Narrower than in `../training` because of file size alone: ten files with up to five sets of weights each.
WIDTHS = (2, 3, 4, 6, 8)
HIDDEN = OUT = WIDTHS[-1]  # As wide as the deepest map, as the heads of the Rust modules are.
STEPS, SIZE, SLICES, QUEUE = 4, 64, 4, 8
MOMENTUM = 0.99
TEMPERATURES = {"simclr": 0.1, "positional": 0.1, "moco": 0.2}
THRESHOLD = 0.1
POSITIONS = ((0.10, 0.17, 0.25, 0.70), (0.33, 0.90, 0.38, 0.86))
AVERAGED = {"moco": "key", "byol": "target"}
# Of the initial weights: for each file the best of 24, whose medians are 1e-5 to 4e-5 (BYOL 9e-5 and 2e-4).
# The autoencoders' are the second best: the Rust kernels' rounding missed what the best allow by factors of 1.1 and 2.8.
BATCHES_SEED = 50
SEEDS = {
    "unet": {"simclr": 5, "moco": 5, "byol": 12, "positional": 3, "autoencoder": 18},
    "resnet18": {"simclr": 6, "moco": 1, "byol": 0, "positional": 22, "autoencoder": 8},
}


# The losses.


def info_nce(s, positives, candidates):
    """-log of a positive's share among the candidates: mean over the positives of a row, then over rows that have any."""
    rows = []
    for similarity, positive, candidate in zip(s, positives.bool(), candidates.bool()):
        if positive.any():
            rows.append((similarity[candidate].logsumexp(0) - similarity[positive]).mean())
    return torch.stack(rows).mean()


def nt_xent(z, temperature):
    """SimCLR's textbook form: each of the 2B rows must find its other view among the 2B - 1 other rows."""
    z = F.normalize(z)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z) // 2))


def moco_loss(q, k, queue, temperature):
    """The other view is the right answer (column 0), the queue holds the wrong ones; only q is trained."""
    q, k = F.normalize(q), F.normalize(k.detach())
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.detach().T], 1)
    return F.cross_entropy(logits / temperature, torch.zeros(len(q), dtype=torch.long))


def byol_loss(p1, p2, z1, z2):
    """Each prediction against the target of the other view; only the predictions are trained."""
    first = 2 - 2 * F.cosine_similarity(p1, z2.detach())
    return (first + 2 - 2 * F.cosine_similarity(p2, z1.detach())).mean()


def positional_loss(z, positions, threshold, temperature):
    """Positional contrastive learning: all views of slices closer than the threshold are positives (SupCon's L_out)."""
    z, positions = F.normalize(z), [*positions.tolist(), *positions.tolist()]
    anchors = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        total = torch.stack([torch.dot(z[i], z[j]) / temperature for j in others]).logsumexp(0)
        terms = [total - torch.dot(z[i], z[j]) / temperature
                 for j in others if abs(positions[i] - positions[j]) < threshold]
        anchors.append(torch.stack(terms).mean())
    return torch.stack(anchors).mean()


def opposes(strategy, scan, answer, other_scan, other_answer):
    """Whether PolyCL's strategy could have drawn the other slice as a negative of this one."""
    elsewhere, opposite = scan != other_scan, answer != other_answer
    return {"scan": elsewhere, "organ": opposite, "mixed": elsewhere and opposite}[strategy]


def multi_negative(a, p, n, scans, answers, strategy, temperature):
    """An anchor's positive against every slice of the batch, of whichever part, that could have been its negative."""
    slices, scans, answers = torch.cat([a, p, n]), scans.flatten().tolist(), answers.flatten().tolist()
    anchors = []
    for i in range(len(a)):
        positive = F.cosine_similarity(a[i], p[i], dim=0) / temperature
        logits = [positive]
        for j, other in enumerate(slices):
            if opposes(strategy, scans[i], answers[i], scans[j], answers[j]):
                logits.append(F.cosine_similarity(a[i], other, dim=0) / temperature)
        anchors.append(torch.stack(logits).logsumexp(0) - positive)
    return torch.stack(anchors).mean()


def masked_error(prediction, image, mask):
    """Mean square error over the hidden pixels (1 in the mask)."""
    return (mask * (prediction - image).square()).sum() / mask.sum()


# Their cases.


def masks_of_pairs(rows, columns):
    """One to three positives a row, and candidates that contain them."""
    order = torch.rand(rows, columns).argsort(1).argsort(1)
    positives = order < torch.tensor([1, 2, 3]).repeat(rows // 3)[:, None]
    return {"positives": positives.float(), "candidates": (positives | (torch.rand(rows, columns) < 0.5)).float()}


def pair_cases(cases):
    pairs, wanted = masks_of_pairs(6, 9), ("s",)
    add(cases, "info_nce", info_nce, {"s": 3 * torch.randn(6, 9), **pairs}, wanted)
    large = torch.where(torch.rand(6, 9) < 0.5, -200.0, 200.0) + torch.randn(6, 9)
    add(cases, "info_nce_large", info_nce, {"s": large, **pairs}, wanted)
    lonely = {k: v.clone() for k, v in masks_of_pairs(6, 9).items()}
    lonely["positives"][2] = 0
    add(cases, "info_nce_no_positive", info_nce, {"s": 3 * torch.randn(6, 9), **lonely}, wanted)


def method_cases(cases):
    t = TEMPERATURES
    add(cases, "nt_xent", lambda z: nt_xent(z, t["simclr"]), {"z": torch.randn(8, 16)}, ("z",), temperature=t["simclr"])
    add(cases, "moco", lambda **x: moco_loss(**x, temperature=t["moco"]),
        {"q": torch.randn(4, 16), "k": torch.randn(4, 16), "queue": F.normalize(torch.randn(12, 16))}, ("q",),
        temperature=t["moco"])
    add(cases, "byol", byol_loss, {k: torch.randn(4, 16) for k in ("p1", "p2", "z1", "z2")}, ("p1", "p2"))
    add(cases, "positional", lambda **x: positional_loss(**x, threshold=THRESHOLD, temperature=t["positional"]),
        {"z": torch.randn(8, 16), "positions": torch.tensor(POSITIONS[0])}, ("z",),
        threshold=THRESHOLD, temperature=t["positional"])
    add(cases, "masked_error", masked_error,
        {"prediction": torch.randn(2, 1, 8, 8), "image": torch.rand(2, 1, 8, 8),
         "mask": (torch.rand(2, 1, 8, 8) < 0.6).float()}, ("prediction",))


def multi_negative_cases(cases):
    """Positives and negatives are such as the strategy draws; the first two anchors share a scan."""
    batches = {
        "scan": ([[0, 0, 1, 2], [0, 0, 1, 2], [1, 2, 0, 1]], [[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 1]]),
        "organ": ([[0, 0, 1, 2], [1, 0, 1, 0], [0, 2, 1, 0]], [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]),
        "mixed": ([[0, 0, 1, 2], [0, 0, 1, 2], [1, 2, 0, 0]], [[1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0]]),
    }
    for strategy, (scans, answers) in batches.items():
        inputs = {k: torch.randn(4, 16) for k in ("a", "p", "n")}
        inputs |= {"scans": torch.tensor(scans), "answers": torch.tensor(answers)}
        add(cases, f"multi_negative_{strategy}", lambda **x: multi_negative(**x, strategy=strategy, temperature=0.1),
            inputs, ("a", "p", "n"), strategy=strategy, temperature=0.1)


def make_losses():
    cases = Cases(seed=51)
    pair_cases(cases), method_cases(cases), multi_negative_cases(cases)
    cases.save(HERE / "losses.safetensors")


# The models and their updates.


class Mlp(nn.Module):
    """A head: linear, batch norm in BYOL alone (its running statistics are nobody's business), ReLU, linear."""

    def __init__(self, width, normed):
        super().__init__()
        self.hidden, self.output, self.relu = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, OUT), nn.ReLU()
        self.norm = nn.BatchNorm1d(HIDDEN, track_running_stats=False) if normed else nn.Identity()

    def forward(self, x):
        return self.output(self.relu(self.norm(self.hidden(x))))


class Branch(nn.Module):
    """Encoder and projection."""

    def __init__(self, net, normed):
        super().__init__()
        self.encoder = PolyCl(net, WIDTHS).encoder
        self.projection = Mlp(WIDTHS[-1], normed)

    def forward(self, x):
        return self.projection(self.encoder.summary(self.encoder.stages(x)[-1]))


class Pretraining(Branch):
    """The trained branch with what its method has besides: a branch that follows it, a queue, a prediction head."""

    def __init__(self, net, method):
        super().__init__(net, normed=method == "byol")
        if method in AVERAGED:
            setattr(self, AVERAGED[method], Branch(net, normed=method == "byol"))
        if method == "moco":
            self.register_buffer("queue", F.normalize(torch.randn(QUEUE, OUT)))
        if method == "byol":
            self.prediction = Mlp(OUT, normed=True)


def follow(average, online):
    """Moves the parameters of a branch towards the trained ones; running statistics come from its own passes."""
    trained = dict(online.named_parameters())
    with torch.no_grad():
        for name, parameter in average.named_parameters():
            parameter.mul_(MOMENTUM).add_((1 - MOMENTUM) * trained[name])


def simclr(model, batch):
    return nt_xent(model(torch.cat([batch["first"], batch["second"]])), TEMPERATURES["simclr"])


def positional(model, batch):
    z = model(torch.cat([batch["first"], batch["second"]]))
    return positional_loss(z, batch["positions"], THRESHOLD, TEMPERATURES["positional"])


def moco(model, batch):
    """The keys follow first, and the batch enters the queue after its loss."""
    follow(model.key, model)
    q = model(batch["first"])
    with torch.no_grad():
        k = model.key(batch["second"])
    loss = moco_loss(q, k, model.queue, TEMPERATURES["moco"])
    model.queue = torch.cat([F.normalize(k), model.queue])[:QUEUE]
    return loss


def byol(model, batch):
    """The target follows first; each view passes each branch as a batch of its own."""
    follow(model.target, model)
    p1, p2 = (model.prediction(model(batch[view])) for view in ("first", "second"))
    with torch.no_grad():
        z1, z2 = (model.target(batch[view]) for view in ("first", "second"))
    return byol_loss(p1, p2, z1, z2)


def autoencoder(model, batch):
    """The logits of the segmenter are the prediction, without a sigmoid."""
    prediction = model(batch["first"] * (1 - batch["mask"]))
    return masked_error(prediction, batch["first"], batch["mask"])


METHODS = {f.__name__: f for f in (simclr, moco, byol, positional, autoencoder)}


def bare_model(net, method):
    if method != "autoencoder":
        return Pretraining(net, method)
    model = PolyCl(net, WIDTHS)
    del model.projection
    return model


def stored(model):
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def initial_weights(net, method, seed):
    """The encoder (and decoder) of `initial_state`, PyTorch's own initialisation of heads, and the branch that follows
    equal to the trained one. A head's batch norm gets values other than 1 and 0."""
    state = initial_state(net, WIDTHS, seed)
    model = bare_model(net, method)
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("projection.")}, strict=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight.data, module.bias.data = 1 + 0.1 * torch.randn(HIDDEN), 0.1 * torch.randn(HIDDEN)
    if method in AVERAGED:
        getattr(model, AVERAGED[method]).load_state_dict(model.state_dict(), strict=False)
    return stored(model)


def train(net, method, state, batches, dtype):
    """The loss before each step, the gradients of the first, and everything after the last."""
    model, batches = bare_model(net, method).to(dtype), cast(batches, dtype)
    model.load_state_dict(cast(state, dtype), strict=False)
    set_mode(model, "train")
    trained = {k: p for k, p in model.named_parameters() if not k.startswith(("key.", "target."))}
    adam = torch.optim.Adam(trained.values(), **ADAM)
    losses, gradients = [], {}
    for step in range(STEPS):
        adam.zero_grad()
        prefix = f"{step % 2}."
        loss = METHODS[method](model, {k.removeprefix(prefix): v for k, v in batches.items() if k.startswith(prefix)})
        loss.backward()
        gradients = gradients or {f"gradient.{k}": p.grad.clone() for k, p in trained.items()}
        adam.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses), **gradients, **{f"weight.{k}": v for k, v in stored(model).items()}}


def make(net, method, seed, batches):
    """The initial weights, the float64 run, and how far the worst of five float32 runs ends from it."""
    state = initial_weights(net, method, seed)
    exact = train(net, method, state, batches, torch.float64)
    errors = dict.fromkeys(exact, 0.0)
    for replica in range(5):
        single = train(net, method, nudged(state, replica) if replica else state, batches, torch.float32)
        errors = {k: max(errors[k], relative_error(single[k], exact[k])) for k in exact}
    return state, exact, errors


def is_without_effect(method, name):
    """Whether a parameter is a bias that a later norm takes away, or the average of such a one.

    In BYOL also those before a head's batch norm: the hidden ones, and that of the projection's output, which only
    the prediction gets to see (the target's own output bias has an effect, but follows the round-off of this one).
    """
    return is_roundoff_only(name) or (method == "byol" and name.endswith(("hidden.bias", "projection.output.bias")))


def make_batches(seed):
    """Two views of four slices: the second is mirrored and mixed with another image. Patches of 8x8 pixels are hidden."""
    torch.manual_seed(seed)
    batches = {}
    for i, positions in enumerate(POSITIONS):
        first = smooth_images(SLICES, SIZE, SIZE)
        second = 0.8 * first.flip(-1) + 0.2 * smooth_images(SLICES, SIZE, SIZE)
        patches = torch.rand(SLICES, 1, SIZE // 8, SIZE // 8) < 0.6
        batches |= {f"{i}.first": first, f"{i}.second": second, f"{i}.positions": torch.tensor(positions),
                    f"{i}.mask": patches.repeat_interleave(8, 2).repeat_interleave(8, 3).byte()}
    return batches


def settings(net, method):
    about = {"net": net, "widths": WIDTHS, "method": method, "seed": SEEDS[net][method], "adam": ADAM}
    if method != "autoencoder":
        about |= {"hidden": HIDDEN, "out": OUT}
    if method in TEMPERATURES:
        about["temperature"] = TEMPERATURES[method]
    if method in AVERAGED:
        about["momentum"] = MOMENTUM
    return about | ({"threshold": THRESHOLD} if method == "positional" else {})


def main():
    make_losses()
    batches = make_batches(BATCHES_SEED)
    save(HERE / "batches.safetensors", batches, seed=BATCHES_SEED, size=SIZE)
    for net, seeds in SEEDS.items():
        for method, seed in seeds.items():
            state, tensors, errors = make(net, method, seed, batches)
            save(HERE / f"{net}_{method}.safetensors", {**{f"initial.{k}": v for k, v in state.items()}, **tensors},
                 **settings(net, method), float32_error=errors,
                 roundoff_only=sorted(k for k in tensors if is_without_effect(method, k)))


if __name__ == "__main__":
    main()
