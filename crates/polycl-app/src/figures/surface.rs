//! The surface of masks as one sees it from the front: patient's right at the left, head up.

use polycl_image::Mask;

/// Towards the light, along x, up, and towards the eye.
const LIGHT: [f32; 3] = [-0.4, 0.5, 0.77];
/// Brightness of places that the light does not meet.
const SHADE: f32 = 0.25;

/// The point at which a ray meets a mask: how many millimetres behind the scan's front, and which label.
type Hit = Option<(f32, u16)>;

/// A picture of `width` by `height` pixels of a mask in canonical order; `colour` is a label's.
pub fn view(mask: &Mask, [width, height]: [usize; 2], colour: impl Fn(u16) -> [u8; 3]) -> Vec<[u8; 3]> {
    let (hits, size) = meet(mask, [width, height]);
    let depth = |x: usize, y: usize| smoothed(&hits, [width, height], x, y);
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        let Some((_, label)) = hits[i] else { return [0; 3] };
        // Beyond the edge of what is seen the surface goes on as it is.
        let here = depth(x, y).unwrap_or_default();
        let step = |a: Option<f32>, b: Option<f32>| (b.unwrap_or(here) - a.unwrap_or(here)) / 2.0;
        let across = step(x.checked_sub(1).and_then(|x| depth(x, y)), depth(x + 1, y));
        let up = step(depth(x, y + 1), y.checked_sub(1).and_then(|y| depth(x, y)));
        let normal = [across, up, size];
        let length = normal.iter().map(|n| n * n).sum::<f32>().sqrt();
        let lit = normal.iter().zip(LIGHT).map(|(n, l)| n * l).sum::<f32>() / length;
        let bright = SHADE + (1.0 - SHADE) * lit.max(0.0);
        colour(label).map(|c| (f32::from(c) * bright) as u8)
    };
    (0..width * height).map(pixel).collect()
}

/// Sends a ray through every pixel of a picture that just holds the mask; with the millimetres of a pixel.
fn meet(mask: &Mask, [width, height]: [usize; 2]) -> (Vec<Hit>, f32) {
    let ([nx, ny, nz], spacing) = (mask.space.shape, mask.space.spacing().map(|s| s as f32));
    let Some([(x0, x1), (z0, z1)]) = bounds(mask) else { return (vec![None; width * height], 1.0) };
    let sides = [(x1 - x0 + 3) as f32 * spacing[0], (z1 - z0 + 3) as f32 * spacing[2]];
    let size = (sides[0] / width as f32).max(sides[1] / height as f32);
    let middle = [(x0 + x1) as f32 / 2.0, (z0 + z1) as f32 / 2.0];
    let label = |x: isize, y: usize, z: isize| {
        let inside = (0..nx as isize).contains(&x) && (0..nz as isize).contains(&z);
        if inside { mask.voxels[x as usize + nx * (y + ny * z as usize)] } else { 0 }
    };
    let ray = |i: usize| -> Hit {
        let across = (i % width) as f32 + 0.5 - width as f32 / 2.0;
        let up = height as f32 / 2.0 - (i / width) as f32 - 0.5;
        let x = middle[0] + across * size / spacing[0];
        let z = middle[1] + up * size / spacing[2];
        let (fx, fz) = (x - x.floor(), z - z.floor());
        let corners = [
            (0, 0, (1.0 - fx) * (1.0 - fz)),
            (1, 0, fx * (1.0 - fz)),
            (0, 1, (1.0 - fx) * fz),
            (1, 1, fx * fz),
        ];
        let at = |y: usize| {
            let (mut inside, mut most) = (0.0, (0.0, 0));
            for (dx, dz, weight) in corners {
                let own = label(x.floor() as isize + dx, y, z.floor() as isize + dz);
                if own != 0 {
                    inside += weight;
                    most = if weight > most.0 { (weight, own) } else { most };
                }
            }
            (inside, most.1)
        };
        let mut before = 0.0;
        for y in 0..ny {
            let (inside, found) = at(y);
            if inside >= 0.5 {
                let part = (0.5 - before) / (inside - before);
                return Some(((y as f32 - 1.0 + part) * spacing[1], found));
            }
            before = inside;
        }
        None
    };
    ((0..width * height).map(ray).collect(), size)
}

/// First and last column and slice with a label.
fn bounds(mask: &Mask) -> Option<[(usize, usize); 2]> {
    let [nx, ny, _] = mask.space.shape;
    let mut found: Option<[(usize, usize); 2]> = None;
    for i in (0..mask.voxels.len()).filter(|&i| mask.voxels[i] != 0) {
        let at = [i % nx, i / (nx * ny)];
        let ends = found.get_or_insert(at.map(|at| (at, at)));
        for (end, at) in ends.iter_mut().zip(at) {
            *end = (end.0.min(at), end.1.max(at));
        }
    }
    found
}

/// The depth around a pixel that is one surface with it.
fn smoothed(hits: &[Hit], [width, height]: [usize; 2], x: usize, y: usize) -> Option<f32> {
    const REACH: usize = 2;
    const SAME: f32 = 8.0; // millimetres
    let own = (x < width && y < height).then(|| hits[x + width * y])??.0;
    let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(width);
    let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
    let near = rows.flat_map(|y| columns.clone().map(move |x| x + width * y));
    let near =
        near.filter_map(|i| hits[i]).map(|(depth, _)| depth).filter(|depth| (depth - own).abs() < SAME);
    let (sum, count) = near.fold((0.0, 0.0), |(sum, count), depth| (sum + depth, count + 1.0));
    Some(sum / count)
}

#[cfg(test)]
mod tests {
    use glam::DAffine3;
    use polycl_image::{Space, Volume};

    use super::*;

    /// A ball: bright where it faces the light, darker on the other side, black around it.
    #[test]
    fn a_ball() {
        let n = 21;
        let space = Space::new([n; 3], DAffine3::IDENTITY);
        let voxels = (0..n * n * n).map(|i| {
            let d = [i % n, i / n % n, i / (n * n)].map(|at| at as f32 - 10.0);
            u16::from(d.iter().map(|d| d * d).sum::<f32>() < 64.0)
        });
        let mask = Volume { space, voxels: voxels.collect() };
        let picture = view(&mask, [40, 40], |_| [200; 3]);
        let at = |x: usize, y: usize| picture[x + 40 * y][0];
        assert_eq!(at(0, 0), 0);
        assert!(at(20, 20) > 120, "{}", at(20, 20));
        assert!(at(12, 12) > at(28, 28), "{} {}", at(12, 12), at(28, 28));
        let empty = Volume { voxels: vec![0; n * n * n], ..mask };
        assert!(view(&empty, [8, 8], |_| [200; 3]).iter().all(|p| *p == [0; 3]));
    }
}
