//! Abdominal CT patients that nobody had to scan: deterministic, labelled, and hard enough that no
//! window of HU picks out the liver. Organs overlap in HU, borders are blurred by partial volume,
//! and noise, contrast phase, fatty livers and lesions vary as they do between real patients.

mod anatomy;
pub mod cohort;
mod draw;
mod noise;
mod organs;
mod render;
mod scanner;
mod shape;
mod texture;
mod tissue;
mod trunk;

use std::fmt;

use crate::rng::{Purpose, rng};
use crate::{Image, Mask};
use anatomy::Anatomy;
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

/// The label values by name.
pub mod label {
    pub const LIVER: u16 = 1;
    pub const SPLEEN: u16 = 2;
    pub const KIDNEY_LEFT: u16 = 3;
    pub const KIDNEY_RIGHT: u16 = 4;
    pub const STOMACH: u16 = 5;
    pub const AORTA: u16 = 6;
    pub const SPINE: u16 = 7;
    pub const LUNG_LEFT: u16 = 8;
    pub const LUNG_RIGHT: u16 = 9;
}

/// Two hospitals. `A`: mostly portal phase, smooth kernel, files in LPS. `B`: a sharper and noisier
/// scanner at a lower tube voltage with thicker slices, streaks and a wrong calibration, heavier
/// patients, more arterial and native scans, files in RAS or LAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    A,
    B,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A cohort. Patient `i` depends on `seed`, `domain` and `i` alone: a larger cohort begins with the
/// smaller one's patients.
#[derive(Debug, Clone)]
pub struct Config {
    pub seed: u64,
    pub domain: Domain,
    /// Pixels along each side of the square planes.
    pub size: usize,
    /// Number of planes over the scanned length of 22 to 23 cm; by default the patient's own slice
    /// distance decides (4.5 to 6.5 mm: 34 to 52 slices).
    pub slices: Option<usize>,
}

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
