//! SAM 2 and 2.1 against their PyTorch code, reduced in size and whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use polycl_image::preprocess::Grid;
use polycl_nn::sam::{Frame, MLP_NAMES, Point, Prompt, TwoWayConfig};
use polycl_nn::sam2::{Features, HieraConfig, MemoryConfig, Model, Sam2, Sam2Config, Version, Video};
use polycl_nn::weights::{self, RawTensor, Weights};
use serde_json::Value;

use crate::reference::{Reference, floats};

/// Largest difference of mask logits that is allowed.
const LOGITS: f32 = 1e-3;

fn device() -> Device {
    Device::flex()
}

fn reduced(version: Version) -> Sam2Config {
    let trunk = HieraConfig {
        dim: 16,
        heads: 1,
        stages: [1, 2, 3, 2],
        windows: [8, 4, 14, 7],
        global: [5; 3],
        background: 7,
    };
    let decoder = TwoWayConfig { depth: 2, dim: 32, heads: 8, mlp: 2048, mlp_names: MLP_NAMES[1] };
    Sam2Config { image: 256, trunk, decoder, memory: MemoryConfig { dim: 8, layers: 2, mlp: 64 }, version }
}

/// The weights of 2.1; those of 2 are the same without what it lacks.
fn network(version: Version) -> Sam2 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam2");
    let path = folder.join("weights_21.safetensors");
    let mut tensors = weights::read(&path).unwrap();
    if version == Version::V2 {
        tensors.retain(|name, _| name != "no_obj_embed_spatial" && !name.starts_with("obj_ptr_tpos_proj"));
    }
    Sam2::load(Weights::new(&path, tensors, &device()), reduced(version)).unwrap()
}

fn nchw(map: &Tensor<4>) -> TensorData {
    map.clone().permute([0, 3, 1, 2]).into_data()
}

/// Compares a map [1, H, W, C] of which every third row and column were kept, if not all.
fn close_map(reference: &Reference, key: &str, map: &Tensor<4>) {
    let thinned = format!("{key}@3");
    if !reference.has(&thinned) {
        reference.close(key, nchw(map));
        return;
    }
    let [_, h, w, _] = map.dims();
    let rows: Vec<Tensor<4>> = (0..h).step_by(3).map(|y| map.clone().narrow(1, y, 1)).collect();
    let map = Tensor::cat(rows, 1);
    let columns: Vec<Tensor<4>> = (0..w).step_by(3).map(|x| map.clone().narrow(2, x, 1)).collect();
    reference.close(&thinned, nchw(&Tensor::cat(columns, 2)));
}

/// Frames of a scene at the network's size.
struct Scene {
    grey: Vec<u8>,
    image: usize,
    /// How they are prepared, and what the video is like that they stand for.
    own: Frame,
    frame: Frame,
    video: [usize; 2],
}

impl Scene {
    /// `video` is the size of the frames before they were resized.
    fn new(frames: &Reference, config: &Sam2Config, video: [usize; 2]) -> Self {
        let grey = floats(frames.data("frames")).iter().map(|&value| value as u8).collect();
        let of = |shape| Frame::of_video(config.image, Grid { shape, spacing: [1.0; 2] });
        Self { grey, image: config.image, own: of([config.image; 2]), frame: of(video), video }
    }

    /// A mask on the video's pixels, every third row and column.
    fn on_video(&self, logits: &[f32]) -> Vec<f32> {
        let [width, _] = self.video;
        let mask = self.frame.restore(logits);
        let rows = mask.chunks_exact(width).step_by(3);
        rows.flat_map(|row| row.iter().step_by(3)).copied().collect()
    }

    fn count(&self) -> usize {
        self.grey.len() / (self.image * self.image)
    }

    fn input(&self, frame: usize) -> Tensor<4> {
        let pixels = self.image * self.image;
        let input = self.own.prepare_grey(&self.grey[frame * pixels..][..pixels]);
        Tensor::from_data(TensorData::new(input, [1, self.image, self.image, 3]), &device())
    }
}

#[test]
fn stage_by_stage() {
    let (reference, network) = (Reference::open("sam2/stages"), network(Version::V21));
    let scene = Scene::new(&Reference::open("sam2/frames"), &network.config, [256; 2]);
    let features = network.encode_watched(scene.input(0), &mut |stage, map| {
        let key = if stage == "patch_embed" { "trunk.embedded".to_owned() } else { format!("trunk.{stage}") };
        close_map(&reference, &key, map);
    });
    let [finer, finest, embedding] = features.maps();
    close_map(&reference, "neck.s1", finer);
    close_map(&reference, "neck.s0", finest);
    close_map(&reference, "neck.2", embedding);
    prompts_and_masks(&reference, &network, &features);
    memories(&reference, &network);
}

fn prompts_and_masks(reference: &Reference, network: &Sam2, features: &Features) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam2/weights_21.safetensors");
    let no_memory = weights::read(&path).unwrap()["no_mem_embed"].values.clone();
    let pixels = features.maps()[2].clone()
        + Tensor::<4>::from_data(TensorData::new(no_memory, [1, 1, 1, 32]), &device());
    let values = |key: &str| floats(reference.data(key));
    let (places, corners) = (values("points.coords"), values("box.coords"));
    let point = |i: usize, positive| Point { xy: [places[2 * i], places[2 * i + 1]], positive };
    let points = Prompt { points: vec![point(0, true), point(1, false)], ..Prompt::default() };
    let bounds = Prompt {
        bounds: Some([corners[0], corners[1], corners[2], corners[3]]),
        mask: Some(values("mask.logits")),
        ..Prompt::default()
    };
    for (case, prompt) in [("points", points), ("box", bounds)] {
        let (sparse, dense) = network.encode_prompt(&prompt);
        reference.close(&format!("{case}.sparse"), sparse.into_data());
        if prompt.mask.is_some() {
            close_map(reference, "mask.dense", &dense);
        }
        let decoded = network.decode_all(features, pixels.clone(), &prompt);
        close_map(reference, &format!("{case}.logits4"), &decoded.logits.permute([0, 2, 3, 1]));
        reference.close(&format!("{case}.tokens4"), decoded.tokens.into_data());
        reference.close(&format!("{case}.score"), decoded.object_score.unwrap().into_data());
        let iou = burn::tensor::activation::sigmoid(decoded.iou);
        reference.close(&format!("{case}.iou4"), iou.into_data());
    }
}

fn memories(reference: &Reference, network: &Sam2) {
    let embedding = reference.tensor::<4>("encode.features", &device()).permute([0, 2, 3, 1]);
    let logits = floats(reference.data("encode.logits"));
    let mask = polycl_image::resize::interpolated(&logits, [64; 2], [256; 2]);
    let mask: Vec<f32> = mask.iter().map(|x| 20.0 / (1.0 + (-x).exp()) - 10.0).collect();
    let mask = Tensor::from_data(TensorData::new(mask, [1, 256, 256, 1]), &device());
    let memory = network.memory_encoder.forward(&embedding, mask, &mut |stage, map| {
        let key = match stage {
            "mask" => "encode.downsampled",
            "sum" => "encode.summed",
            _ => "encode.fused",
        };
        close_map(reference, key, map);
    });
    close_map(reference, "encode.memory", &memory);
    // Theirs are [tokens, 1, channels].
    let tokens = |key: &str| reference.tensor::<3>(key, &device()).swap_dims(0, 1);
    let frame = tokens("attend.curr") + tokens("attend.curr_pos") * 0.1;
    let (values, places) = (tokens("attend.memory"), tokens("attend.memory_pos"));
    let seen = network.memory_attention.forward(frame, &values, places, 8, &mut |stage, x| {
        let key = stage.replace("layers.", "attend.layer");
        reference.close(&key, x.clone().into_data());
    });
    reference.close("attend.normed", seen.into_data());
}

/// Does what a scenario's steps say, and compares what each of them leaves.
fn play(name: &str, reference: &Reference, network: &Sam2, scene: &Scene) {
    let mut video = Video::new(network, scene.count());
    video.corrections_condition = name == "correction_as_condition";
    let mut worst = Worst::default();
    let mut compared = 0;
    for (i, step) in reference.about("steps").as_array().unwrap().iter().enumerate() {
        let mut found = Vec::new();
        if step["call"] == "propagate" {
            for frame in numbers(&step["frames"]) {
                let first = found.len();
                video.step(frame, step["reverse"] == true, &network.encode(scene.input(frame))).unwrap();
                found.extend(video.objects().map(|(_, track)| track.get(frame).unwrap().clone()));
                let key = format!("step{i}.video.{frame}@3");
                if reference.has(&key) {
                    let masks: Vec<f32> =
                        found[first..].iter().flat_map(|o| scene.on_video(&o.logits)).collect();
                    worst.compare(0, &masks, &floats(reference.data(&key)));
                }
            }
        } else {
            let (frame, object) = (number(&step["frame"]), number(&step["object"]) as u16);
            let features = network.encode(scene.input(frame));
            let output = if step["call"] == "mask" {
                let mask = floats(reference.data(step["mask"].as_str().unwrap()));
                let mask: Vec<bool> = mask.iter().map(|&inside| inside > 0.0).collect();
                video.draw(object, frame, &features, &scene.frame.on_input(&mask))
            } else {
                video.prompt(object, frame, &features, &prompt(step, reference, &scene.frame))
            };
            found.push(output.unwrap().clone());
        }
        // What another scenario holds already is left out.
        if !reference.has(&format!("step{i}.logits")) {
            continue;
        }
        compared += 1;
        let expected = |what: &str| floats(reference.data(&format!("step{i}.{what}")));
        let (logits, scores, pointers) = (expected("logits"), expected("score"), expected("pointer"));
        let ious = expected("iou");
        assert_eq!(found.len(), scores.len(), "{name}, step {i}");
        let pixels = logits.len() / found.len();
        for (k, output) in found.iter().enumerate() {
            let same = (output.object_score > 0.0) == (scores[k] > 0.0);
            assert!(same, "{name}, step {i}: object {k} has {}, not {}", output.object_score, scores[k]);
            worst.compare(0, &output.logits, &logits[k * pixels..][..pixels]);
            worst.compare(1, &[output.object_score], &scores[k..=k]);
            // That of the mask that counts; -1 where the decoder was not asked.
            let ious = &ious[k * ious.len() / found.len()..(k + 1) * ious.len() / found.len()];
            let best = ious.iter().copied().fold(-1.0, f32::max);
            if best >= 0.0 && step["call"] != "mask" {
                worst.compare(1, &[output.predicted_iou], &[best]);
            }
            let dim = output.pointer.len();
            worst.compare(2, &output.pointer, &pointers[k * dim..][..dim]);
        }
    }
    assert!(compared > 0, "{name}: nothing was compared");
    let noise = &reference.about("noise");
    println!("{name}: logits, score, pointer {:?}; PyTorch with other roundings {noise}", worst.0);
    assert!(worst.0.iter().all(|&worst| worst <= LOGITS), "{name}: {:?}", worst.0);
}

/// Largest differences; NaN is the largest there is.
#[derive(Default)]
struct Worst([f32; 3]);

impl Worst {
    fn compare(&mut self, kind: usize, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        self.0[kind] =
            differences.fold(self.0[kind], |worst, d| if d.is_nan() || d > worst { d } else { worst });
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn prompt(step: &Value, reference: &Reference, frame: &Frame) -> Prompt {
    let values = |what: &str| step[what].as_str().map(|key| floats(reference.data(key)));
    let place = |xy: &[f32]| frame.model_from_voxel([xy[0], xy[1]]);
    let bounds = values("box").map(|corners| {
        let ([x0, y0], [x1, y1]) = (place(&corners[..2]), place(&corners[2..]));
        [x0, y0, x1, y1]
    });
    let points = values("points").zip(values("labels")).map(|(places, labels)| {
        let points = places.chunks_exact(2).zip(labels);
        points.map(|(xy, label)| Point { xy: place(xy), positive: label == 1.0 }).collect()
    });
    Prompt { points: points.unwrap_or_default(), bounds, mask: None }
}

fn scenario(name: &str) {
    let version = if name == "sam2" { Version::V2 } else { Version::V21 };
    let (reference, network) = (Reference::open(&format!("sam2/{name}")), network(version));
    let size = numbers(reference.about("video_size"));
    let scene = Scene::new(&Reference::open("sam2/frames"), &network.config, [size[1], size[0]]);
    play(name, &reference, &network, &scene);
}

macro_rules! scenarios {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                scenario(stringify!($name));
            }
        )*
    };
}

scenarios!(
    mask_forward,
    mask_reverse,
    mask_middle,
    two_objects,
    two_masks,
    point,
    points,
    correction,
    correction_skipping,
    correction_as_condition
);

#[test]
fn bounds() {
    scenario("box");
}

#[test]
fn version_2() {
    scenario("sam2");
}

/// Whole networks in their official files, with random weights; a folder that
/// `tests/reference/sam2/full_size.py` has made is named by POLYCL_SAM2_FULL.
#[test]
fn whole_networks() {
    let Some(folder) = std::env::var_os("POLYCL_SAM2_FULL").map(PathBuf::from) else {
        eprintln!("skipped: POLYCL_SAM2_FULL names no folder");
        return;
    };
    let sizes = ["tiny", "small", "base_plus", "large"];
    let mut names: Vec<(String, String)> = sizes
        .iter()
        .flat_map(|size| {
            ["sam2.1", "sam2"].map(|v| (format!("{v}_hiera_{size}"), format!("{v}-hiera-{size}")))
        })
        .map(|(file, model)| (file, model.replace('_', "-")))
        .collect();
    names.push(("sam2.1_hiera_tiny_512".to_owned(), "medsam2".to_owned()));
    let there: Vec<_> =
        names.iter().filter(|(file, _)| folder.join(format!("{file}.pt")).is_file()).collect();
    assert!(!there.is_empty(), "no checkpoints in {}", folder.display());
    for (file, model) in there {
        let reference = Reference::read(&folder.join(format!("{file}.safetensors")));
        let model: Model = model.parse().unwrap();
        let path = folder.join(format!("{file}.pt"));
        let (_, network) = Sam2::open(&path, Some(model), polycl_nn::device::Device::Cpu).unwrap();
        let size = numbers(reference.about("video_size"));
        let scene = Scene::new(&reference, &network.config, [size[1], size[0]]);
        let features = network.encode_watched(scene.input(0), &mut |stage, map| {
            let key =
                if stage == "patch_embed" { "trunk.embedded".to_owned() } else { format!("trunk.{stage}") };
            close_whole(&reference, &key, map);
        });
        for (key, map) in ["neck.s1", "neck.s0", "neck.2"].into_iter().zip(features.maps()) {
            close_whole(&reference, key, map);
        }
        play(file, &reference, &network, &scene);
    }
}

/// Of a whole network PyTorch's own float32 is all there is: 1e-5, or five times what other roundings do.
fn close_whole(reference: &Reference, key: &str, map: &Tensor<4>) {
    let stride = number(&reference.about("sample_stride")[key]);
    let found: Vec<f32> = floats(nchw(map)).into_iter().step_by(stride).collect();
    let expected = floats(reference.data(key));
    let mut worst = Worst::default();
    worst.compare(0, &found, &expected);
    let largest = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let allowed = (5.0 * reference.about("noise")[key].as_f64().unwrap() as f32).max(1e-5);
    println!("{key}: {:.1e} (allowed {allowed:.1e})", worst.0[0] / largest);
    assert!(worst.0[0] / largest <= allowed, "{key}");
}

/// Checkpoints tell which network they are of, but for the size of its input.
#[test]
fn networks_are_recognised() {
    let path = Path::new("x.pt");
    let shapes = |model: &str, newer: bool| {
        let trunk = model.parse::<Model>().unwrap().config().trunk;
        let last: usize = trunk.stages.iter().sum::<usize>() - 1;
        let mut names = vec![("image_encoder.trunk.blocks.0.norm1.weight".to_owned(), trunk.dim)];
        names.push((format!("image_encoder.trunk.blocks.{last}.norm1.weight"), 8 * trunk.dim));
        names.extend(newer.then(|| ("no_obj_embed_spatial".to_owned(), 64)));
        let tensor = |(name, n)| (name, RawTensor { shape: vec![n], values: vec![0.0; n] });
        Weights::new(path, names.into_iter().map(tensor).collect(), &device())
    };
    let name = |model: &str, newer, wanted: Option<&str>| {
        let wanted = wanted.map(|name| name.parse().unwrap());
        Model::recognise(&shapes(model, newer), wanted).map(|model| model.to_string())
    };
    assert_eq!(name("sam2.1-hiera-large", true, None).unwrap(), "sam2.1-hiera-large");
    assert_eq!(name("sam2.1-hiera-base-plus", false, None).unwrap(), "sam2-hiera-base-plus");
    assert_eq!(name("sam2-hiera-tiny", true, Some("medsam2")).unwrap(), "medsam2");
    let error = name("sam2-hiera-tiny", true, None).unwrap_err().to_string();
    assert!(error.contains("sam2.1-hiera-tiny or medsam2"), "{error}");
    let error = name("sam2-hiera-small", false, Some("medsam2")).unwrap_err().to_string();
    assert!(error.contains("the tensors of medsam2") && error.contains("sam2-hiera-small"), "{error}");
}

/// What is missing, misshapen or left over is named.
#[test]
fn wrong_tensors_are_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam2/weights_21.safetensors");
    let tensors = weights::read(&path).unwrap();
    let load = |change: &dyn Fn(&mut BTreeMap<String, RawTensor>)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        Sam2::load(Weights::new(&path, tensors, &device()), reduced(Version::V21)).unwrap_err().to_string()
    };
    let key = "memory_attention.layers.1.cross_attn_image.k_proj.weight";
    assert!(load(&|tensors| drop(tensors.remove(key))).contains(key));
    let error = load(&|tensors| tensors.get_mut(key).unwrap().shape = vec![8, 32]);
    assert!(error.contains(key) && error.contains("[8, 32]"), "{error}");
    let error = load(&|tensors| {
        tensors.insert("extra".to_owned(), RawTensor { shape: vec![1], values: vec![0.0] });
    });
    assert!(error.contains("'extra'"), "{error}");
}
