//! Volumes as NRRD files, whose header holds the place of oblique and sheared scans without loss.

use std::fmt::Write as _;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use glam::DVec3;
use polycl_image::{Image, Space};

/// A label map in the order of its space's voxels, in one byte a voxel where that is enough.
pub fn mask(space: &Space, voxels: &[u16]) -> Vec<u8> {
    if voxels.iter().all(|label| *label < 256) {
        file(space, "uchar", voxels, |label| [label as u8])
    } else {
        file(space, "ushort", voxels, u16::to_le_bytes)
    }
}

/// A scan, in whole numbers of 16 bits where its values are such.
pub fn image(image: &Image) -> Vec<u8> {
    let is_short = |value: &f32| value.fract() == 0.0 && (-32768.0..=32767.0).contains(value);
    if image.voxels.iter().all(is_short) {
        file(&image.space, "short", &image.voxels, |value| (value as i16).to_le_bytes())
    } else {
        file(&image.space, "float", &image.voxels, f32::to_le_bytes)
    }
}

fn file<T: Copy, const N: usize>(
    space: &Space,
    kind: &str,
    voxels: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Vec<u8> {
    // From RAS to LPS.
    let vector = |v: DVec3| format!("({:?},{:?},{:?})", -v.x, -v.y, v.z);
    let m = space.world_from_voxel.matrix3;
    let [x, y, z] = [m.x_axis, m.y_axis, m.z_axis].map(vector);
    let [nx, ny, nz] = space.shape;
    let origin = vector(space.world_from_voxel.translation);
    let mut head = String::new();
    let _ = write!(
        head,
        "NRRD0004\ntype: {kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: {nx} {ny} {nz}\n\
         space directions: {x} {y} {z}\nkinds: domain domain domain\nendian: little\nencoding: gzip\n\
         space origin: {origin}\n\n"
    );
    let mut gzip = GzEncoder::new(head.into_bytes(), Compression::fast());
    for part in voxels.chunks(1 << 16) {
        let part: Vec<u8> = part.iter().flat_map(|&voxel| bytes(voxel)).collect();
        gzip.write_all(&part).expect("memory takes all bytes");
    }
    gzip.finish().expect("memory takes all bytes")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use glam::{DAffine3, DMat3};
    use polycl_image::Volume;
    use polycl_image::files::{Format, image_from_bytes};

    use super::*;

    #[test]
    fn sheared_volumes_come_back_to_the_bit() {
        let matrix3 = DMat3::from_cols(
            DVec3::new(-0.71, 0.03, 1e-7),
            DVec3::new(0.1, 0.8 / 3.0, 0.2),
            DVec3::new(0.0, 0.51, -2.95),
        );
        let affine = DAffine3 { matrix3, translation: DVec3::new(-101.3, 20.0 / 7.0, 1234.5) };
        let space = Space::new([3, 4, 2], affine);
        for scale in [1.0, 0.37] {
            let voxels = (0..24).map(|at| (at as f32 - 1024.0) * scale).collect();
            let image = Volume { space: space.clone(), voxels };
            let read = image_from_bytes(Format::Nrrd, &super::image(&image), Path::new("x.nrrd")).unwrap();
            assert_eq!((read.space, read.voxels), (image.space, image.voxels));
        }
        for top in [9, 700] {
            let voxels: Vec<u16> = (0..24).map(|at| if at == 5 { top } else { at % 3 }).collect();
            let read = image_from_bytes(Format::Nrrd, &mask(&space, &voxels), Path::new("x.nrrd")).unwrap();
            assert_eq!(read.space, space);
            assert!(read.voxels.iter().zip(&voxels).all(|(own, label)| *own == f32::from(*label)));
        }
    }
}
