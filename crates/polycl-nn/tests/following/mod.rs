//! Networks with random weights, and a scan for them: the masks do not matter, only that they are the same again.

#![allow(dead_code, reason = "each file of tests uses its own part")]

use std::any::Any;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use glam::{DAffine3, DMat3, DVec3};
use polycl_base::Watch;
use polycl_image::names::Names;
use polycl_image::{Image, Mask, Plane, Space, Volume};
use polycl_nn::device;
use polycl_nn::propagate::{
    Clue, Direction, Follower, Found, Journal, Object, Place, Propagated, Request, VideoNetwork, fingerprint,
    propagate,
};
use polycl_nn::sam::{Embedder, EncoderConfig, MLP_NAMES, Sam, SamConfig, TwoWayConfig, VitConfig};
use polycl_nn::sam2::{HieraConfig, MemoryConfig, Model, Sam2, Sam2Config, Size, Version};
use polycl_nn::weights::{self, Weights};

pub const SLICES: usize = 40;
pub const SHAPE: [usize; 3] = [30, 24, SLICES];

/// The reduced SAM 2 of the parity tests.
pub fn memory() -> Follower {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam2/weights_21.safetensors");
    let trunk = HieraConfig {
        dim: 16,
        heads: 1,
        stages: [1, 2, 3, 2],
        windows: [8, 4, 14, 7],
        global: [5; 3],
        background: 7,
    };
    let decoder = TwoWayConfig { depth: 2, dim: 32, heads: 8, mlp: 2048, mlp_names: MLP_NAMES[1] };
    let memory = MemoryConfig { dim: 8, layers: 2, mlp: 64 };
    let config = Sam2Config { image: 256, trunk, decoder, memory, version: Version::V21 };
    let weights = Weights::new(&path, weights::read(&path).unwrap(), &Device::flex());
    let sam2 = Sam2::load(weights, config).unwrap();
    let model = Model::Sam2(Version::V21, Size::Tiny);
    Follower::Memory(Arc::new(VideoNetwork::new(model, sam2, device::Device::Cpu)))
}

/// The reduced SAM of the parity tests.
pub fn embedder() -> Arc<Embedder> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sam/vit_weights.safetensors");
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
    let decoder = TwoWayConfig { depth: 2, dim: 32, heads: 4, mlp: 64, mlp_names: MLP_NAMES[0] };
    let config = SamConfig { image: 128, encoder: EncoderConfig::Vit(encoder), decoder };
    let weights = Weights::new(&path, weights::read(&path).unwrap(), &Device::flex());
    let sam = Sam::load(weights, config).unwrap();
    Arc::new(Embedder::new(polycl_nn::sam::Model::SamVitB, sam, device::Device::Cpu, None))
}

/// Files count slices from the head here.
fn space() -> Space {
    let axes = DMat3::from_diagonal(DVec3::new(1.0, 1.0, -4.0));
    Space::new(SHAPE, DAffine3::from_mat3_translation(axes, DVec3::ZERO))
}

/// Two balls on a background that changes, and three slices in which they are drawn. One patient's balls are
/// elsewhere than another's.
pub fn scan(patient: u8) -> (Image, Mask) {
    drawn(patient, |[_, _, z]| [14, 20, 24].contains(&z))
}

/// The same with other voxels drawn.
pub fn drawn(patient: u8, is_drawn: impl Fn([usize; 3]) -> bool) -> (Image, Mask) {
    let space = space();
    let moved = f32::from(patient);
    let (mut image, mut mask) = (Vec::new(), Vec::new());
    for i in 0..space.voxels() {
        let [x, y, z] = [i % SHAPE[0], i / SHAPE[0] % SHAPE[1], i / (SHAPE[0] * SHAPE[1])];
        let near = |c: [f32; 3]| {
            let d = [x as f32 - c[0], y as f32 - c[1] - moved, (z as f32 - c[2]) / 2.0];
            d.iter().map(|d| d * d).sum::<f32>().sqrt()
        };
        let label = u16::from(near([9.0, 10.0, 20.0]) < 6.0) + 2 * u16::from(near([21.0, 14.0, 18.0]) < 5.0);
        let texture = (x * 7 + y * 5 + z * 3) % 23;
        image.push([-60.0, 90.0, 150.0][usize::from(label)] + texture as f32);
        mask.push(if is_drawn([x, y, z]) { label } else { 0 });
    }
    (Volume { space: space.clone(), voxels: image }, Volume { space, voxels: mask })
}

/// Stops the work at a step, and keeps what was found on the way.
#[derive(Default)]
pub struct Watcher {
    pub stop_at: Option<usize>,
    pub stopping: AtomicBool,
    pub found: Mutex<Vec<Found>>,
}

impl Watch for Watcher {
    fn step(&self, done: usize, _: usize) {
        if Some(done) == self.stop_at {
            self.stopping.store(true, Ordering::Relaxed);
        }
    }

    fn partial(&self, result: &dyn Any) {
        let found = result.downcast_ref::<Found>().expect("a slice");
        self.found.lock().unwrap().push(found.clone());
    }

    fn stop(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Follows two drawn objects and one in a box through the slices. Also gives how many slices had been done before.
pub fn run(
    follower: &Follower,
    scan: &(Image, Mask),
    folder: &Path,
    watcher: &Watcher,
) -> (Option<Propagated>, usize) {
    let clues = [Clue { label: 3, slice: 30, place: Place::Box([4, 4, 12, 15]) }];
    run_through(follower, Plane::Axial, scan, &clues, folder, watcher)
}

/// Follows what is drawn and prompted through planes of a kind.
pub fn run_through(
    follower: &Follower,
    plane: Plane,
    (image, annotation): &(Image, Mask),
    clues: &[Clue],
    folder: &Path,
    watcher: &Watcher,
) -> (Option<Propagated>, usize) {
    let objects = Object::all(&image.space, plane, Some(annotation), clues, &Names::new(), None);
    let planes = image.space.shape[plane.order(&image.space).slice_axis()];
    let request = Request {
        image,
        plane,
        annotation: Some(annotation),
        objects: &objects,
        range: 0..=planes - 1,
        direction: Direction::Both,
    };
    let (journal, kept) = Journal::open(folder, &fingerprint(follower, &request), follower.side()).unwrap();
    (propagate(follower, &request, &journal, watcher).unwrap(), kept)
}
