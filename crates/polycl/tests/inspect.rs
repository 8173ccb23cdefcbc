//! What `polycl inspect` says of a scan, and the picture it draws.

mod common;

use polycl_image::nifti;

use common::{Folder, bytes, grid, in_disc, painted, refused};

/// A body with a lesion in it, upside down in the file, with pixels that are not square.
fn scan(folder: &Folder) {
    let mut space = grid([80, 60, 30], [2.0, 3.0, 4.0]);
    space.world_from_voxel.matrix3.z_axis *= -1.0;
    let image = painted(&space, |place| {
        let place = [place, place - glam::DVec3::new(20.0, 0.0, 0.0)];
        match () {
            () if in_disc(place[1], [0.0; 2], 12.0) => 110.0 + (place[0].y * 7.0).sin() as f32 * 10.0,
            () if in_disc(place[0], [0.0; 2], 60.0) => 30.0 + (place[0].x * 5.0).sin() as f32 * 20.0,
            () => -1000.0 + (place[0].z * 3.0).cos() as f32,
        }
    });
    nifti::write_image(&folder.at("scan.nii.gz"), &image).unwrap();
    // From -40 mm to -80 mm: slices 10 to 20 of the file.
    let mask = painted(&space, |place| {
        u16::from(in_disc(place, [20.0, 0.0], 12.0) && (-81.0..=-39.0).contains(&place.z)) * 2
    });
    folder.mask("mask.nii.gz", &mask).write("labels.json", r#"{"2": "lesion"}"#);
    folder.mask("empty.nii.gz", &polycl_image::Volume { voxels: vec![0; mask.voxels.len()], ..mask });
}

/// Width, height and pixels.
fn picture(folder: &Folder, name: &str) -> ([u32; 2], Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes(folder, name))).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    ([info.width, info.height], pixels.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect())
}

#[test]
fn a_scan_in_words_and_in_a_picture() {
    let folder = Folder::new();
    scan(&folder);
    insta::assert_snapshot!(folder.polycl("inspect scan.nii.gz --montage a.png"));
    let (size, plain) = picture(&folder, "a.png");
    // 160 mm by 180 mm: 228 x 256 pixels, five by four of them.
    assert_eq!(size, [5 * 232 - 4, 4 * 260 - 4]);
    let coloured = |pixels: &[[u8; 3]]| pixels.iter().filter(|[r, g, b]| r != g || g != b).count();
    assert_eq!(coloured(&plain), 0);
    let greys: std::collections::BTreeSet<u8> = plain.iter().map(|rgb| rgb[0]).collect();
    assert!(greys.len() > 50, "hardly a picture: {greys:?}");

    insta::assert_snapshot!(folder.done("inspect scan.nii.gz --montage b.png --mask mask.nii.gz --slices 3"));
    let (size, outlined) = picture(&folder, "b.png");
    assert_eq!(size, [3 * 232 - 4, 256]);
    let green = outlined.iter().filter(|rgb| **rgb == [0, 200, 120]).count();
    assert!(green > 300 && green == coloured(&outlined), "{green} of {}", coloured(&outlined));
    // The lesion is to the patient's right, that is on the left of each slice.
    let column = |i: usize| i % size[0] as usize % 232;
    let at = outlined.iter().enumerate().filter(|(_, rgb)| **rgb == [0, 200, 120]).map(|(i, _)| column(i));
    assert!(at.clone().min() > Some(20) && at.max() < Some(110), "patient's right is at the left");

    // Another window makes another picture of the same size.
    folder.done("inspect scan.nii.gz --montage c.png --window -600,1500");
    let (other, wide) = picture(&folder, "c.png");
    assert!(other == [1156, 1036] && wide != plain);
    let said = folder.done("inspect scan.nii.gz --montage c.png --mask empty.nii.gz");
    assert!(said.contains("odd: empty.nii.gz: the mask is empty") && picture(&folder, "c.png").1 == plain);
}

#[test]
fn pictures_that_cannot_be() {
    let folder = Folder::new();
    scan(&folder);
    folder.mask("other.nii.gz", &painted(&grid([4, 4, 4], [1.0; 3]), |_| 1));
    folder.image("images/a.nii.gz").done("import --images images --size 32 --out dataset");
    let lines = [
        "inspect scan.nii.gz --montage scan.nii.gz",
        "inspect scan.nii.gz --montage a.png --mask other.nii.gz",
        "inspect scan.nii.gz --montage a.png --window 40,0",
        "inspect dataset --montage a.png",
        "inspect scan.nii.gz --mask mask.nii.gz",
    ];
    insta::assert_snapshot!(lines.map(|line| refused(&folder, line)).join("\n"));
}
