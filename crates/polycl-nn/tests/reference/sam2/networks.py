"""What `make.py` and `full_size.py` share: reduced networks, random weights, a moving scene, and upstream's code in float64."""

import json
import platform
from importlib.metadata import version

import numpy
import safetensors
import torch
from safetensors.torch import save_file
from sam2.modeling import memory_encoder as memory
from sam2.modeling import position_encoding
from sam2.modeling.backbones import hieradet, image_encoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam import transformer
from sam2.sam2_video_predictor import SAM2VideoPredictor
from torch.nn import functional as F

PACKAGES = {"sam2": "1.1.0"}  # The source distribution, without its CUDA extension.
SIZE, WIDTH, MEMORY = 256, 32, 8
TRUNK = dict(embed_dim=16, num_heads=1, stages=[1, 2, 3, 2], global_att_blocks=[5],
             window_pos_embed_bkg_spatial_size=[7, 7])
COMMON = dict(
    num_maskmem=7, image_size=SIZE, sigmoid_scale_for_mem_enc=20.0, sigmoid_bias_for_mem_enc=-10.0,
    use_mask_input_as_output_without_sam=True, directly_add_no_mem_embed=True, use_high_res_features_in_sam=True,
    multimask_output_in_sam=True, iou_prediction_use_sigmoid=True, use_obj_ptrs_in_encoder=True,
    only_obj_ptrs_in_the_past_for_eval=True, pred_obj_scores=True, pred_obj_scores_mlp=True, fixed_no_obj_ptr=True,
    multimask_output_for_tracking=True, use_multimask_token_for_obj_ptr=True, multimask_min_pt_num=0,
    multimask_max_pt_num=1, use_mlp_for_obj_ptr_proj=True, binarize_mask_from_pts_for_mem_enc=True, fill_hole_area=0,
    sam_mask_decoder_extra_args=dict(dynamic_multimask_via_stability=True, dynamic_multimask_stability_delta=0.05,
                                     dynamic_multimask_stability_thresh=0.98))
VARIANTS = {
    "sam2.1": dict(no_obj_embed_spatial=True, add_tpos_enc_to_obj_ptrs=True, proj_tpos_enc_in_obj_ptrs=True,
                   use_signed_tpos_enc_to_obj_ptrs=True),
    "sam2": dict(add_tpos_enc_to_obj_ptrs=False)}
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def reduced(variant, **options):
    """The tiny configuration with few channels and blocks, as `build_sam2_video_predictor` would build it."""
    def rope(**kwargs):
        return transformer.RoPEAttention(rope_theta=10000.0, feat_sizes=[SIZE // 16] * 2, embedding_dim=WIDTH, num_heads=1,
                                         downsample_rate=1, dropout=0.1, **kwargs)

    def sine(features):
        return PositionEmbeddingSine(num_pos_feats=features, normalize=True, scale=None, temperature=10000)

    encoder = image_encoder.ImageEncoder(
        trunk=hieradet.Hiera(**TRUNK), scalp=1,
        neck=image_encoder.FpnNeck(sine(WIDTH), d_model=WIDTH, backbone_channel_list=[128, 64, 32, 16],
                                   fpn_top_down_levels=[2, 3], fpn_interp_model="nearest"))
    layer = MemoryAttentionLayer(
        activation="relu", d_model=WIDTH, dim_feedforward=64, dropout=0.1, pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True, pos_enc_at_cross_attn_queries=False, self_attention=rope(),
        cross_attention=rope(rope_k_repeat=True, kv_in_dim=MEMORY))
    block = memory.CXBlock(WIDTH, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True)
    return SAM2VideoPredictor(
        image_encoder=encoder, memory_attention=MemoryAttention(WIDTH, True, layer, num_layers=2),
        memory_encoder=memory.MemoryEncoder(
            MEMORY, memory.MaskDownSampler(WIDTH, kernel_size=3, stride=2, padding=1), memory.Fuser(block, 2),
            sine(MEMORY), in_dim=WIDTH),
        **COMMON, **VARIANTS[variant], **options)


@torch.no_grad()
def randomise(model, seed, head=None, bias=None, single=1.0):
    """Every weight random, exact in float16, and of a size that keeps activations near 1; in evaluation mode.

    `head` is a seed of its own for the layers that compute the object score, `bias` what is added to it;
    `single` scales the mask that is judged by its stability.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, std, mean=0.0):
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    own = {"pos_embed": 0.5, "pos_embed_window": 0.3, "maskmem_tpos_enc": 0.5, "no_mem_embed": 0.5, "no_mem_pos_enc": 0.5,
           "no_obj_ptr": 0.7, "no_obj_embed_spatial": 1.0}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in ("Conv2d", "ConvTranspose2d", "Linear"):
            fan_in = module.in_channels if kind == "ConvTranspose2d" else module.weight[0].numel()
            before_relu = any(part in name for part in ("output_hypernetworks_mlps", "prediction_head", "score_head"))
            normal(module.weight, (1.4 if before_relu else 1.0) / fan_in**0.5)
            normal(module.bias, 0.1)
        elif kind in ("LayerNorm", "LayerNorm2d"):
            normal(module.weight, 0.2, 1.0)
            normal(module.bias, 0.2)
        elif kind == "Embedding":
            normal(module.weight, 0.5)
        elif kind == "PositionEmbeddingRandom":
            normal(module.positional_encoding_gaussian_matrix, 1.0)
        elif kind == "CXBlock":
            normal(module.gamma, 0.3, 0.5)
        for key, parameter in module.named_parameters(recurse=False):
            if key in own:
                normal(parameter, own[key])
    normal(model.mask_downsample.weight, 0.5)
    for attention in (a for layer in model.memory_attention.layers for a in (layer.self_attn, layer.cross_attn_image)):
        attention.q_proj.weight.mul_(1.5)
    model.memory_encoder.mask_downsampler.encoder[-1].weight.mul_(2)
    model.memory_encoder.out_proj.weight.mul_(0.2)  # Memories are rounded to bfloat16: larger ones make all results noisy.
    model.obj_ptr_proj.layers[-1].weight.mul_(2)
    decoder = model.sam_mask_decoder
    decoder.output_upscaling[3].bias.add_(1)  # Else its GELU makes many logits nearly zero, and no mask is stable.
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(3)
    for parameter in decoder.output_hypernetworks_mlps[0].layers[-1].parameters():
        parameter.mul_(single)
    if head is not None:
        generator.manual_seed(head)
        for layer in decoder.pred_obj_score_head.layers:
            normal(layer.weight, 1.4 / layer.in_features**0.5)
    decoder.pred_obj_score_head.layers[-1].weight.mul_(8)
    if bias is not None:
        decoder.pred_obj_score_head.layers[-1].bias.fill_(bias)
    halve(model)
    return model.eval()


@torch.no_grad()
def halve(model):
    for tensor in model.state_dict().values():
        tensor.copy_(tensor.half())


def save_weights(path, model, **metadata):
    """The state as float16, which holds it exactly."""
    state = model.state_dict()
    assert all(torch.equal(v, v.half().float()) for v in state.values())
    stored = {k: v.half().contiguous() for k, v in state.items()}
    save_file(stored, path, {"reference": json.dumps({**metadata, "packages": PACKAGES, "versions": versions()}, sort_keys=True)})


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__,
            "safetensors": safetensors.__version__, "torchvision": version("torchvision")}


class Double:
    """Stands for `torch` in a module of upstream that asks for float32 by name."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def allow_float64():
    """Upstream computes positions, rotations and the neck's upsampling in float32; this returns a switch to float64."""
    single = {(module, key): getattr(module, key) for module, keys in (
        (image_encoder, ("torch",)), (position_encoding, ("torch",)),
        (transformer, ("apply_rotary_enc", "compute_axial_cis"))) for key in keys}

    def rotate(xq, xk, freqs_cis, repeat_freqs_k=False):
        q, k = (torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) for x in (xq, xk))
        repeats = k.shape[-2] // q.shape[-2] if repeat_freqs_k else 1
        return [torch.view_as_real(x * freqs).flatten(3) for x, freqs in ((q, freqs_cis), (k, freqs_cis.repeat(repeats, 1)))]

    def axial(dim, end_x, end_y, theta=10000.0):
        end_x = int(end_x)
        freqs = 1 / theta ** (torch.arange(0, dim, 4).double() / dim)
        t = torch.arange(end_x * int(end_y)).double()
        angles = torch.cat([torch.outer(t % end_x, freqs), torch.outer(torch.div(t, end_x, rounding_mode="floor"), freqs)], -1)
        return torch.polar(torch.ones_like(angles), angles)

    double = {(image_encoder, "torch"): Double(), (position_encoding, "torch"): Double(),
              (transformer, "apply_rotary_enc"): rotate, (transformer, "compute_axial_cis"): axial}

    def switch(model, dtype):
        for (module, key), value in (double if dtype == torch.float64 else single).items():
            setattr(module, key, value)
        for module in model.modules():
            if isinstance(module, transformer.RoPEAttention):
                module.compute_cis = transformer.partial(transformer.compute_axial_cis, **module.compute_cis.keywords)
                side = int(len(module.freqs_cis) ** 0.5)
                module.freqs_cis = module.compute_cis(end_x=side, end_y=side)
            elif isinstance(module, PositionEmbeddingSine):
                module.cache.clear()
        return model.to(dtype)

    return switch


def scene(count, size, seed=11):
    """Grey frames, 8 bits: textured blobs that move, grow and fade over a smooth ground that drifts; (count, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    layers = [F.interpolate(torch.rand(1, 1, n, n, generator=generator, dtype=torch.float64), (2 * size, 2 * size),
                            mode="bicubic").view(2 * size, 2 * size) for n in (6, 25, 90)]
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) / size] * 2, indexing="ij")
    frames = []
    for k in range(count):
        t = k / max(count - 1, 1)
        shift = [int(size * 0.05 * i * t) for i in (1, 2, 4)]
        image = 0.1 + 0.35 * layers[0][shift[0]:, shift[1]:][:size, :size] + 0.1 * layers[1][shift[2]:, shift[0]:][:size, :size]
        for cx, cy, rx, ry, value in blobs(t):
            radius = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
            grain = 0.8 + 0.4 * layers[2][:size, shift[1]:][:size, :size]
            image = image + value * grain * torch.sigmoid(14 * (1 - radius))
        image = image + 0.015 * torch.randn(size, size, generator=generator, dtype=torch.float64)
        frames.append((255 * image.clamp(0, 1)).round().to(torch.uint8))
    return torch.stack(frames)


def blobs(t):
    """Centre, radii and brightness of each blob at time t of 0..1, in fractions of the picture."""
    fade = 0.45 * abs(1 - 2.4 * t) / (1 + abs(1 - 2.4 * t)) + 0.1
    return ((0.35 + 0.25 * t, 0.4 + 0.15 * t, 0.16 + 0.05 * t, 0.13, 1.4 * fade),
            (0.7 - 0.2 * t, 0.68 - 0.3 * t, 0.11, 0.15 - 0.04 * t, -0.25),
            (0.75, 0.25 + 0.5 * t, 0.07, 0.07, 0.3 * (1 if t < 0.6 else -1)))


def blob_mask(t, index, height, width):
    """Where blob `index` is at time t, as height × width of bool."""
    cx, cy, rx, ry, _ = blobs(t)[index]
    y, x = torch.meshgrid((torch.arange(height, dtype=torch.float64) + 0.5) / height,
                          (torch.arange(width, dtype=torch.float64) + 0.5) / width, indexing="ij")
    angle = torch.atan2(y - cy, x - cx)
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1 + 0.12 * torch.sin(3 * angle + 1)


def normalised(frames):
    """What `load_video_frames` makes of the frames, once they have the network's size: (count, 3, size, size)."""
    images = (frames.double() / 255).float()[:, None].repeat(1, 3, 1, 1)
    images -= MEAN
    images /= STD
    return images
