"""Reference numbers of the ResNet-18 U-Net, stage by stage and with all gradients, in float64 (key names: ../README.md)."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from whole_networks import make  # noqa: E402

if __name__ == "__main__":
    make("resnet18", HERE, seed=58)
