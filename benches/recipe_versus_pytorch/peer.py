#!/usr/bin/env python3
"""PolyCL's U-Net trained in PyTorch by nnU-Net v2's 2D recipe, or by PolyCL's own, and tested on other cases.

    peer.py --images DIR --labels DIR --train FILE --test FILE --organs "1=brainstem,3+4=parotid" --out DIR

Needs PyTorch, nibabel and scipy. Writes a mask for each test case, `labels.json` and `peer.json` into the folder. README.md beside
this file says what the recipes are and where the first departs from nnU-Net.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import nibabel
import numpy
import scipy.ndimage
import torch
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "crates/polycl-nn/tests/reference"))
sys.dont_write_bytecode = True
from losses_reference import batch_dice_ce  # noqa: E402
from networks import PolyCl, set_mode  # noqa: E402

WIDTHS, BATCH = (16, 32, 64, 128, 256), 8
WINDOW = (40, 400)  # Centre and width in HU, of the recipe `polycl`.


# Cases


def organs_of(text):
    """`1=brainstem,3+4=parotid` as names with the values that they gather."""
    pairs = (part.split("=") for part in text.split(","))
    return {name.strip(): [int(v) for v in values.split("+")] for values, name in pairs}


def names_in(path):
    lines = (line.strip().removesuffix(".nii.gz") for line in pathlib.Path(path).read_text().splitlines())
    return [line for line in lines if line]


def merged(values, organs):
    """Organ numbers from 1, in the order given, of a volume of label values."""
    classes = numpy.zeros(values.shape, numpy.uint8)
    for number, gathered in enumerate(organs.values(), start=1):
        classes[numpy.isin(values, gathered)] = number
    return classes


class Case:
    def __init__(self, args, name):
        self.name = name
        self.image = nibabel.load(args.images / f"{name}.nii.gz")
        self.hu = nibabel.as_closest_canonical(self.image).get_fdata(dtype=numpy.float32)
        label = nibabel.as_closest_canonical(nibabel.load(args.labels / f"{name}.nii.gz"))
        self.classes = merged(numpy.asarray(label.dataobj), args.organs)
        if self.classes.shape != self.hu.shape:
            sys.exit(f"{name}: the mask is {self.classes.shape} voxels, the image {self.hu.shape}")

    def write(self, classes, path):
        """A mask in RAS+ order, in the order and with the geometry of the image."""
        canonical = nibabel.Nifti1Image(classes, nibabel.as_closest_canonical(self.image).affine)
        there = nibabel.orientations.io_orientation(self.image.affine)
        back = nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(canonical.affine), there)
        header = self.image.header.copy()
        header.set_data_dtype(numpy.uint8)
        header.set_slope_inter(1, 0)
        voxels = numpy.asarray(canonical.as_reoriented(back).dataobj)
        nibabel.save(nibabel.Nifti1Image(voxels, self.image.affine, header), path)


class Normalisation:
    """Of HU: nnU-Net's, by the foreground of all training cases, or a window."""

    def __init__(self, recipe, cases):
        if recipe == "polycl":
            centre, width = WINDOW
            self.low, self.high, self.mean, self.sd = centre - width / 2, centre + width / 2, centre - width / 2, width
        else:
            foreground = numpy.concatenate([case.hu[case.classes > 0] for case in cases])
            self.low, self.high = (float(v) for v in numpy.percentile(foreground, (0.5, 99.5)))
            self.mean, self.sd = float(foreground.mean()), max(float(foreground.std()), 1e-8)

    def planes(self, case, size):
        """Slices [z, 1, size, size]."""
        hu = torch.from_numpy(numpy.ascontiguousarray(case.hu.transpose(2, 0, 1)))[:, None]
        return F.interpolate((hu.clamp(self.low, self.high) - self.mean) / self.sd, (size, size), mode="bilinear", antialias=True)


def class_planes(case, size):
    """Classes [z, size, size]."""
    classes = torch.from_numpy(numpy.ascontiguousarray(case.classes.transpose(2, 0, 1)))[:, None].float()
    return F.interpolate(classes, (size, size), mode="nearest-exact")[:, 0].long()


# Slices of a batch


class Slices:
    def __init__(self, cases, normalisation, size, organs, rng):
        self.images = torch.cat([normalisation.planes(case, size) for case in cases])
        self.classes = torch.cat([class_planes(case, size) for case in cases])
        self.counts = torch.stack([(self.classes == c + 1).sum((1, 2)) for c in range(organs)], 1).numpy()
        ends = numpy.cumsum([case.hu.shape[2] for case in cases])
        self.ranges = [range(end - case.hu.shape[2], end) for end, case in zip(ends, cases)]
        self.shown = numpy.flatnonzero(self.counts.sum(1))
        self.rng = rng

    def of_nnunet(self):
        """A case for each place; the last 33 % of places show a class of it, at the slice of a random voxel of that class."""
        forced = BATCH - round(BATCH * (1 - 0.33))
        return [self.slice_of(self.ranges[self.rng.integers(len(self.ranges))], i >= BATCH - forced) for i in range(BATCH)]

    def slice_of(self, case, forced):
        counts = self.counts[case.start : case.stop]
        there = numpy.flatnonzero(counts.sum(0))
        if not forced or not len(there):
            return int(self.rng.integers(case.start, case.stop))
        of_class = counts[:, self.rng.choice(there)]
        return case.start + int(self.rng.choice(len(of_class), p=of_class / of_class.sum()))

    def of_polycl(self):
        """Half of the slices show an organ; the others are any."""
        shown = self.rng.choice(self.shown, BATCH // 2)
        return [*shown.tolist(), *self.rng.integers(len(self.images), size=BATCH - BATCH // 2).tolist()]


# Augmentation


def grid(angle, scale, shift, size):
    """Where the pixels of the result come from, for one image each of arrays: radians, a factor on distances, parts of the side."""
    cos, sin = numpy.cos(angle) * scale, numpy.sin(angle) * scale
    rows = [[cos, -sin, 2 * shift[0]], [sin, cos, 2 * shift[1]]]
    theta = torch.tensor(numpy.array(rows), dtype=torch.float32).permute(2, 0, 1)
    return F.affine_grid(theta, (len(angle), 1, size, size), align_corners=False)


def nnunet_augmented(images, classes, channels, rng):
    """The transforms of nnU-Net v2's trainer in their order. What it calls the variance of noise is used as a standard deviation."""
    size, b = images.shape[-1], len(images)
    turned, scaled = rng.random(b) < 0.2, rng.random(b) < 0.2
    angle = numpy.where(turned, rng.uniform(-math.pi, math.pi, b), 0)
    scale = numpy.where(scaled, rng.uniform(0.7, 1.4, b), 1)
    moved = torch.from_numpy(turned | scaled)
    if moved.any():
        where = grid(angle, scale, numpy.zeros((2, b)), size)[moved]
        images, classes = images.clone(), classes.clone()
        images[moved] = F.grid_sample(images[moved], where, padding_mode="zeros", align_corners=False)
        one_hot = F.one_hot(classes[moved], channels).movedim(-1, 1).float()
        classes[moved] = F.grid_sample(one_hot, where, padding_mode="zeros", align_corners=False).argmax(1)
    images = torch.stack([nnunet_intensities(image, rng) for image in images])
    for axis in (1, 2):
        flipped = torch.from_numpy(rng.random(b) < 0.5)
        images[flipped], classes[flipped] = images[flipped].flip(axis + 1), classes[flipped].flip(axis)
    return images, classes


def nnunet_intensities(image, rng):
    if rng.random() < 0.1:
        noise = rng.normal(0, rng.uniform(0, 0.1), image.shape)
        image = image + torch.from_numpy(noise).float()
    if rng.random() < 0.2 * 0.5:
        image = blurred(blurred(image, rng.uniform(0.5, 1)).mT, rng.uniform(0.5, 1)).mT
    if rng.random() < 0.15:
        image = image * about_one(0.75, 1.25, rng)
    if rng.random() < 0.15:
        mean, low, high = image.mean(), image.min(), image.max()
        image = ((image - mean) * about_one(0.75, 1.25, rng) + mean).clamp(low, high)
    if rng.random() < 0.25 * 0.5:
        few = round(image.shape[-1] * rng.uniform(0.5, 1))
        coarse = F.interpolate(image[None], (few, few), mode="nearest-exact")
        image = F.interpolate(coarse, image.shape[-2:], mode="bilinear")[0]
    if rng.random() < 0.1:
        image = -gamma_keeping_moments(-image, about_one(0.7, 1.5, rng))
    if rng.random() < 0.3:
        image = gamma_keeping_moments(image, about_one(0.7, 1.5, rng))
    return image


def about_one(low, high, rng):
    """Below 1 or above it with equal chances."""
    return rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)


def blurred(image, sigma):
    """Along the last axis of [1, height, width]."""
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    padded = F.pad(image[None], (radius, radius, 0, 0), mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None, None])[0]


def gamma_keeping_moments(image, gamma):
    low, span, mean, sd = image.min(), (image.max() - image.min()).clamp(min=1e-7), image.mean(), image.std()
    image = ((image - low) / span) ** gamma * span + low
    return (image - image.mean()) * (sd / image.std().clamp(min=1e-7)) + mean


def polycl_augmented(images, classes, channels, rng):
    """A small motion, contrast, brightness, gamma and noise, of every slice; no flips."""
    size, b = images.shape[-1], len(images)

    def within(limit):
        return torch.from_numpy(rng.uniform(-limit, limit, (b, 1, 1, 1))).float()

    scale = 1 / (1 + rng.uniform(-0.15, 0.15, b))
    where = grid(numpy.radians(rng.uniform(-10, 10, b)), scale, rng.uniform(-0.1, 0.1, (2, b)), size)
    images = F.grid_sample(images, where, padding_mode="border", align_corners=False)
    classes = F.grid_sample(classes[:, None].float(), where, mode="nearest", padding_mode="border", align_corners=False)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * (1 + within(0.1)) + mean + within(0.1)).clamp(0, 1) ** within(0.3).exp()
    noise = rng.normal(0, 1, images.shape) * rng.uniform(0, 0.03, (b, 1, 1, 1))
    return images + torch.from_numpy(noise).float(), classes[:, 0].long()


# Training


def nnunet_loss(logits, target):
    """Cross-entropy and the soft Dice of each organ over the whole batch; nnU-Net's is less by 1, which changes no gradient."""
    p, t = logits.softmax(1)[:, 1:], target[:, 1:]
    overlap, total = (p * t).sum((0, 2, 3)), (p + t).sum((0, 2, 3))
    return 1 - ((2 * overlap + 1e-5) / (total + 1e-5).clamp(min=1e-8)).mean() + F.cross_entropy(logits, target)


def polycl_loss(logits, target):
    return batch_dice_ce(logits, target, torch.ones(len(logits)))


def network(recipe, organs):
    """One channel for one organ and a sigmoid in the recipe `polycl`; nnU-Net always has a background."""
    channels = 1 if recipe == "polycl" and organs == 1 else organs + 1
    model = set_mode(PolyCl("unet", WIDTHS, channels), "train")
    del model.projection
    if recipe == "nnunet":
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, a=1e-2)
                torch.nn.init.zeros_(module.bias)
    return model, channels


def train(args, model, channels, slices, rng):
    """Trains the model in place; the losses of all steps."""
    nnunet = args.recipe == "nnunet"
    parameters = list(model.parameters())
    if nnunet:
        optimiser = torch.optim.SGD(parameters, 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
        rate, clip, loss_of = lambda step: 1e-2 * (1 - step / args.steps) ** 0.9, 12, nnunet_loss
    else:
        optimiser = torch.optim.Adam(parameters, 2e-3)
        rate, clip, loss_of = lambda step: 2e-3 * warm_cosine(step, args.steps), 1, polycl_loss
    average = [p.detach().clone() for p in parameters]
    losses, began = [], time.monotonic()
    for step in range(args.steps):
        chosen = slices.of_nnunet() if nnunet else slices.of_polycl()
        augmented = nnunet_augmented if nnunet else polycl_augmented
        with torch.no_grad():
            images, classes = augmented(slices.images[chosen], slices.classes[chosen], max(2, channels), rng)
            target = F.one_hot(classes, max(2, channels)).movedim(-1, 1).float()
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        optimiser.zero_grad()
        loss = loss_of(model(images), target[:, 1:] if channels == 1 else target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        losses.append(loss.item())
        if not nnunet:
            with torch.no_grad():
                keep = min(0.99, (step + 1) / (step + 10))
                torch._foreach_lerp_(average, parameters, 1 - keep)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            recent, seconds = numpy.mean(losses[-100:]), time.monotonic() - began
            print(f"step {step + 1}: loss {recent:.4f}, {seconds:.0f} s", file=sys.stderr, flush=True)
    if not nnunet:
        for p, mean in zip(parameters, average):
            p.data.copy_(mean)
    return losses


def warm_cosine(step, steps):
    """From 0 up over the first twentieth, then half a cosine."""
    warm = max(1, round(0.05 * steps))
    return (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


# Testing


def predicted(args, model, channels, normalisation, case):
    """Classes of a case in RAS+ order."""
    planes, found = normalisation.planes(case, args.size), []
    with torch.no_grad():
        for batch in planes.split(32):
            p = probabilities(model(batch))
            if args.mirror:
                mirrored = ((2,), (3,), (2, 3))
                p = (p + sum(probabilities(model(batch.flip(axes))).flip(axes) for axes in mirrored)) / 4
            p = F.interpolate(p, case.hu.shape[:2], mode="bilinear")
            found.append(p[:, 0] > 0.5 if channels == 1 else p.argmax(1))
    return torch.cat(found).to(torch.uint8).numpy().transpose(1, 2, 0)


def probabilities(logits):
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def components(mask):
    """Numbered parts that touch, by corners too, and their sizes."""
    numbers, count = scipy.ndimage.label(mask, numpy.ones((3, 3, 3)))
    return numbers, numpy.bincount(numbers.ravel(), minlength=count + 1)[1:]


def usual_parts(cases, organs):
    """For each organ 1 or 2: whether most training masks have a second part of at least a tenth of the largest."""
    usual = {}
    for number in range(1, organs + 1):
        sizes = [components(case.classes == number)[1] for case in cases if (case.classes == number).any()]
        pairs = sum((s >= 0.1 * s.max()).sum() >= 2 for s in sizes)
        usual[number] = 2 if 2 * pairs > len(sizes) else 1
    return usual


def largest(classes, usual):
    kept = numpy.zeros_like(classes)
    for number, parts in usual.items():
        numbers, sizes = components(classes == number)
        kept[numpy.isin(numbers, 1 + numpy.argsort(-sizes, kind="stable")[:parts])] = number
    return kept


def dice(a, b):
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=pathlib.Path, required=True)
    parser.add_argument("--train", required=True, help="a file with a case's name on each line")
    parser.add_argument("--test", required=True)
    parser.add_argument("--organs", type=organs_of, required=True, help="1=brainstem,3+4=parotid")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipe", choices=("nnunet", "polycl"), default="nnunet")
    parser.add_argument("--components", action="store_true", help="keep the largest part of each organ, or two where that is usual")
    parser.add_argument("--mirror", action="store_true", help="average predictions over flips, as nnU-Net does")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    rng = numpy.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    seen, unseen = names_in(args.train), names_in(args.test)
    if both := set(seen) & set(unseen):
        sys.exit(f"in training and test: {', '.join(sorted(both))}")
    clock = time.monotonic()
    cases = [Case(args, name) for name in seen]
    if not any((case.classes > 0).any() for case in cases):
        sys.exit("no training mask shows an organ")
    normalisation = Normalisation(args.recipe, cases)
    slices = Slices(cases, normalisation, args.size, len(args.organs), rng)
    usual = usual_parts(cases, len(args.organs)) if args.components else None
    loading, clock = time.monotonic() - clock, time.monotonic()
    model, channels = network(args.recipe, len(args.organs))
    losses = train(args, model, channels, slices, rng)
    training, clock = time.monotonic() - clock, time.monotonic()

    set_mode(model, "eval")
    scores = {}
    for name in unseen:
        case = Case(args, name)
        classes = predicted(args, model, channels, normalisation, case)
        classes = largest(classes, usual) if usual else classes
        case.write(classes, args.out / f"{name}.nii.gz")
        shown = [(organ, n) for n, organ in enumerate(args.organs, start=1) if (case.classes == n).any()]
        scores[name] = {organ: dice(classes == n, case.classes == n) for organ, n in shown}
    testing = time.monotonic() - clock

    of_organ = {organ: [s[organ] for s in scores.values() if organ in s] for organ in args.organs}
    report = {
        "recipe": args.recipe, "steps": args.steps, "size": args.size, "seed": args.seed, "threads": args.threads,
        "training_cases": len(seen), "test_cases": len(unseen), "slices": len(slices.images),
        "parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__,
        "mirror": args.mirror, "parts_kept": {o: usual[n] for n, o in enumerate(args.organs, start=1)} if usual else None,
        "loading_s": round(loading, 2), "training_s": round(training, 2), "testing_s": round(testing, 2),
        "final_loss": float(numpy.mean(losses[-max(1, args.steps // 20):])),
        "dice": {organ: float(numpy.mean(values)) if values else None for organ, values in of_organ.items()},
        "cases_with_organ": {organ: len(values) for organ, values in of_organ.items()}, "dice_by_case": scores,
    }
    (args.out / "labels.json").write_text(json.dumps({organ: n for n, organ in enumerate(args.organs, start=1)}))
    (args.out / "peer.json").write_text(json.dumps(report, indent=1))
    print(json.dumps({k: v for k, v in report.items() if k != "dice_by_case"}))


if __name__ == "__main__":
    main()
