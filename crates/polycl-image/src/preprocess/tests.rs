use super::*;

fn preprocess(size: usize, fit: Fit) -> Preprocess {
    Preprocess { size, fit, ..Preprocess::default() }
}

/// A plane of square pixels.
fn grid(shape: [usize; 2]) -> Grid {
    Grid { shape, spacing: [0.7; 2] }
}

/// The centroid of a map in units of its own extent, so that grids can be compared.
fn centroid(values: &[f32], [nx, ny]: [usize; 2]) -> [f64; 2] {
    let mut sums = [0.0; 3];
    for (at, &v) in values.iter().enumerate() {
        let (x, y, v) = ((at % nx) as f64 + 0.5, (at / nx) as f64 + 0.5, f64::from(v));
        sums = [sums[0] + v, sums[1] + v * x, sums[2] + v * y];
    }
    [sums[1] / sums[0] / nx as f64, sums[2] / sums[0] / ny as f64]
}

/// A disc of 240 HU on −160 HU whose centre is at a fraction of the plane's extent.
fn disc([nx, ny]: [usize; 2], [cx, cy]: [f64; 2], radius: f64) -> Vec<f32> {
    let inside = |at: usize| {
        let (x, y) = ((at % nx) as f64 + 0.5 - cx * nx as f64, (at / nx) as f64 + 0.5 - cy * ny as f64);
        x.hypot(y) < radius
    };
    (0..nx * ny).map(|at| if inside(at) { 240.0 } else { -160.0 }).collect()
}

const SHAPES: [[usize; 2]; 6] = [[512, 512], [512, 400], [122, 101], [256, 256], [131, 300], [64, 64]];

#[test]
fn the_window_maps_its_ends_to_0_and_1_and_clips() {
    let p = preprocess(32, Fit::Stretch);
    let mut plane = vec![40.0; 32 * 32];
    plane[..4].copy_from_slice(&[-160.0, 240.0, -3024.0, 9000.0]);
    let slice = p.slice(&plane, grid([32, 32]));
    assert_eq!(slice[..4], [0.0, 1.0, 0.0, 1.0]);
    assert!((slice[4] - 0.5).abs() < 1e-5);
    let published = Preprocess { normalise: Normalise::Published, ..p }.slice(&plane, grid([32, 32]));
    for (value, hu) in published.iter().zip([-160.0_f32, 240.0, -160.0, 240.0, 40.0]) {
        assert!((value - (hu + 3055.0) / 8866.0).abs() < 1e-6);
    }
}

#[test]
fn values_beyond_true_ct_numbers_are_clipped_before_the_window() {
    let p = Preprocess { size: 32, window: [0.0, 8192.0], ..Preprocess::default() };
    let plane: Vec<f32> = (0..32 * 32).map(|i| if i % 2 == 0 { -3024.0 } else { 4000.0 }).collect();
    let slice = p.slice(&plane, grid([32, 32]));
    assert!((slice[0] - 3072.0 / 8192.0).abs() < 1e-4 && (slice[1] - 7167.0 / 8192.0).abs() < 1e-4);
}

#[test]
fn a_ramp_stays_the_same_ramp_in_millimetres() {
    for [nx, ny] in SHAPES {
        for along_x in [true, false] {
            let n = if along_x { nx } else { ny };
            let value = |at: usize| (if along_x { at % nx } else { at / nx }) as f32 + 0.5;
            let plane: Vec<f32> = (0..nx * ny).map(|at| -160.0 + 400.0 * value(at) / n as f32).collect();
            let slice = preprocess(256, Fit::Stretch).slice(&plane, grid([nx, ny]));
            // The outermost pixels lack neighbours on one side, hence the margin.
            let along = |at: usize| if along_x { at % 256 } else { at / 256 };
            let inner = (0..256 * 256).filter(|&at| (6..250).contains(&along(at)));
            let errors: Vec<f32> = inner.map(|at| slice[at] * 256.0 - along(at) as f32 - 0.5).collect();
            // The triangle is sampled at few pixels where it shrinks by a small factor, which
            // bends the ramp by some hundredths of a pixel but shifts it nowhere.
            let largest = errors.iter().fold(0.0_f32, |max, e| max.max(e.abs()));
            let mean = errors.iter().sum::<f32>() / errors.len() as f32;
            assert!(largest < 0.1 && mean.abs() < 0.002, "{nx}x{ny}: largest {largest}, mean {mean} px");
        }
    }
}

#[test]
fn there_and_back_keeps_the_centroid() {
    for shape in SHAPES {
        for fit in [Fit::Stretch, Fit::Pad] {
            for centre in [[0.5, 0.5], [0.37, 0.61]] {
                let plane = disc(shape, centre, 0.2 * shape[0].min(shape[1]) as f64);
                let p = preprocess(256, fit);
                let back = p.restore(&p.slice(&plane, grid(shape)), grid(shape));
                let fraction: Vec<f32> = plane.iter().map(|hu| (hu + 160.0) / 400.0).collect();
                let (before, after) = (centroid(&fraction, shape), centroid(&back, shape));
                for axis in 0..2 {
                    let moved = (before[axis] - after[axis]).abs() * shape[axis] as f64;
                    assert!(moved < 0.05, "{shape:?} {fit:?} {centre:?}: moved {moved} px");
                }
            }
        }
    }
}

#[test]
fn padding_keeps_the_aspect_and_is_even() {
    let p = preprocess(256, Fit::Pad);
    let slice = p.slice(&vec![240.0; 400 * 200], grid([400, 200]));
    let row_is_padding = |y: usize| slice[y * 256..(y + 1) * 256].iter().all(|&v| v == 0.0);
    let padding: Vec<usize> = (0..256).filter(|&y| row_is_padding(y)).collect();
    assert_eq!(padding, (0..64).chain(192..256).collect::<Vec<_>>());
}

#[test]
fn padding_keeps_a_circle_round_in_millimetres() {
    // A square of 256 mm in pixels of 1 x 2 mm: nothing is padded.
    let frame = Frame::new(Grid { shape: [256, 128], spacing: [1.0, 2.0] }, 256, Fit::Pad);
    assert_eq!((frame.content, frame.offset), ([256, 256], [0, 0]));
    // Square in pixels, twice as high as wide in mm: padded at both sides, mask and image alike.
    let tall = Grid { shape: [256, 256], spacing: [1.0, 2.0] };
    let p = preprocess(256, Fit::Pad);
    let labels = p.mask_slice(&vec![3; 256 * 256], tall);
    let image = p.slice(&vec![240.0; 256 * 256], tall);
    for row in [0, 100, 255] {
        let at = |x: usize| row * 256 + x;
        assert_eq!([63, 64, 191, 192].map(|x| labels[at(x)]), [0, 3, 3, 0]);
        assert_eq!([63, 64, 191, 192].map(|x| image[at(x)]), [0.0, 1.0, 1.0, 0.0]);
    }
    assert!(p.restore(&image, tall).iter().all(|&value| (value - 1.0).abs() < 1e-5));
}

#[test]
fn shrinking_a_mask_moves_it_nowhere_and_keeps_its_volume() {
    for shape in [[512, 512], [511, 509], [400, 300], [122, 101]] {
        for fit in [Fit::Stretch, Fit::Pad] {
            let disc = disc(shape, [0.5, 0.5], 0.25 * shape[0].min(shape[1]) as f64);
            let plane: Vec<u16> = disc.iter().map(|&hu| if hu > 0.0 { 7 } else { 0 }).collect();
            let slice = preprocess(256, fit).mask_slice(&plane, grid(shape));
            assert!(slice.iter().all(|l| [0, 7].contains(l)));
            let of = |labels: &[u16]| labels.iter().map(|&l| f32::from(l == 7)).collect::<Vec<_>>();
            let (now, was) = (of(&slice), of(&plane));
            let frame = Frame::new(grid(shape), 256, fit);
            let found = centroid(&now, [256, 256]);
            for (axis, place) in found.into_iter().enumerate() {
                let middle = frame.offset[axis] as f64 + frame.content[axis] as f64 / 2.0;
                let moved = place * 256.0 - middle;
                assert!(moved.abs() < 0.05, "{shape:?} {fit:?}: moved {moved} px");
            }
            let content: usize = frame.content.iter().product();
            let scale = content as f32 / (shape[0] * shape[1]) as f32;
            let ratio = now.iter().sum::<f32>() / (was.iter().sum::<f32>() * scale);
            assert!((ratio - 1.0).abs() < 0.01, "{shape:?} {fit:?}: volume times {ratio}");
        }
    }
}

#[test]
fn touching_labels_leave_no_gap() {
    let plane: Vec<u16> = (0..512 * 512).map(|at| if at % 512 < 255 { 1 } else { 2 }).collect();
    let slice = preprocess(256, Fit::Stretch).mask_slice(&plane, grid([512, 512]));
    assert!(slice.iter().all(|&l| l == 1 || l == 2));
    assert_eq!(slice.iter().filter(|&&l| l == 1).count() / 256, 128 - 1 + usize::from(slice[127] == 1));
}

#[test]
fn a_mask_of_the_right_size_is_untouched() {
    let plane: Vec<u16> = (0..64 * 64).map(|at| (at * 7919 % 300) as u16).collect();
    assert_eq!(preprocess(64, Fit::Pad).mask_slice(&plane, grid([64, 64])), plane);
}

#[test]
fn kept_slices_are_central() {
    let keep = |keep, slices| Preprocess { keep, ..Preprocess::default() }.kept(slices);
    assert_eq!(keep(1.0, 78), 0..78);
    assert_eq!(keep(0.3, 100), 35..65);
    assert_eq!(keep(0.01, 3), 1..2);
    assert_eq!(keep(0.5, 1), 0..1);
}

#[test]
fn unusable_values_are_named() {
    let check = |p: Preprocess| p.check().unwrap_err();
    let ok = Preprocess::default();
    assert_eq!(ok.check(), Ok(()));
    assert!(check(Preprocess { size: 100, ..ok.clone() }).contains("multiple of 32"));
    assert!(check(Preprocess { size: 0, ..ok.clone() }).contains("size 0"));
    assert!(check(Preprocess { size: 1 << 40, ..ok.clone() }).contains("4096"));
    assert!(check(Preprocess { window: [40.0, 0.0], ..ok.clone() }).contains("window"));
    assert!(check(Preprocess { window: [f32::NAN, 4.0], ..ok.clone() }).contains("window"));
    assert!(check(Preprocess { keep: 0.0, ..ok.clone() }).contains("keep"));
    assert!(check(Preprocess { keep: f64::NAN, ..ok }).contains("keep"));
}
