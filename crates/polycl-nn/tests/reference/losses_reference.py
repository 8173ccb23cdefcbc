"""The losses, written out as in `shared/bench/pytorch_step.py` and `shared/reference/method.md`."""

import torch
from torch.nn import functional as F

EUCLIDEAN_EPSILON = 1e-8


def cosine_loss(anchor, positive, negative, temperature=0.1):
    """softplus((cos(a,n) - cos(a,p)) / t), mean over the batch."""
    closeness = F.cosine_similarity(anchor, negative) - F.cosine_similarity(anchor, positive)
    return F.softplus(closeness / temperature).mean()


def euclidean_loss(anchor, positive, negative):
    """sigmoid(|a-p|) + 1 - sigmoid(|a-n|), mean over the batch; |x| = sqrt(sum of squares + 1e-8)."""

    def distance(x, y):
        return ((x - y).square().sum(1) + EUCLIDEAN_EPSILON).sqrt()

    return (distance(anchor, positive).sigmoid() + 1 - distance(anchor, negative).sigmoid()).mean()


def dice_of_probability(p, t):
    """1 - (2|p t| + 1) / (|p| + |t| + 1) of each sample and channel, then the mean."""
    overlap = (p * t).sum((2, 3))
    return (1 - (2 * overlap + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)).mean()


def dice_sigmoid(logits, target):
    return dice_of_probability(logits.sigmoid(), target)


def dice_softmax(logits, classes):
    """Multi-class: the background (channel 0) takes part in the softmax but not in the mean."""
    one_hot = F.one_hot(classes, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    return dice_of_probability(logits.softmax(1)[:, 1:], one_hot[:, 1:])


def dice_bce(logits, target):
    return dice_sigmoid(logits, target) + F.binary_cross_entropy_with_logits(logits, target)


def dice_cross_entropy(logits, classes):
    return dice_softmax(logits, classes) + F.cross_entropy(logits, classes)


def batch_dice_ce(logits, target, weights):
    """Dice of each foreground channel over the whole batch at once, plus cross-entropy as in `dice+ce`.

    `target` is one-hot, of the shape of `logits`; `weights`, one an image, multiply its sums of pixels.
    One channel is a sigmoid; else channel 0 is background and has no Dice.
    """
    w = weights.view(-1, 1, 1, 1)
    if logits.shape[1] == 1:
        p, t = logits.sigmoid(), target
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        p, t = logits.softmax(1)[:, 1:], target[:, 1:]
        entropy = -(logits.log_softmax(1) * target).sum(1, keepdim=True)
    overlap, total = (w * p * t).sum((0, 2, 3)), (w * (p + t)).sum((0, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean() + (w * entropy).mean()


IGNORED = 255


def together(p, t, entropy, known, weights, over):
    """Dice and the mean cross-entropy of the pixels that are known, over all of its channels."""
    overlap, total = (p * t * known).sum((2, 3)), ((p + t) * known).sum((2, 3))
    if over == "batch":
        overlap, total = (weights.view(-1, 1) * overlap).sum(0), (weights.view(-1, 1) * total).sum(0)
        dice = (1 - (2 * overlap + 1) / (total + 1)).mean()
    else:
        dice = (weights.view(-1, 1) * (1 - (2 * overlap + 1) / (total + 1))).mean()
    w = weights.view(-1, 1, 1, 1)
    return dice + (w * entropy * known).sum() / (known.sum().clip(min=1) * entropy.shape[1])


def ignoring(logits, classes, weights, over):
    """`batch-dice+ce` (over the batch) and `dice+ce` (over images) where pixels of class 255 are ignored.

    As nnU-Net does: with weights of 1 the values are those of `DC_and_CE_loss` and `DC_and_BCE_loss` of version 2.8.1
    (smooth = 1), plus 1, for it subtracts its Dice from nothing. They mask every sum of their Dice and take the mean
    cross-entropy of the pixels that are not ignored.
    """
    known = (classes != IGNORED).unsqueeze(1)
    if logits.shape[1] == 1:
        p, t = logits.sigmoid(), (classes == 1).unsqueeze(1).to(logits.dtype)
        entropy = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
    else:
        channels = torch.arange(1, logits.shape[1]).view(1, -1, 1, 1)
        p, t = logits.softmax(1)[:, 1:], (classes.unsqueeze(1) == channels).to(logits.dtype)
        entropy = F.cross_entropy(logits, classes, reduction="none", ignore_index=IGNORED).unsqueeze(1)
    return together(p, t, entropy, known, weights, over)


def of_regions(logits, classes, weights, over):
    """Regions that overlap, a sigmoid each: region r is of classes above r (`whole`, `core`, `enhancing` of classes 1 to 3).

    With weights of 1, over a batch, the value is that of `DC_and_BCE_loss` of nnU-Net 2.8.1 (`batch_dice`, smooth = 1), plus 1. Beside
    pixels of class 255 that adds up its cross-entropy over the regions; here it stays the mean over them.
    """
    known = (classes != IGNORED).unsqueeze(1)
    t = (classes.unsqueeze(1) > torch.arange(logits.shape[1]).view(1, -1, 1, 1)).to(logits.dtype)
    p = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
    return together(p, t, entropy, known, weights, over)
