//! Abdominal CT patients that nobody had to scan: deterministic, labelled, and hard enough that no
//! window of HU picks out the liver. Organs overlap in HU, borders are blurred by partial volume,
//! and noise, contrast phase, fatty livers and lesions vary as they do between real patients.

mod anatomy;
mod builder;
pub mod cohort;
mod config;
pub mod degrade;
mod draw;
pub mod label;
mod layer;
mod noise;
mod organs;
mod render;
mod scanner;
mod shape;
mod texture;
mod tissue;
mod trunk;

use polycl_base::rng::{Purpose, rng};
use polycl_image::{Image, Mask};

use anatomy::Anatomy;
pub use config::{Config, Domain};
use draw::Draw;
use scanner::Scanner;
use tissue::Tissues;

/// Label values and names. Gallbladder, bowel, pancreas, heart and further vessels are in the
/// images too, without a label.
pub const LABELS: [(u16, &str); 9] = [
    (label::LIVER, "liver"),
    (label::SPLEEN, "spleen"),
    (label::KIDNEY_LEFT, "kidney_left"),
    (label::KIDNEY_RIGHT, "kidney_right"),
    (label::STOMACH, "stomach"),
    (label::AORTA, "aorta"),
    (label::SPINE, "spine"),
    (label::LUNG_LEFT, "lung_left"),
    (label::LUNG_RIGHT, "lung_right"),
];

/// One patient with one scan. The voxels are whole HU in -1024..=3071.
pub struct Patient {
    /// The domain and the patient's number: `a000`.
    pub case: String,
    pub image: Image,
    pub mask: Mask,
}

/// Makes patient number `index` of a cohort, with the same voxels on any number of threads.
pub fn patient(config: &Config, index: usize) -> Patient {
    let domain = config.domain;
    let mut draw = Draw(rng(config.seed, Purpose::Phantom, [domain as u64, index as u64]));
    let scanner = Scanner::draw(&mut draw, domain);
    let tissues = Tissues::draw(&mut draw, scanner.phase, scanner.iodine);
    let girth = match domain {
        Domain::A => draw.between(0.92, 1.12),
        Domain::B => draw.between(1.05, 1.35),
    };
    let anatomy = Anatomy::draw(&mut draw, girth, tissues);
    let (space, body) = scanner.space(&mut draw, config, &anatomy.trunk);
    let (image, mask) = render::render(&anatomy, &scanner, &space, body);
    Patient { case: format!("{domain}{index:03}"), image, mask }
}
