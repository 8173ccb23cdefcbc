"""What `unet/make.py` and `resnet18/make.py` share: weights, every stage, and the gradients of both tasks."""

import torch
from torch import nn

from common import blob_masks, cast, clear_of_kinks, reference, save, smooth_images
from losses_reference import cosine_loss, dice_sigmoid
from networks import PolyCl, is_roundoff_only, set_mode

# The ResNet is narrower because of file size alone: four times fewer weights.
WIDTHS = {"unet": (4, 8, 16, 32, 64), "resnet18": (2, 4, 8, 16, 32)}
SIZE = 64
TEMPERATURE = 0.1


def initial_state(net, widths, seed):
    """PyTorch's own initialisation; batch norm gets values other than 1 and 0, so that a mix-up shows."""
    torch.manual_seed(seed)
    model = PolyCl(net, widths)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, mean, spread in ((module.weight, 1, 0.1), (module.bias, 0, 0.1),
                                         (module.running_mean, 0, 0.1), (module.running_var, 1, 0.1)):
                tensor.data = mean + spread * torch.randn_like(tensor)
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def model_with(net, widths, state, mode, dtype=torch.float64, inputs=1):
    model = PolyCl(net, widths, inputs=inputs).to(dtype)
    model.load_state_dict(cast(state, dtype), strict=False)
    return set_mode(model, mode)


def buffers(model):
    """Running statistics as they are now."""
    return {f"buffer.{k}": v.clone() for k, v in model.named_buffers() if "running" in k}


def gradients(model, loss):
    """Of all parameters that the loss depends on."""
    names, parameters = zip(*model.named_parameters())
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {f"grad.{n}": g for n, g in zip(names, grads) if g is not None}


def forward(net, state, mode):
    def compute(tensors):
        x = tensors["input"]
        model = model_with(net, WIDTHS[net], state, mode, x.dtype)
        with torch.no_grad():
            stages = model.encoder.stages(x)
            out = {f"stage.{i}": s for i, s in enumerate(stages)}
            out["embedding"] = model.projection(model.encoder.summary(stages[-1]))
            out |= {f"decoder.{i}": d for i, d in enumerate(model.decoder.maps(stages))}
            out["logits"] = model.decoder(stages)
        out["probability"] = out["logits"].sigmoid()
        return out | (buffers(model) if mode == "train" else {})

    return compute


def segmenter_task(net, state):
    def compute(tensors):
        x = tensors["input"].clone().requires_grad_(True)
        model = model_with(net, WIDTHS[net], state, "train", x.dtype)
        loss = dice_sigmoid(model(x), tensors["mask"])
        return {"loss": loss, "grad.input": torch.autograd.grad(loss, x, retain_graph=True)[0], **gradients(model, loss)}

    return compute


def contrastive_task(net, state):
    def compute(tensors):
        model = model_with(net, WIDTHS[net], state, "train", tensors["anchor"].dtype)
        embeddings = {k: model.embed(tensors[k]) for k in ("anchor", "positive", "negative")}
        loss = cosine_loss(**embeddings, temperature=TEMPERATURE)
        return {**{f"embedding.{k}": v for k, v in embeddings.items()}, "loss": loss, **buffers(model), **gradients(model, loss)}

    return compute


def make(net, folder, seed):
    state = initial_state(net, WIDTHS[net], seed)
    model = model_with(net, WIDTHS[net], state, "train")
    image, margin = clear_of_kinks(model, model, smooth_images(2, SIZE, SIZE))
    mask = blob_masks(2, SIZE, SIZE)
    slices = ("anchor", "positive", "negative")
    images, margins = zip(*(clear_of_kinks(model, model.embed, smooth_images(2, SIZE, SIZE)) for _ in slices))

    common = {"net": net, "widths": WIDTHS[net], "seed": seed}
    save(folder / "weights.safetensors", {f"weight.{k}": v for k, v in state.items()}, **common)
    modes = {"forward_train": "train", "forward_eval": "eval"} if net == "resnet18" else {"forward": "eval"}
    for name, mode in modes.items():
        write(folder / f"{name}.safetensors", forward(net, state, mode), {"input": image}, common)
    write(folder / "segmenter_gradients.safetensors", segmenter_task(net, state), {"input": image, "mask": mask}, common,
          kink_margin=margin)
    write(folder / "contrastive_gradients.safetensors", contrastive_task(net, state), dict(zip(slices, images)), common,
          kink_margin=min(margins), temperature=TEMPERATURE)


def write(path, compute, inputs, common, **metadata):
    outputs, errors = reference(compute, inputs)
    roundoff = sorted(k for k in outputs if k.startswith("grad.") and is_roundoff_only(k))
    save(path, {**inputs, **outputs}, **common, **metadata, float32_error=errors, roundoff_only=roundoff)
