"""Reference numbers of SAM 2 and 2.1, with the video predictor of the official package (key names: README.md).

    pip install torch torchvision numpy safetensors hydra-core iopath tqdm pillow
    PYTHONPATH=<the unpacked source distribution sam2 1.1.0> python3 make.py
"""

import copy
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch.nn import functional as F

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import sam2.sam2_video_predictor as upstream  # noqa: E402
from common import relative_error, save  # noqa: E402
from networks import (COMMON, MEMORY, PACKAGES, SIZE, TRUNK, VARIANTS, WIDTH, allow_float64, blob_mask, normalised,  # noqa: E402
                      randomise, reduced, save_weights, scene, versions)

upstream.tqdm = lambda frames, **_: frames
WEIGHTS = SEED, HEAD, BIAS, SINGLE = 14, 344, -15.0, 1.06
COUNT, HEIGHT, WIDE = 10, 200, 180
ABSENT = -1.0  # In place of the IoU of a frame on which the decoder was not asked.


def start(model, images, height=HEIGHT, width=WIDE):
    """`init_state`, for frames at hand instead of files."""
    device = torch.device("cpu")
    state = dict(images=images, num_frames=len(images), offload_video_to_cpu=False, offload_state_to_cpu=False,
                 video_height=height, video_width=width, device=device, storage_device=device, obj_id_to_idx=OrderedDict(),
                 obj_idx_to_id=OrderedDict(), obj_ids=[])
    for key in ("point_inputs_per_obj", "mask_inputs_per_obj", "cached_features", "constants", "output_dict_per_obj",
                "temp_output_dict_per_obj", "frames_tracked_per_obj"):
        state[key] = {}
    with torch.inference_mode():
        model._get_image_feature(state, frame_idx=0, batch_size=1)
    return state


class Recorder:
    """Notes what the decoder and the memory attention are asked while a scenario runs."""

    def __init__(self, model):
        self.model, self.calls, self.attended, self.conditioned = model, [], None, None
        self.replaced = [(model, "_forward_sam_heads", self.decode),
                         (model, "_prepare_memory_conditioned_features", self.condition),
                         (model.memory_attention, "forward", self.attend),
                         (model.sam_mask_decoder, "predict_masks", self.predict)]
        self.original = [getattr(owner, name) for owner, name, _ in self.replaced]
        self.own = [owner.__dict__.get(name) for owner, name, _ in self.replaced]
        for owner, name, function in self.replaced:
            setattr(owner, name, function)

    def stop(self):
        for (owner, name, _), own in zip(self.replaced, self.own):
            delattr(owner, name)
            if own is not None:
                setattr(owner, name, own)

    def decode(self, *args, **kwargs):
        out = self.original[0](*args, **kwargs)
        self.calls.append({"iou": out[2][0], "score": out[6][0, 0].item(), "attended": self.attended,
                           "conditioned": self.conditioned, "ious": self.ious,
                           "stability": None if len(out[2][0]) > 1 else self.stability})
        self.attended = self.conditioned = None
        return out

    def condition(self, *args, **kwargs):
        self.conditioned = self.original[1](*args, **kwargs)[0]
        return self.conditioned[None]

    def attend(self, curr, curr_pos, memory, memory_pos, num_obj_ptr_tokens):
        area = len(curr[0])
        self.attended = [(len(memory) - num_obj_ptr_tokens) // area,
                         num_obj_ptr_tokens // (self.model.hidden_dim // self.model.mem_dim)]
        # Memories are stored as bfloat16, and become float32 when pointers are put after them. Where there is no pointer,
        # upstream works under autocast only; the cast gives what it would compute in float32.
        return self.original[2](curr=curr, curr_pos=curr_pos, memory=memory.float(), memory_pos=memory_pos,
                                num_obj_ptr_tokens=num_obj_ptr_tokens)

    def predict(self, **kwargs):
        out = self.original[3](**kwargs)
        self.ious = out[1][0]
        self.stability = self.model.sam_mask_decoder._get_stability_scores(out[0][:, :1])[0, 0].item()
        return out


def play(model, images, inputs, steps, video_frame=None, height=HEIGHT, width=WIDE):
    """Runs the steps of a scenario. Returns tensors, for each step what happened, and the decoder's calls."""
    state, tensors, log, calls = start(model, images, height, width), {}, [], []
    recorder = Recorder(model)

    def note(prefix, rows):
        """`rows` is frames × objects of (stored output, decoder's call or None)."""
        most = max([len(c["iou"]) for row in rows for _, c in row if c] or [1])
        tensors[f"{prefix}.logits"] = torch.stack([torch.cat([o["pred_masks"][:, 0] for o, _ in row]) for row in rows])
        tensors[f"{prefix}.score"] = torch.stack([torch.cat([o["object_score_logits"][:, 0] for o, _ in row]) for row in rows])
        tensors[f"{prefix}.pointer"] = torch.stack([torch.cat([o["obj_ptr"] for o, _ in row]) for row in rows])
        tensors[f"{prefix}.iou"] = torch.stack([torch.stack([
            c["iou"] if c and len(c["iou"]) == most else torch.full((most,), ABSENT) for _, c in row]) for row in rows])

    try:
        for i, step in enumerate(steps):
            prefix, entry = f"step{i}", dict(step)
            if step["call"] == "propagate":
                rows, frames, attended = [], [], []
                before = len(recorder.calls)
                for frame, _, video in model.propagate_in_video(
                        state, start_frame_idx=step.get("start"), reverse=step.get("reverse", False)):
                    fresh, row = recorder.calls[before:], []
                    before = len(recorder.calls)
                    for index, outputs in state["output_dict_per_obj"].items():
                        given = frame in outputs["cond_frame_outputs"]
                        call = None if given else fresh.pop(0)
                        row.append((outputs["cond_frame_outputs" if given else "non_cond_frame_outputs"][frame], call))
                        attended.append([frame, index, *(call["attended"] if call else (0, 0))])
                    assert not fresh
                    rows.append(row)
                    frames.append(frame)
                    if frame == video_frame:
                        tensors[f"{prefix}.video.{frame}@3"] = video[:, 0, ::3, ::3].clone()
                    for call in (c for _, c in row if c):
                        if step.get("conditioned") and frame in step["conditioned"]:
                            tensors[f"{prefix}.conditioned.{frame}"] = call["conditioned"].clone()
                    if step.get("memories") and frame in step["memories"]:
                        tensors[f"{prefix}.memory.{frame}"] = row[0][0]["maskmem_features"][0].float()
                note(prefix, rows)
                entry |= {"frames": frames, "attended": attended}
            else:
                frame, name = step["frame"], step["object"]
                if step["call"] == "mask":
                    model.add_new_mask(state, frame, name, inputs[step["mask"]].bool())
                else:
                    prompt = {k: inputs[step[k]] for k in ("points", "labels", "box") if k in step}
                    model.add_new_points_or_box(state, frame, name, **prompt)
                index = state["obj_id_to_idx"][name]
                temporary = state["temp_output_dict_per_obj"][index]
                key = next(k for k in ("cond_frame_outputs", "non_cond_frame_outputs") if frame in temporary[k])
                call = recorder.calls[-1]
                call["mask_counts"] = step["call"] == "points"  # Else only its pointer does: the mask is the prompt.
                note(prefix, [[(temporary[key][frame], call)]])
                entry |= {"stored_as": key, "stability": call["stability"]}
            log.append(entry)
    finally:
        recorder.stop()
    return {k: v.clone() for k, v in tensors.items()}, log, recorder.calls


def prompts():
    """Masks on the frames of the scenarios, and boxes and points in pixels of the video (x y, multiples of 1/8)."""
    def mask(frame, blob):
        return blob_mask(frame / (COUNT - 1), blob, HEIGHT, WIDE).to(torch.uint8)

    return {**{f"mask.{k}": mask(k, 0) for k in (0, 2, 4, 7, 9)}, "other.2": mask(2, 1),
            "box": torch.tensor([48.0, 66.5, 104.25, 118.125]), "points": torch.tensor([[77.5, 92.0], [140.25, 30.5]]),
            "labels": torch.tensor([1, 0], dtype=torch.int32), "point": torch.tensor([[77.5, 92.0]]),
            "label": torch.tensor([1], dtype=torch.int32), "fix.points": torch.tensor([[95.0, 100.5], [60.25, 150.0]])}


def scenarios():
    def mask(frame, name="mask", who=1):
        return {"call": "mask", "frame": frame, "object": who, "mask": f"{name}.{frame}"}

    def points(frame, **what):
        return {"call": "points", "frame": frame, "object": 1, **what}

    def propagate(**how):
        return {"call": "propagate", **how}

    corrected = [mask(0), propagate(), points(5, points="fix.points", labels="labels")]
    return {
        "mask_forward": [mask(0), propagate(conditioned=[1, 9], memories=[0, 1, 8])],
        "mask_reverse": [mask(9), propagate(reverse=True)],
        "mask_middle": [mask(4), propagate(), propagate(reverse=True)],
        "two_objects": [mask(0), mask(2, "other", 2), propagate()],
        "two_masks": [mask(2), mask(7), propagate(), propagate(reverse=True)],
        "box": [points(3, box="box"), propagate()],
        "point": [points(3, points="point", labels="label"), propagate()],
        "points": [points(3, points="points", labels="labels"), propagate()],
        "correction": [*corrected, propagate(start=5)],
        "correction_skipping": [*corrected, propagate(start=6)],
        "correction_as_condition": [*corrected, propagate(start=5)],
        "sam2": [mask(0), propagate()],
    }


VIDEO_FRAME = {"mask_reverse": 0, "mask_middle": 5, "two_objects": 5, "two_masks": 5, "box": 3, "point": 3, "points": 3}


class Networks:
    """The networks of the scenarios, all with the weights of the first."""

    def __init__(self, *weights):
        self.main = randomise(reduced("sam2.1"), *weights)
        self.others = {"sam2": reduced("sam2"),
                       "correction_as_condition": reduced("sam2.1", add_all_frames_to_correct_as_cond=True)}
        self.set(self.main.state_dict())

    def set(self, state):
        self.main.load_state_dict(state)
        for net in self.others.values():
            net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()})
            net.eval()

    def play(self, name, images, inputs, steps):
        return play(self.others.get(name, self.main), images, inputs, steps, VIDEO_FRAME.get(name, 5))


def used(inputs, steps):
    return {v: inputs[v] for step in steps for k, v in step.items() if k in ("mask", "points", "labels", "box")}


def nudged(state, seed):
    """Each weight moved by about half a unit in its last place: another way of rounding."""
    random = torch.Generator().manual_seed(seed)
    return {k: (v * (1 + 6e-8 * torch.randn(v.shape, generator=random, dtype=torch.float64))).to(v.dtype)
            for k, v in state.items()}


def noise(networks, images, inputs, plan, plain):
    """Per scenario and kind of output, the largest difference of five other ways of rounding to `plain`."""
    state = {k: v.clone() for k, v in networks.main.state_dict().items()}
    found = {name: {} for name in plan}

    def compare():
        for name, steps in plan.items():
            for key, value in networks.play(name, images, inputs, steps)[0].items():
                kind = key.split(".")[1]
                found[name][kind] = max(found[name].get(kind, 0.0), (value - plain[name][key]).abs().max().item())

    for seed in range(3):
        networks.set(nudged(state, seed))
        compare()
    networks.set(state)
    torch.set_num_threads(2)
    compare()
    torch.set_num_threads(1)
    with torch.backends.mkldnn.flags(enabled=False):
        compare()
    return {name: {k: float(f"{v:.3g}") for k, v in kinds.items()} for name, kinds in found.items()}


def complaints(name, tensors, log, calls):
    """What makes a scenario a poor reference: decisions that rounding could turn, masks that say nothing."""
    found = []
    for call in calls:
        ious, decided, counts = call["ious"], call["stability"], call.get("mask_counts", True)
        if abs(call["score"]) < 1e-2:
            found.append(f"score {call['score']:.4f}")
        if counts and decided is not None and abs(decided - 0.98) < 2e-3:
            found.append(f"stability {decided:.4f}")
        first, second = ious[1:].topk(2).values.tolist()
        if counts and (decided is None or decided < 0.98) and first - second < 1e-3:
            found.append(f"IoU {first:.4f} {second:.4f}")
        if not (0.02 < ious.min() and ious.max() < 0.99):
            found.append(f"IoU {ious.tolist()}")
    for i, entry in enumerate(log):
        logits, score = tensors[f"step{i}.logits"], tensors[f"step{i}.score"]
        if entry["call"] == "points" and score.min() < 0:
            found.append("prompt without object")
        for one in logits[score > 0]:
            on = (one > 0).float().mean().item()
            if not 0.02 < on < 0.97 or not 1 < one.std() < 15:
                found.append(f"on {on:.2f}, std {one.std():.2f}")
    return found


def thinned(key, tensor):
    """Large maps keep every third row and column; the key says so. Their last two dimensions are rows and columns."""
    big = tensor.dim() == 4 and tensor.shape[-1] >= SIZE // 8 and tensor.numel() > 10000
    return (f"{key}@3", tensor[..., ::3, ::3]) if big else (key, tensor)


def stages(model, images):
    """Each part by itself; the inputs that are not stored elsewhere, and all outputs."""
    generator = torch.Generator().manual_seed(3)
    grid = SIZE // 16

    def random(*shape):
        return torch.randn(shape, generator=generator)

    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 4 * grid)] * 2, indexing="ij")
    soft = (8 * (0.5 - (x - 0.1) ** 2 - (y + 0.2) ** 2) + 0.3 * random(4 * grid, 4 * grid))[None, None]
    inputs = {
        "encode.features": random(1, WIDTH, grid, grid), "encode.logits": soft,
        "attend.curr": random(grid**2, 1, WIDTH), "attend.curr_pos": random(grid**2, 1, WIDTH),
        "attend.memory": random(2 * grid**2 + 8, 1, MEMORY), "attend.memory_pos": random(2 * grid**2 + 8, 1, MEMORY),
        "points.coords": torch.tensor([[[100.5, 40.0], [30.25, 200.0]]]), "points.labels": torch.tensor([[1, 0]]),
        "box.coords": torch.tensor([[[64.0, 80.5], [160.25, 150.0]]]), "box.labels": torch.tensor([[2, 3]]),
        "mask.logits": soft.clone()}
    switch = allow_float64()

    def compute(dtype):
        net = switch(copy.deepcopy(model), dtype)
        given = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
        out, hooks = {}, []

        def watch(name, module, pick=lambda y: y):
            hooks.append(module.register_forward_hook(lambda _, __, y: out.update({name: pick(y).clone()})))

        trunk = net.image_encoder.trunk
        hooks.append(trunk.blocks[0].register_forward_pre_hook(
            lambda _, given: out.update({"trunk.embedded": given[0].permute(0, 3, 1, 2).clone()})))
        for i, block in enumerate(trunk.blocks):
            if i in trunk.stage_ends:
                watch(f"trunk.stage{trunk.stage_ends.index(i)}", block, lambda y: y.permute(0, 3, 1, 2))
        encoded = net.image_encoder(images[:1].to(dtype))
        out |= {f"neck.{i}": level.clone() for i, level in enumerate(encoded["backbone_fpn"])}
        out["neck.position"] = encoded["vision_pos_enc"][-1]
        decoder, encoder = net.sam_mask_decoder, net.sam_prompt_encoder
        fine = [conv(level) for conv, level in zip((decoder.conv_s0, decoder.conv_s1), encoded["backbone_fpn"])]
        out |= {"neck.s0": fine[0], "neck.s1": fine[1]}

        memory = net.memory_encoder
        watch("encode.downsampled", memory.mask_downsampler)
        hooks.append(memory.fuser.register_forward_pre_hook(lambda _, given: out.update({"encode.summed": given[0].clone()})))
        watch("encode.fused", memory.fuser)
        large = F.interpolate(given["encode.logits"], size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        scaled = torch.sigmoid(large) * model.sigmoid_scale_for_mem_enc + model.sigmoid_bias_for_mem_enc
        result = memory(given["encode.features"], scaled, skip_mask_sigmoid=True)
        out |= {"encode.memory": result["vision_features"], "encode.position": result["vision_pos_enc"][0]}

        for i, layer in enumerate(net.memory_attention.layers):
            watch(f"attend.layer{i}", layer, lambda y: y.transpose(0, 1))
        tokens = {k.partition(".")[2]: v for k, v in given.items() if k.startswith("attend.")}
        out["attend.normed"] = net.memory_attention(**tokens, num_obj_ptr_tokens=8)

        out["prompt.position"] = encoder.get_dense_pe()
        for case in ("points", "box"):
            out[f"{case}.sparse"], out[f"{case}.dense"] = encoder(
                points=(given[f"{case}.coords"], given[f"{case}.labels"]), boxes=None, masks=None)
        out["mask.dense"] = encoder(points=None, boxes=None, masks=given["mask.logits"])[1]
        pixels = encoded["backbone_fpn"][-1] + net.no_mem_embed.view(1, -1, 1, 1)
        for case, dense in (("points", "points.dense"), ("box", "mask.dense")):
            names = ("logits4", "iou4", "tokens4", "score")
            out |= {f"{case}.{k}": v for k, v in zip(names, decoder.predict_masks(
                image_embeddings=pixels, image_pe=out["prompt.position"], sparse_prompt_embeddings=out[f"{case}.sparse"],
                dense_prompt_embeddings=out[dense], repeat_image=False, high_res_features=fine))}
        for hook in hooks:
            hook.remove()
        return out

    with torch.no_grad():
        single, exact = compute(torch.float32), compute(torch.float64)
    switch(model, torch.float32)
    exact.pop("points.dense"), single.pop("points.dense")  # `no_mask_embed` everywhere.
    exact.pop("box.dense"), single.pop("box.dense")
    outputs = dict(thinned(k, v) for k, v in exact.items())
    errors = {thinned(k, v)[0]: relative_error(single[k], v) for k, v in exact.items()}
    return {**inputs, **outputs}, errors


def sensitivity(networks, images, inputs, plan, plain):
    """How far what a port could get wrong, or leave out, moves the logits of `mask_forward` on each frame after the first."""
    model, name = networks.main, "mask_forward"
    prepare = model._prepare_memory_conditioned_features

    def changed(change):
        def altered(*args, output_dict, **kwargs):
            return prepare(*args, output_dict=change(output_dict), **kwargs)

        model._prepare_memory_conditioned_features = altered
        logits = networks.play(name, images, inputs, plan[name])[0]["step1.logits"]
        return [float(f"{v:.3g}") for v in (logits - plain[name]["step1.logits"]).abs().amax((1, 2, 3)).tolist()[1:]]

    def edit(change):
        return lambda outputs: {kind: {t: change(t, out, kind) for t, out in frames.items()} for kind, frames in outputs.items()}

    found = {
        "memories_zero": changed(edit(lambda t, out, _: out | {"maskmem_features": 0 * out["maskmem_features"]})),
        "pointers_zero": changed(edit(lambda t, out, _: out | {"obj_ptr": 0 * out["obj_ptr"]})),
        "condition_only": changed(lambda outputs: outputs | {"non_cond_frame_outputs": {}})}
    del model._prepare_memory_conditioned_features
    network = upstream.torch
    upstream.torch = type("Single", (), {"bfloat16": torch.float32, "__getattr__": lambda _, key: getattr(torch, key)})()
    logits = networks.play(name, images, inputs, plan[name])[0]["step1.logits"]
    upstream.torch = network
    found["float32_memories"] = [
        float(f"{v:.3g}") for v in (logits - plain[name]["step1.logits"]).abs().amax((1, 2, 3)).tolist()[1:]]
    return found


def main():
    frames, inputs, plan = scene(COUNT, SIZE), prompts(), scenarios()
    images = normalised(frames)
    networks = Networks(*WEIGHTS)
    common = {"seed": SEED, "packages": PACKAGES, "torchvision": versions()["torchvision"]}
    save_weights(HERE / "weights_21.safetensors", networks.main, seed=SEED,
                 settings={**COMMON, **VARIANTS["sam2.1"]}, trunk=TRUNK)
    save(HERE / "frames.safetensors", {"frames": frames}, seed=11)
    tensors, errors = stages(networks.main, images)
    save(HERE / "stages.safetensors", tensors, **common, float32_error=errors)
    results = {name: networks.play(name, images, inputs, steps) for name, steps in plan.items()}
    plain = {name: result[0] for name, result in results.items()}
    for name, result in results.items():
        print(name, complaints(name, *result) or "fits")
    found = noise(networks, images, inputs, plan, plain)
    networks = Networks(*WEIGHTS)
    moved = sensitivity(networks, images, inputs, plan, plain)
    print(found, moved, sep="\n")
    for name, (outputs, log, _) in results.items():
        extra = {"sensitivity": moved} if name == "mask_forward" else {}
        if name.startswith("correction"):  # They begin as `mask_forward`.
            same = [k for k in outputs if k in plain["mask_forward"] and torch.equal(outputs[k], plain["mask_forward"][k])]
            assert sum(k.split(".")[1] == "logits" for k in same) == 2
            outputs = {k: v for k, v in outputs.items() if k not in same}
        save(HERE / f"{name}.safetensors", {**used(inputs, plan[name]), **outputs}, **common, steps=log, noise=found[name],
             variant="sam2" if name == "sam2" else "sam2.1", video_size=[HEIGHT, WIDE], **extra)


if __name__ == "__main__":
    main()
