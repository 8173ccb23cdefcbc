"""Learning rates of PyTorch's cosine schedules and its gradient clipping, as JSON (key names: ../README.md)."""

import json
from pathlib import Path

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts

HERE = Path(__file__).parent


def rates(make_scheduler, base, steps):
    """`rates[k]` is the rate in use while step k runs, that is after k calls of `scheduler.step()`."""
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler, found = make_scheduler(optimiser), []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def annealing(base, period, minimum):
    values = rates(lambda o: CosineAnnealingLR(o, T_max=period, eta_min=minimum), base, period + 1)
    return {"base": base, "period": period, "minimum": minimum, "rates": values}


def restarts(base, period, factor, minimum, steps):
    values = rates(lambda o: CosineAnnealingWarmRestarts(o, T_0=period, T_mult=factor, eta_min=minimum), base, steps)
    return {"base": base, "period": period, "factor": factor, "minimum": minimum, "rates": values}


def clipping(limit):
    torch.manual_seed(31)
    tensors = [torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (3, 5, 2)]
    for t in tensors:
        t.grad = torch.randn_like(t).float().double()
    before = [t.grad.tolist() for t in tensors]
    norm = torch.nn.utils.clip_grad_norm_(tensors, limit).item()
    return {"limit": limit, "norm": norm, "before": before, "after": [t.grad.tolist() for t in tensors]}


if __name__ == "__main__":
    document = {
        "torch": torch.__version__,
        "annealing": [annealing(1e-3, 10, 0.0), annealing(1e-4, 7, 1e-6), annealing(0.1, 1, 0.01), annealing(1e-3, 100, 1e-5)],
        "restarts": [restarts(1e-3, 5, 1, 0.0, 16), restarts(1e-3, 4, 2, 1e-6, 30), restarts(1e-4, 3, 3, 0.0, 40)],
        "clipping": [clipping(1.0), clipping(100.0)],
    }
    (HERE / "schedule.json").write_text(json.dumps(document, indent=1) + "\n")
