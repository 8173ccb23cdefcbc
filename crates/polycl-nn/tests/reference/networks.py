"""The reference networks in plain PyTorch; parameter names equal the field names of the Rust modules.

Every kink (LeakyReLU, ReLU, max-pool) is a module of its own and never in place, so that
`common.clear_of_kinks` can watch its input through hooks.
"""

import torch
from torch import nn
from torch.nn import functional as F


class ConvBlock(nn.Module):
    """Twice (conv 3x3, instance norm without affine, LeakyReLU 0.2), then dropout 0.25."""

    def __init__(self, cin, cout):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3, padding=1), nn.Conv2d(cout, cout, 3, padding=1)
        self.norm, self.act, self.dropout = nn.InstanceNorm2d(cout), nn.LeakyReLU(0.2), nn.Dropout(0.25)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = self.act(self.norm(conv(x)))
        return self.dropout(x)


class UNetEncoder(nn.Module):
    def __init__(self, widths, inputs=1):
        super().__init__()
        self.widths = widths
        self.blocks = nn.ModuleList(ConvBlock(i, o) for i, o in zip((inputs, *widths[:-1]), widths))
        self.pool = nn.MaxPool2d(2)

    def stages(self, x):
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(self.pool(x) if i else x)
            maps.append(x)
        return maps

    def summary(self, deepest):
        """The vector the projection gets: one more max-pool, then the global average."""
        return self.pool(deepest).mean((2, 3))


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.relu, self.downsample = nn.ReLU(), None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet18Encoder(nn.Module):
    """torchvision's ResNet-18 and its names, but one input channel and a stem narrower than the first stage."""

    def __init__(self, widths, inputs=1):
        super().__init__()
        self.widths = widths
        self.conv1, self.bn1 = nn.Conv2d(inputs, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0])
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        for i, stride in enumerate((1, 2, 2, 2), start=1):
            cin, cout = widths[i - 1 : i + 1]
            setattr(self, f"layer{i}", nn.Sequential(BasicBlock(cin, cout, stride), BasicBlock(cout, cout, 1)))

    def stages(self, x):
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps

    def summary(self, deepest):
        return deepest.mean((2, 3))


class Decoder(nn.Module):
    """(bilinear x2, concat with the skip, block) from the deepest up; a ResNet needs one more x2 before the head."""

    def __init__(self, widths, channels, half_resolution):
        super().__init__()
        self.half_resolution = half_resolution
        outs = tuple(reversed(widths[:4]))
        self.blocks = nn.ModuleList(ConvBlock(i + s, s) for i, s in zip((widths[4], *outs), outs))
        self.head = nn.Conv2d(outs[-1], channels, 1)

    def maps(self, stages):
        *skips, x = stages
        outputs = []
        for block, skip in zip(self.blocks, reversed(skips)):
            x = block(torch.cat([upsample(x), skip], 1))
            outputs.append(x)
        return outputs

    def forward(self, stages):
        x = self.maps(stages)[-1]
        return self.head(upsample(x) if self.half_resolution else x)


def upsample(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class PolyCl(nn.Module):
    """Encoder with both heads: `embed` is the contrastive network, `forward` the segmenter (logits)."""

    def __init__(self, net, widths, channels=1, inputs=1):
        super().__init__()
        self.encoder = {"unet": UNetEncoder, "resnet18": ResNet18Encoder}[net](widths, inputs)
        self.projection = nn.Linear(widths[-1], widths[-1])
        self.decoder = Decoder(widths, channels, half_resolution=net == "resnet18")

    def embed(self, x):
        return self.projection(self.encoder.summary(self.encoder.stages(x)[-1]))

    def forward(self, x):
        return self.decoder(self.encoder.stages(x))


def set_mode(model, mode):
    """`train` or `eval` for batch norm; dropout is off in both."""
    model.train(mode == "train")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def is_roundoff_only(name):
    """Whether a parameter is a bias that feeds an instance norm: its true gradient is zero."""
    return name.endswith((".conv1.bias", ".conv2.bias"))
