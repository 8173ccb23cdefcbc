//! Paints a patient's anatomy into voxels, plane by plane.

use glam::{DVec3, Vec3};
use polycl_image::{Image, Mask, Space, Volume};
use rayon::prelude::*;

use super::anatomy::Anatomy;
use super::label;
use super::layer::{Layer, Place};
use super::scanner::Scanner;
use super::shape::Surface;
use super::texture::mix;

const AIR: f32 = -1000.0;
/// The farthest that warping carries a point along z, with half a thick voxel, mm.
const REACH: f32 = 16.0;

/// The paint at one voxel so far.
struct Paint {
    hu: f32,
    label: u16,
}

impl Paint {
    /// Covers a share of the voxel; the larger share decides the label.
    fn cover(&mut self, coverage: f32, hu: f32, label: u16) {
        self.hu = mix(self.hu, hu, coverage);
        if coverage >= 0.5 {
            self.label = label;
        }
    }
}

/// Scans the anatomy, whose frame has its origin at `body` in the world.
pub fn render(anatomy: &Anatomy, scanner: &Scanner, space: &Space, body: DVec3) -> (Image, Mask) {
    let [size, _, slices] = space.shape;
    let area = size * size;
    let mut hu = vec![0.0; area * slices];
    let mut labels = vec![0; area * slices];
    let planes = hu.par_chunks_mut(area).zip(labels.par_chunks_mut(area)).enumerate();
    planes.for_each(|(k, (hu, labels))| {
        let inside = paint(anatomy, scanner.flat_table, space, body, k, hu, labels);
        scanner.expose(hu, &inside, size, k);
        hu.iter_mut().for_each(|hu| *hu = hu.round().clamp(-1024.0, 3071.0));
    });
    (Volume { space: space.clone(), voxels: hu }, Volume { space: space.clone(), voxels: labels })
}

/// Paints plane `k` and returns how deep each pixel lies in the body, 0..=1.
fn paint(
    anatomy: &Anatomy,
    flat_table: bool,
    space: &Space,
    body: DVec3,
    k: usize,
    hu: &mut [f32],
    labels: &mut [u16],
) -> Vec<f32> {
    let size = space.shape[0];
    let voxel = DVec3::from_array(space.spacing()).as_vec3();
    let place = |i: usize| {
        let index = DVec3::new((i % size) as f64, (i / size) as f64, k as f64);
        (space.world_from_voxel.transform_point3(index) - body).as_vec3()
    };
    let z = place(0).z;
    let layers: Vec<&Layer> = anatomy.layers.iter().filter(|l| l.shape.near_height(z, REACH)).collect();
    let pixels = hu.iter_mut().zip(labels).enumerate();
    pixels
        .map(|(i, (hu, label))| {
            let p = place(i);
            let mut paint = Paint { hu: AIR, label: 0 };
            let table = table(anatomy, flat_table, p).coverage(voxel);
            paint.cover(table, -300.0, 0);
            let depth = tissue(anatomy, &layers, p, voxel, &mut paint);
            (*hu, *label) = (paint.hu, paint.label);
            depth
        })
        .collect()
}

/// The shell of the table under the patient.
fn table(anatomy: &Anatomy, flat: bool, p: Vec3) -> Surface {
    let curve = if flat { 0.0 } else { 0.0011 * p.x * p.x };
    let top = -anatomy.trunk.half.y - 4.0 + curve;
    let edge = Surface { distance: p.x.abs() - 215.0, normal: Vec3::X };
    Surface { distance: (p.y - top + 9.0).abs() - 3.0, normal: Vec3::Y }.and(edge)
}

fn tissue(anatomy: &Anatomy, layers: &[&Layer], p: Vec3, voxel: Vec3, paint: &mut Paint) -> f32 {
    let (trunk, t) = (&anatomy.trunk, &anatomy.tissues);
    let around = trunk.layers(p);
    let skin = around.skin.coverage(voxel);
    if skin == 0.0 {
        return 0.0;
    }
    let pattern = anatomy.mottle(p);
    paint.cover(skin, t.fat + 12.0 * pattern, 0);
    // Sheets of fat part the muscles where the pattern, stretched along the wall, peaks.
    let marbling = 260.0 * (anatomy.mottle(p * Vec3::new(0.4, 0.7, 0.15)) - 0.3).max(0.0);
    paint.cover(around.muscle.coverage(voxel), t.muscle + 12.0 * pattern - marbling.min(130.0), 0);
    paint.cover(around.rib.and(around.skin).coverage(voxel), t.marrow + 120.0, 0);
    let q = anatomy.warped(p);
    let below = trunk.diaphragm(q);
    let (abdomen, thorax) = (around.cavity.and(below), around.cavity.and(below.outside().grown(-2.0)));
    paint.cover(around.cavity.coverage(voxel), t.muscle, 0);
    paint.cover(abdomen.coverage(voxel), t.fat + 22.0 * pattern, 0);
    // Vessels of the lung are where the pattern peaks.
    let lung = if q.x > 0.0 { label::LUNG_RIGHT } else { label::LUNG_LEFT };
    paint.cover(thorax.coverage(voxel), -860.0 + 70.0 * pattern + 1500.0 * (pattern - 0.45).max(0.0), lung);
    for layer in layers.iter().filter(|l| l.shape.near(q, voxel)) {
        let limit = match layer.place {
            Place::Abdomen => abdomen,
            Place::Thorax => thorax,
            Place::Trunk => around.muscle,
            Place::Onto(below) if paint.label == below => around.muscle,
            Place::Onto(_) => continue,
        };
        let surface = layer.shape.surface(q);
        let coverage = surface.and(limit).coverage(voxel);
        if coverage > 0.0 {
            paint.cover(coverage, layer.fill.hu(surface.distance, q, pattern), layer.label);
        }
    }
    (-around.skin.distance / (0.8 * trunk.half.y)).clamp(0.0, 1.0)
}
