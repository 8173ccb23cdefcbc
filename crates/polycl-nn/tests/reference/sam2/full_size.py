"""Whole SAM 2 networks with random weights in the official file format, and numbers of the official video predictor.

    PYTHONPATH=<...> python3 full_size.py OUT_DIR [NAME...]     # 160 MB for a tiny one; key names: README.md; needs: make.py
"""

import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from common import save  # noqa: E402
from make import nudged, play  # noqa: E402
from networks import PACKAGES, blob_mask, halve, normalised, randomise, scene, versions  # noqa: E402
from sam2.build_sam import build_sam2_video_predictor  # noqa: E402

HEIGHT, WIDE = 400, 360  # Of the video, which the frames at the network's size stand for.
# Name: configuration, image size, frames, seed.
NETWORKS = {
    "sam2.1_hiera_tiny": ("sam2.1/sam2.1_hiera_t", 1024, 3, 51),
    "sam2.1_hiera_tiny_512": ("sam2.1/sam2.1_hiera_t", 512, 10, 52),
    "sam2_hiera_tiny": ("sam2/sam2_hiera_t", 1024, 3, 53),
    "sam2.1_hiera_small": ("sam2.1/sam2.1_hiera_s", 1024, 3, 54),
    "sam2.1_hiera_base_plus": ("sam2.1/sam2.1_hiera_b+", 1024, 3, 55),
    "sam2.1_hiera_large": ("sam2.1/sam2.1_hiera_l", 1024, 2, 56),
}


def samples(tensor, count=2048):
    """About `count` values, equally far apart; and how far: a prime, so that they run through all rows and columns."""
    n = max(tensor.numel() // count, 1)
    while n > 1 and any(n % d == 0 for d in range(2, int(n**0.5) + 1)):
        n -= 1
    return tensor.flatten()[::n].clone(), n


def stages(model, image):
    found, hooks, trunk = {}, [], model.image_encoder.trunk
    hooks.append(trunk.blocks[0].register_forward_pre_hook(
        lambda _, given: found.update({"trunk.embedded": given[0].permute(0, 3, 1, 2)})))
    for stage, block in enumerate(trunk.stage_ends):
        hooks.append(trunk.blocks[block].register_forward_hook(
            lambda _, __, y, stage=stage: found.update({f"trunk.stage{stage}": y.permute(0, 3, 1, 2)})))
    with torch.inference_mode():
        encoded = model.image_encoder(image)
        found |= {f"neck.{i}": level for i, level in enumerate(encoded["backbone_fpn"])}
        found["neck.position"] = encoded["vision_pos_enc"][-1]
        for i in (0, 1):
            found[f"neck.s{i}"] = getattr(model.sam_mask_decoder, f"conv_s{i}")(encoded["backbone_fpn"][i])
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def tame(model, images, run):
    """Brings the neck's levels to a size near 2, masks to both sides of 0, and the object score above 0."""
    found = []
    hooks = [conv.register_forward_hook(lambda _, __, y: found.append(y.std().item())) for conv in model.image_encoder.neck.convs]
    model.image_encoder(images[:1])
    for hook in hooks:
        hook.remove()
    for conv, std in zip(reversed(model.image_encoder.neck.convs), reversed(found)):
        conv.conv.weight.mul_(2 / std)
    for mlp in model.sam_mask_decoder.output_hypernetworks_mlps:
        last = mlp.layers[-1]
        last.weight.sub_(last.weight.mean(0)).mul_((32 / model.hidden_dim) ** 0.5)  # What they are multiplied with has a mean.
        last.bias.sub_(last.bias.mean())
    bias = model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    bias.fill_(100)
    halve(model)
    lowest = min(call["score"] - 100 for call in run(images[:2])[2])
    bias.fill_(2 - lowest)
    halve(model)


def make(name, folder):
    config, size, count, seed = NETWORKS[name]
    model = build_sam2_video_predictor(f"configs/{config}.yaml", device="cpu", hydra_overrides_extra=[f"++model.image_size={size}"])
    model.fill_hole_area = 0  # Without the CUDA extension upstream warns and fills nothing.
    randomise(model, seed)
    frames = scene(count, size)
    images = normalised(frames)
    inputs = {"mask.0": blob_mask(0, 0, HEIGHT, WIDE).to(torch.uint8)}
    steps = [{"call": "mask", "frame": 0, "object": 1, "mask": "mask.0"},
             {"call": "propagate", "conditioned": [1], "memories": [0, 1]}]

    def run(images=images):
        return play(model, images, inputs, steps, video_frame=1, height=HEIGHT, width=WIDE)

    tame(model, images, run)
    torch.save({"model": model.state_dict()}, folder / f"{name}.pt")
    outputs, log, calls = run()
    begin = time.time()
    found = stages(model, images[:1])
    seconds = time.time() - begin
    again = {}
    state = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(nudged(state, 0))
    for key, value in run()[0].items():
        kind = key.split(".")[1]
        again[kind] = max(again.get(kind, 0.0), float(f"{(value - outputs[key]).abs().max().item():.3g}"))
    moved = stages(model, images[:1])
    again |= {k: float(f"{((moved[k] - v).abs().max() / v.abs().max()).item():.3g}") for k, v in found.items()}
    strides = {}
    sampled = [*found, *(k for k in outputs if "conditioned" in k or "memory" in k)]
    everything = found | outputs
    for key in sampled:
        everything[key], strides[key] = samples(everything[key])
    save(folder / f"{name}.safetensors", {"frames": frames, **inputs, **everything}, net=name, config=config, image_size=size,
         seed=seed, packages=PACKAGES, torchvision=versions()["torchvision"], steps=log, noise=again, sample_stride=strides,
         video_size=[HEIGHT, WIDE])
    logits = outputs["step1.logits"]
    print(f"{name}: encoder {seconds:.1f} s, noise {again}")
    print("  on", [round(x, 3) for x in (logits > 0).float().mean((1, 2, 3)).tolist()], "std", logits.std((1, 2, 3)).tolist(),
          "score", outputs["step1.score"].flatten().tolist(), "iou", outputs["step1.iou"][:, 0].tolist(), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    out_dir = Path(sys.argv[1])
    out_dir.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[2:] or NETWORKS:
        make(wanted, out_dir)
