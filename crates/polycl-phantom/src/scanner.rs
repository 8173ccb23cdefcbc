//! The scan of a patient: grid, orientation of the file, contrast phase, and the effects of the
//! detector and the reconstruction kernel on the picture.

use glam::{DAffine3, DMat3, DVec3};
use polycl_base::rng::{Purpose, rng};
use polycl_image::Space;

use super::config::{Config, Domain};
use super::draw::Draw;
use super::noise::{bell, blur, blur_plane, deviation};
use super::tissue::Phase;
use super::trunk::Trunk;

pub struct Scanner {
    pub phase: Phase,
    /// Factor on the enhancement by contrast medium (tube voltage).
    pub iodine: f32,
    /// Error of calibration, HU.
    pub bias: f32,
    /// Standard deviation of the noise in the middle of a body of middle size, HU.
    noise: f32,
    /// In-plane widths (sigma) of the reconstruction kernel in pixels, and how much of the wider
    /// one is taken away: sharp kernels leave fine noise and overshoot at edges.
    kernel: [f32; 2],
    sharpness: f32,
    /// Standard deviation of streaks across the body, HU.
    streaks: f32,
    /// HU by which the middle of the body is too dark (beam hardening).
    cupping: f32,
    /// A flat table, or one that is curved like a trough.
    pub flat_table: bool,
    /// Distance between slices, mm.
    pitch: f32,
    /// Signs of the x and y axes of the file in RAS+.
    orientation: [f64; 2],
    seed: u64,
}

impl Scanner {
    pub fn draw(draw: &mut Draw, domain: Domain) -> Self {
        use Phase::{Arterial, Native, Portal};
        let (a, seed) = (domain == Domain::A, draw.seed());
        let [las, ras] = [[-1.0, 1.0], [1.0, 1.0]];
        if a {
            Self {
                phase: draw.pick(&[Portal, Portal, Portal, Portal, Arterial, Native]),
                iodine: 1.0,
                bias: draw.about(0.0, 2.0),
                noise: draw.between(18.0, 23.0),
                kernel: [0.75, 2.0],
                sharpness: 0.0,
                streaks: 1.0,
                cupping: 0.0,
                flat_table: false,
                pitch: draw.pick(&[4.5, 5.0, 5.0]),
                orientation: [-1.0, -1.0],
                seed,
            }
        } else {
            Self {
                phase: draw.pick(&[Portal, Portal, Arterial, Arterial, Native]),
                iodine: 1.25,
                bias: draw.about(-6.0, 3.0),
                noise: draw.between(28.0, 38.0),
                kernel: [0.5, 1.3],
                sharpness: 0.45,
                streaks: 7.0,
                cupping: 8.0,
                flat_table: true,
                pitch: draw.pick(&[5.0, 6.0, 6.5]),
                orientation: draw.pick(&[las, ras]),
                seed,
            }
        }
    }

    /// The grid of the scan, in world coordinates, and where the body frame's origin is in them.
    pub fn space(&self, draw: &mut Draw, config: &Config, trunk: &Trunk) -> (Space, DVec3) {
        // The draws can put the liver's lowest point 104 mm under the origin of the body frame, and the
        // top of the scan 118 mm over it: only as long a scan holds every liver.
        let length = draw.between(222.0, 234.0) as f64;
        let slices = config.slices.unwrap_or((length / self.pitch as f64).round() as usize).max(1);
        let pixel = (2.0 * trunk.half.x * draw.between(1.04, 1.2)) as f64 / config.size as f64;
        let steps = DVec3::new(pixel, pixel, length / slices as f64);
        let signs = DVec3::new(self.orientation[0], self.orientation[1], 1.0);
        let body = DVec3::new(draw.about(0.0, 12.0) as f64, 120.0, draw.about(-400.0, 300.0) as f64);
        let middle = 0.5 * (config.size as f64 - 1.0);
        let lowest = f64::from(trunk.domes[0]) + f64::from(draw.between(22.0, 30.0)) - length;
        let aside = draw.jitter(5.0).as_dvec3() * DVec3::new(1.0, 1.0, 0.0);
        let first =
            body + aside + DVec3::new(0.0, -8.0, lowest) - signs * steps * DVec3::new(middle, middle, 0.0);
        let world_from_voxel = DAffine3 { matrix3: DMat3::from_diagonal(signs * steps), translation: first };
        (Space::new([config.size, config.size, slices], world_from_voxel), body)
    }

    /// Turns the true HU of a plane of `size`² pixels into measured ones. `inside` says how deep
    /// each pixel lies in the body, 0 (air) to 1.
    pub fn expose(&self, plane: &mut [f32], inside: &[f32], size: usize, number: usize) {
        let mut draw = Draw(rng(self.seed, Purpose::Phantom, [number as u64, 0]));
        let mut noise: Vec<f32> = (0..plane.len()).map(|_| bell(draw.seed())).collect();
        self.reconstruct(&mut noise, size);
        let spread = deviation(&noise);
        let mut streaks: Vec<f32> = (0..size).map(|_| bell(draw.seed())).collect();
        blur(&mut streaks, 0, 1, size, 0.8);
        self.reconstruct(plane, size);
        for (i, (hu, &depth)) in plane.iter_mut().zip(inside).enumerate() {
            let loud = self.noise * (0.35 + 0.9 * depth);
            *hu += self.bias + loud * noise[i] / spread;
            *hu += self.streaks * 1.6 * streaks[i / size] * depth - self.cupping * depth * depth;
        }
    }

    fn reconstruct(&self, plane: &mut [f32], size: usize) {
        let soft = |sigma: f32| {
            let mut copy = plane.to_vec();
            blur_plane(&mut copy, size, sigma);
            copy
        };
        let fine = soft(self.kernel[0]);
        if self.sharpness == 0.0 {
            plane.copy_from_slice(&fine);
            return;
        }
        let coarse = soft(self.kernel[1]);
        for ((out, f), c) in plane.iter_mut().zip(fine).zip(coarse) {
            *out = f + self.sharpness * (f - c);
        }
    }
}
