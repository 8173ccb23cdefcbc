//! SAM, MobileSAM and LiteMedSAM against their PyTorch code, reduced in size and whole.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use polycl_base::archive::Archive;
use polycl_image::preprocess::Grid;
use polycl_nn::sam::{
    EncoderConfig, Frame, MLP_NAMES, Model, Point, Prompt, Sam, SamConfig, TinyVitConfig, TwoWayConfig,
    VitConfig,
};
use polycl_nn::weights::{RawTensor, Weights};

use crate::reference::{Reference, floats};

fn device() -> Device {
    Device::flex()
}

fn weights(name: &str) -> Weights {
    let reference = Reference::open(name);
    let raw = |key: &str| {
        let data = reference.data(key);
        RawTensor { shape: data.shape().to_vec(), values: floats(data) }
    };
    let tensors: BTreeMap<_, _> = reference.keys().map(|key| (key.to_owned(), raw(key))).collect();
    Weights::new(Path::new(name), tensors, &device())
}

const DECODER: TwoWayConfig = TwoWayConfig { depth: 2, dim: 32, heads: 4, mlp: 64, mlp_names: MLP_NAMES[0] };

fn vit() -> SamConfig {
    let encoder = VitConfig {
        patch: 16,
        side: 8,
        dim: 32,
        depth: 4,
        heads: 2,
        window: 3,
        global: &[1, 3],
        outputs: 32,
    };
    SamConfig { image: 128, encoder: EncoderConfig::Vit(encoder), decoder: DECODER }
}

fn tiny_vit() -> SamConfig {
    let encoder = TinyVitConfig {
        patch_kernel: 3,
        dims: [16, 24, 32, 48],
        depths: [1, 1, 2, 1],
        heads: [2, 2, 2, 4],
        windows: [7, 7, 14, 7],
        outputs: 32,
        classes: Some(7),
    };
    SamConfig { image: 128, encoder: EncoderConfig::TinyVit(encoder), decoder: DECODER }
}

/// The prompts of a case: a batch of two.
fn prompts(reference: &Reference, case: &str) -> Vec<Prompt> {
    let values = |key: &str| {
        let key = format!("{case}.{key}");
        reference.has(&key).then(|| floats(reference.data(&key)))
    };
    let (boxes, coords, labels, mask) = (values("boxes"), values("coords"), values("labels"), values("mask"));
    (0..2)
        .map(|b| {
            let half = |values: &Vec<f32>| values[b * values.len() / 2..][..values.len() / 2].to_vec();
            let points = coords.as_ref().zip(labels.as_ref()).map_or_else(Vec::new, |(coords, labels)| {
                let both = half(coords).chunks_exact(2).map(|xy| [xy[0], xy[1]]).collect::<Vec<_>>();
                let kinds = half(labels);
                both.into_iter().zip(kinds).map(|(xy, kind)| Point { xy, positive: kind == 1.0 }).collect()
            });
            let bounds = boxes.as_ref().map(|boxes| <[f32; 4]>::try_from(half(boxes)).unwrap());
            Prompt { points, bounds, mask: mask.as_ref().map(half) }
        })
        .collect()
}

/// Compares every stage of the image encoder, every prompt, and every mask.
fn whole_network(name: &str, config: SamConfig) {
    let reference = Reference::open(&format!("sam/{name}"));
    let sam = Sam::load(weights(&format!("sam/{name}_weights")), config).unwrap();
    let image = reference.tensor::<4>("input", &device()).permute([0, 2, 3, 1]);
    let embedding = sam.embed_watched(image, &mut |stage, map| {
        let key = format!("stage.{stage}");
        // Patches of a TinyViT are [B, C, H, W] there.
        let nchw = name == "tiny_vit" && stage == "patch_embed";
        let map = if nchw { map.clone().permute([0, 3, 1, 2]) } else { map.clone() };
        reference.close(&key, map.into_data());
    });
    reference.close("embedding", embedding.clone().permute([0, 3, 1, 2]).into_data());
    for case in ["box", "points", "box_points", "box_mask", "points_mask"] {
        let prompts = prompts(&reference, case);
        let (sparse, dense) = sam.encode(&prompts);
        reference.close(&format!("{case}.sparse"), sparse.into_data());
        if reference.has(&format!("{case}.dense")) {
            reference.close(&format!("{case}.dense"), dense.permute([0, 3, 1, 2]).into_data());
        }
        for (prefix, multimask) in [("", false), ("multi_", true)] {
            let masks = sam.decode(&embedding, &prompts, multimask);
            reference.close(&format!("{case}.{prefix}logits"), masks.logits.into_data());
            reference.close(&format!("{case}.{prefix}iou"), masks.iou.into_data());
        }
    }
}

#[test]
fn sam_of_vit_stage_by_stage() {
    whole_network("vit", vit());
}

#[test]
fn sam_of_tiny_vit_stage_by_stage() {
    whole_network("tiny_vit", tiny_vit());
}

/// The trained LiteMedSAM on a synthetic image, where its weights have been fetched.
#[test]
fn litemedsam_stage_by_stage() {
    let Some(path) = lite_weights() else { return };
    let reference = Reference::open("sam/lite_stages");
    let (model, sam) = Sam::open(&path, None, polycl_nn::device::Device::Cpu).unwrap();
    assert_eq!(model, Model::LiteMedSam);
    let grey = reference.tensor::<4>("input", &device()).reshape([1, 256, 256, 1]);
    let embedding = sam.embed_watched(grey.expand([1, 256, 256, 3]), &mut |stage, map| {
        // Their patches are [B, C, H, W].
        let map = if stage == "patch_embed" { nchw(map) } else { map.clone() };
        reference.close_sample(&format!("stage.{stage}"), map.into_data());
    });
    reference.close_sample("embedding", nchw(&embedding).into_data());
    let prompts = prompts(&reference, "box");
    reference.close("box.sparse", sam.encode(&prompts).0.into_data());
    for (prefix, multimask) in [("", false), ("multi_", true)] {
        let masks = sam.decode(&embedding, &prompts, multimask);
        reference.close_sample(&format!("box.{prefix}logits"), masks.logits.into_data());
        reference.close(&format!("box.{prefix}iou"), masks.iou.into_data());
    }
}

/// Against the numbers that came with the project's material, absolute differences.
#[test]
fn litemedsam_on_a_real_slice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/litemedsam");
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let Some(weights) = lite_weights() else { return };
    let (_, sam) = Sam::open(&weights, None, polycl_nn::device::Device::Cpu).unwrap();
    for name in ["chaos_z40", "medsam_img_demo"] {
        let golden = Npz(folder.join(format!("{name}.npz")));
        let near = |key: &str, found: &[f32], expected: &[f32], allowed: f32| {
            assert_eq!(found.len(), expected.len(), "{name} {key}");
            let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            // A NaN counts as the largest difference there is.
            let worst = differences.fold(0f32, |worst, d| if d.is_nan() || d > worst { d } else { worst });
            println!("{name} {key}: {worst:.1e}");
            assert!(worst <= allowed, "{name} {key}: {worst} > {allowed}");
        };
        let close = |key: &str, found: &[f32], allowed: f32| near(key, found, &golden.values(key), allowed);
        let grey =
            Tensor::<4>::from_data(TensorData::new(golden.values("input"), [1, 256, 256, 1]), &device());
        let embedding = sam.embed_watched(grey.expand([1, 256, 256, 3]), &mut |stage, map| {
            // Theirs are tokens but for the patches, [B, C, H, W]; the corner's first values.
            let map = if stage == "patch_embed" { nchw(map) } else { map.clone() };
            let values = floats(map.into_data());
            let stage = stage.replace("layers.", "layer");
            close(&format!("stage_{stage}_first8"), &values[..8], 1e-4);
            // The extremes reach 33: relative to them, where above 1.
            let key = format!("stage_{stage}_stats");
            let scales: Vec<f32> = golden.values(&key).iter().map(|value| value.abs().max(1.0)).collect();
            let scaled =
                |values: &[f32]| -> Vec<f32> { values.iter().zip(&scales).map(|(a, b)| a / b).collect() };
            near(&key, &scaled(&statistics(&values)), &scaled(&golden.values(&key)), 1e-5);
        });
        close("image_embedding", &floats(nchw(&embedding).into_data()), 1e-4);
        let corners = golden.values("box_xyxy_256");
        let prompts = [Prompt::bounds([corners[0], corners[1], corners[2], corners[3]])];
        close("sparse", &floats(sam.encode(&prompts).0.into_data()), 1e-4);
        for (prefix, multimask) in [("lowres_logits iou", false), ("multi_logits multi_iou", true)] {
            let masks = sam.decode(&embedding, &prompts, multimask);
            let (logits, iou) = prefix.split_once(' ').unwrap();
            close(logits, &floats(masks.logits.into_data()), 1e-3);
            close(iou, &floats(masks.iou.into_data()), 1e-4);
        }
    }
}

/// Mean, deviation, least and largest value.
fn statistics(values: &[f32]) -> [f32; 4] {
    let count = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let least = values.iter().copied().fold(f32::MAX, f32::min);
    [mean as f32, variance.sqrt() as f32, least, values.iter().copied().fold(f32::MIN, f32::max)]
}

/// Arrays of numpy, float32 in C order.
struct Npz(PathBuf);

impl Npz {
    fn values(&self, key: &str) -> Vec<f32> {
        let mut bytes = Vec::new();
        let mut archive = Archive::open(&self.0).unwrap();
        archive.content(&format!("{key}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert!(text.contains("'<f4'") && text.contains("'fortran_order': False"), "{text}");
        bytes[10 + header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// Where `polycl fetch litemedsam` has put them; says so where there are none.
fn lite_weights() -> Option<PathBuf> {
    let cache = ["POLYCL_CACHE", "XDG_CACHE_HOME", "HOME"].into_iter().find_map(|variable| {
        let folder = PathBuf::from(std::env::var_os(variable)?);
        Some(match variable {
            "POLYCL_CACHE" => folder,
            "XDG_CACHE_HOME" => folder.join("polycl"),
            _ => folder.join(".cache/polycl"),
        })
    });
    let path = cache?.join("litemedsam/litemedsam.safetensors");
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: no {}; polycl fetch litemedsam brings it", path.display());
    None
}

fn nchw(map: &Tensor<4>) -> Tensor<4> {
    map.clone().permute([0, 3, 1, 2])
}

/// Whole networks in their official files, with random weights; a folder that
/// `tests/reference/sam/full_size.py` has made is named by POLYCL_SAM_FULL.
#[test]
fn whole_sam_and_mobilesam() {
    let Some(folder) = std::env::var_os("POLYCL_SAM_FULL").map(PathBuf::from) else {
        eprintln!("skipped: POLYCL_SAM_FULL names no folder");
        return;
    };
    full_size(&folder, "mobile_sam", "mobile_sam.pt", None);
    full_size(&folder, "vit_b", "vit_b.pth", Some(Model::SamVitB));
}

fn full_size(folder: &Path, name: &str, file: &str, model: Option<Model>) {
    let reference = Reference::read(&folder.join(format!("{name}.safetensors")));
    let (model, sam) = Sam::open(&folder.join(file), model, polycl_nn::device::Device::Cpu).unwrap();
    let grid = Grid { shape: [200, 160], spacing: [1.0, 1.0] };
    let frame = Frame::new(model, &sam.config, grid);
    let image: Vec<u8> = floats(reference.data("image")).iter().map(|&value| value as u8).collect();
    let planes = [0, 1, 2].map(|c| image.iter().skip(c).step_by(3).copied().collect::<Vec<u8>>());
    let input = frame.prepare_colour([&planes[0], &planes[1], &planes[2]]);
    let input = Tensor::<4>::from_data(TensorData::new(input, [1, 1024, 1024, 3]), &device());
    reference.close_sample("input", nchw(&input).into_data());
    let embedding = sam.embed(input);
    reference.close_sample("embedding", nchw(&embedding).into_data());
    let place = |xy: &[f32]| frame.model_from_voxel([xy[0], xy[1]]);
    let corners = floats(reference.data("box.boxes"));
    let ([x0, y0], [x1, y1]) = (place(&corners[..2]), place(&corners[2..]));
    let (coords, labels) = (floats(reference.data("points.coords")), floats(reference.data("points.labels")));
    let points = coords.chunks_exact(2).zip(labels);
    let points = points.map(|(xy, label)| Point { xy: place(xy), positive: label == 1.0 }).collect();
    let cases =
        [("box", Prompt::bounds([x0, y0, x1, y1])), ("points", Prompt { points, ..Prompt::default() })];
    for (case, prompt) in cases {
        for (prefix, multimask) in [("", false), ("multi_", true)] {
            let masks = sam.decode(&embedding, std::slice::from_ref(&prompt), multimask);
            reference.close_sample(&format!("{case}.{prefix}logits"), masks.logits.clone().into_data());
            reference.close(&format!("{case}.{prefix}iou"), masks.iou.into_data());
            let logits = floats(masks.logits.into_data());
            let restored: Vec<f32> =
                logits.chunks_exact(256 * 256).flat_map(|mask| frame.restore(mask)).collect();
            let count = restored.len();
            reference.close_sample(&format!("{case}.{prefix}masks"), TensorData::new(restored, [count]));
        }
    }
}

/// A batch of prompts gives each what it gets alone.
#[test]
fn prompts_of_a_batch_do_not_meet() {
    let reference = Reference::open("sam/vit");
    let sam = Sam::load(weights("sam/vit_weights"), vit()).unwrap();
    let image = reference.tensor::<4>("input", &device()).permute([0, 2, 3, 1]);
    let embedding = sam.embed(image);
    let prompts = prompts(&reference, "box");
    let together: Tensor<4> = sam.decode(&embedding, &prompts, false).logits;
    for (i, prompt) in prompts.into_iter().enumerate() {
        let alone = sam.decode(&embedding, &[prompt], false).logits;
        let same = floats(together.clone().narrow(0, i, 1).into_data()) == floats(alone.into_data());
        assert!(same, "prompt {i} differs");
    }
}
