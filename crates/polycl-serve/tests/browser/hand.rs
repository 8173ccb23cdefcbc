//! Pixels that the mouse must have drawn, worked out without the page.

use std::time::{Duration, Instant};

use glam::DVec3;
use polycl_image::orient::Reorientation;
use polycl_image::{Plane, Space};
use serde_json::Value;

use super::page::Page;

/// The part of a view that the picture fills.
const FILLED: f64 = 0.98;

/// The time within which the page hears from its server.
const HEARING: Duration = Duration::from_secs(5);

/// A plane on the screen.
pub struct View {
    plane: Plane,
    /// Columns and rows, and their sides in mm.
    size: [usize; 2],
    pixel: [f64; 2],
    corner: [f64; 2],
    /// In pixels of the canvas.
    canvas: [f64; 2],
    /// Pixels of the canvas for one of the screen.
    ratio: f64,
}

impl View {
    pub async fn of(page: &Page, plane: Plane) -> Self {
        let name = plane.to_string();
        let said = page
            .ask(&format!(
                "(() => {{ const canvas = document.querySelector('#view-{name} .above'), frame = canvas.getBoundingClientRect();
                   const {{ shape, spacing }} = bench.scan;
                   return [[frame.left, frame.top], [canvas.width, canvas.height], canvas.width / frame.width, shape, spacing]; }})()"
            ))
            .await;
        let (corner, canvas, ratio, shape, spacing): ([f64; 2], [f64; 2], f64, [usize; 3], [f64; 3]) =
            serde_json::from_value::<Value>(said).and_then(serde_json::from_value).unwrap();
        let [x, y] = match plane {
            Plane::Axial => [0, 1],
            Plane::Coronal => [0, 2],
            Plane::Sagittal => [1, 2],
        };
        Self { plane, size: [shape[x], shape[y]], pixel: [spacing[x], spacing[y]], corner, canvas, ratio }
    }

    fn scale(&self) -> f64 {
        let one = |side: usize| self.canvas[side] / (self.size[side] as f64 * self.pixel[side]);
        one(0).min(one(1)) * FILLED
    }

    /// The place on the screen, in whole pixels, nearest to one in the plane.
    pub fn client(&self, at: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|side| {
            let away = (at[side] - self.size[side] as f64 / 2.0) * self.pixel[side] * self.scale();
            ((away + self.canvas[side] / 2.0) / self.ratio + self.corner[side]).round()
        })
    }

    /// A place by its parts of the plane's width and height.
    pub fn part(&self, part: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|side| part[side] * self.size[side] as f64)
    }

    /// The place in the plane under one on the screen.
    fn place(&self, client: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|side| {
            let away = (client[side] - self.corner[side]) * self.ratio - self.canvas[side] / 2.0;
            away / (self.pixel[side] * self.scale()) + self.size[side] as f64 / 2.0
        })
    }
}

/// A mask in canonical order.
pub struct Drawing {
    pub voxels: Vec<u16>,
    space: Space,
    /// Axial slices in which a person drew.
    drawn: Vec<usize>,
}

impl Drawing {
    pub fn new(file: &Space) -> Self {
        let space = Reorientation::to_canonical(file).space(file);
        Self { voxels: vec![0; space.voxels()], space, drawn: Vec::new() }
    }

    fn voxel(&self, view: &View, [x, y]: [usize; 2], k: usize) -> usize {
        let [nx, ny, nz] = self.space.shape;
        let [i, j, k] = match view.plane {
            Plane::Axial => [x, y, k],
            Plane::Coronal => [x, k, nz - 1 - y],
            Plane::Sagittal => [k, x, nz - 1 - y],
        };
        i + nx * (j + ny * k)
    }

    fn put(&mut self, view: &View, k: usize, label: u16, inside: impl Fn([f64; 2]) -> bool) {
        for y in 0..view.size[1] {
            for x in (0..view.size[0]).filter(|&x| inside([x as f64 + 0.5, y as f64 + 0.5])) {
                let voxel = self.voxel(view, [x, y], k);
                self.voxels[voxel] = label;
            }
        }
        self.drawn.extend(Some(k).filter(|_| view.plane == Plane::Axial));
    }

    /// A round brush along a path on the screen.
    pub fn sweep(&mut self, view: &View, k: usize, path: &[[f64; 2]], radius: f64, label: u16) {
        let path: Vec<[f64; 2]> = path.iter().map(|&at| view.place(at)).collect();
        let mm = |from: [f64; 2], to: [f64; 2]| [0, 1].map(|side| (to[side] - from[side]) * view.pixel[side]);
        let near = |at: [f64; 2], from: [f64; 2], to: [f64; 2]| {
            let ([px, py], [dx, dy]) = (mm(from, at), mm(from, to));
            let part = ((px * dx + py * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            (px - part * dx).hypot(py - part * dy) <= radius
        };
        self.put(view, k, label, |at| path.windows(2).any(|ends| near(at, ends[0], ends[1])));
    }

    /// The inside of an outline on the screen: pixels whose centre sees its sides an odd number of times to the left.
    pub fn fill(&mut self, view: &View, k: usize, corners: &[[f64; 2]], label: u16) {
        let corners: Vec<[f64; 2]> = corners.iter().map(|&at| view.place(at)).collect();
        let sides = || corners.iter().zip(corners.iter().cycle().skip(1));
        let crosses = |[x, y]: [f64; 2], [ax, ay]: [f64; 2], [bx, by]: [f64; 2]| {
            (ay <= y) != (by <= y) && ax + (y - ay) / (by - ay) * (bx - ax) <= x
        };
        self.put(view, k, label, |at| {
            sides().filter(|(from, to)| crosses(at, **from, **to)).count() % 2 == 1
        });
    }

    /// Checks that the page shows what must be there, as soon as it has heard of it.
    pub async fn check(&self, page: &Page) {
        let start = Instant::now();
        let mut shown = unpack(&page.mask().await);
        while shown != self.voxels && start.elapsed() < HEARING {
            tokio::time::sleep(Duration::from_millis(50)).await;
            shown = unpack(&page.mask().await);
        }
        let wrong: Vec<usize> = (0..shown.len()).filter(|&at| shown[at] != self.voxels[at]).collect();
        let [nx, ny, _] = self.space.shape;
        let first = wrong.first().map(|at| [at % nx, at / nx % ny, at / nx / ny]);
        assert!(wrong.is_empty(), "{} voxels are not as drawn, first {first:?}", wrong.len());
    }

    /// Takes over what a machine drew.
    pub async fn take(&mut self, page: &Page) {
        self.voxels = unpack(&page.mask().await);
    }

    /// The slices of a mask in which a person drew.
    pub fn by_hand<'a>(&self, voxels: &'a [u16]) -> Vec<&'a [u16]> {
        let pixels = self.space.shape[0] * self.space.shape[1];
        self.drawn.iter().map(|k| &voxels[k * pixels..(k + 1) * pixels]).collect()
    }

    /// The middle of all that is drawn, in RAS+ millimetres.
    pub fn centre(&self) -> DVec3 {
        let [nx, ny, _] = self.space.shape;
        let place = |at: usize| {
            let voxel = DVec3::new((at % nx) as f64, (at / nx % ny) as f64, (at / nx / ny) as f64);
            self.space.world_from_voxel.transform_point3(voxel)
        };
        let drawn: Vec<DVec3> = (0..self.voxels.len()).filter(|&at| self.voxels[at] > 0).map(place).collect();
        drawn.iter().sum::<DVec3>() / drawn.len() as f64
    }
}

fn unpack(runs: &[(u16, usize)]) -> Vec<u16> {
    runs.iter().flat_map(|&(label, length)| std::iter::repeat_n(label, length)).collect()
}
