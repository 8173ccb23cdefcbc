//! What bad files get: a typed error that says what was expected and found, with a hint.

use std::path::Path;

use polycl_base::{Error, Kind, Result};
use polycl_image::files::{Reading, notes, read_image as read_image_of};
use polycl_image::nifti::{Form, image_from_bytes, read_image, read_mask, read_space, write_mask};
use polycl_image::{Image, Input};

use crate::builder::{Builder, gzip};

fn read(bytes: &[u8]) -> Result<Image> {
    image_from_bytes(bytes, Path::new("scan.nii"))
}

/// The error of an image, plain and compressed alike.
fn refused(built: &Builder) -> Error {
    let plain = read(&built.bytes()).expect_err("the image must be refused");
    let compressed = read(&built.gzip()).expect_err("the compressed image must be refused");
    assert_eq!(plain.to_string(), compressed.to_string());
    assert!(plain.hint.is_some(), "no hint: {plain}");
    assert_eq!(plain.file(), Some(Path::new("scan.nii")));
    plain
}

#[track_caller]
fn assert_refused(built: &Builder, kind: Kind, expected: &str, found: &str) {
    let error = refused(built);
    assert_eq!((error.kind, error.expected.as_str(), error.found.as_str()), (kind, expected, found));
}

#[test]
fn valid_file_is_read() {
    for bytes in [Builder::new().bytes(), Builder::new().gzip()] {
        let image = read(&bytes).unwrap();
        assert_eq!(image.space.shape, [4, 3, 2]);
        assert_eq!(image.space.spacing(), [1.0, 2.0, 3.0]);
        assert_eq!(image.voxels, (0..24u8).map(f32::from).collect::<Vec<_>>());
    }
}

#[test]
fn dimensions() {
    let with = |dims: &[i16]| Builder::new().dims(dims);
    assert_refused(&with(&[4, 6]), Kind::Geometry, "a 3D volume", "2D, 4 x 6");
    assert_refused(&with(&[24]), Kind::Geometry, "a 3D volume", "1D, 24");
    assert_refused(&with(&[4, 3, 1, 2]), Kind::Geometry, "a 3D volume", "4D, 4 x 3 x 1 x 2");
    assert_refused(&with(&[4, 3, 1, 1, 2]), Kind::Geometry, "a 3D volume", "5D, 4 x 3 x 1 x 1 x 2");
    assert_refused(&with(&[4, 0, 2]), Kind::Geometry, "a 3D volume", "3D, 4 x 0 x 2");
    assert_refused(&with(&[4, -3, 2]), Kind::Geometry, "a 3D volume", "3D, 4 x -3 x 2");
    assert_refused(&with(&[4, 3, 2, 0]), Kind::Geometry, "a 3D volume", "4D, 4 x 3 x 2 x 0");
    let hint = |dims: &[i16]| refused(&with(dims)).hint.unwrap();
    for slices_last in [&[4, 3, 1, 2][..], &[4, 3, 1, 1, 2]] {
        assert!(hint(slices_last).contains("numpy.squeeze(data)"));
    }
    assert!(hint(&[4, 3, 3, 2]).ends_with("numpy.argmax along the axis of 2"));
    assert!(hint(&[2, 4, 3, 3]).ends_with("numpy.argmax along the axis of 2"));
    let rank = Builder::new().put(40, 8i16.to_le_bytes());
    assert_refused(&rank, Kind::Format, "1 to 7 dimensions", "8");
    assert_eq!(read(&with(&[4, 3, 2, 1]).bytes()).unwrap().space.shape, [4, 3, 2]);
    assert_eq!(read(&with(&[6, 4, 1]).bytes()).unwrap().space.shape, [6, 4, 1]);
}

#[test]
fn lengths_have_no_sign() {
    // As nibabel 5.4.2 reads the same bytes: by sform and by qform alike.
    let expected = read(&Builder::new().bytes()).unwrap().space;
    let negative = Builder::new().pixdim([1.0, 1.0, -2.0, 3.0]);
    let space = read(&negative.bytes()).unwrap().space;
    assert_eq!((&space, space.spacing()), (&expected, [1.0, 2.0, 3.0]));
    let by_qform = negative.put(252, 1i16.to_le_bytes()).put(254, 0i16.to_le_bytes());
    let matrix = read(&by_qform.bytes()).unwrap().space.world_from_voxel.matrix3;
    assert_eq!(matrix.to_cols_array(), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0]);
}

#[test]
fn spacing_and_affine() {
    for bad in [0.0, f32::NAN, f32::INFINITY] {
        let error = refused(&Builder::new().pixdim([1.0, 1.0, bad, 3.0]));
        assert_eq!((error.kind, error.expected.as_str()), (Kind::Geometry, "a positive voxel spacing"));
        assert_eq!(error.found, format!("1 x {bad} x 3"));
    }
    let x = [1.0, 0.0, 0.0, 0.0];
    let z = [0.0, 0.0, 3.0, 0.0];
    let nan = Builder::new().sform([x, [0.0, f32::NAN, 0.0, 0.0], z]);
    assert_refused(&nan, Kind::Geometry, "an affine that can be inverted", "a singular sform");
    let lost = Builder::new().sform([x, [0.0, 2.0, 0.0, f32::INFINITY], z]);
    assert_refused(&lost, Kind::Geometry, "an affine that can be inverted", "a singular sform");
}

/// What is told of a file by its header, and the spacing that is taken.
fn told(built: &Builder) -> (Vec<String>, [f64; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    std::fs::write(&path, built.bytes()).unwrap();
    (notes(&path).unwrap(), read_space(&path).unwrap().spacing())
}

#[test]
fn fields_that_contradict_each_other_are_told() {
    let rows = |x: f32, place: f32| [[x, 0.0, 0.0, place], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]];
    // Spacing 1 x 2 x 3 by pixdim, and by a qform that places the first voxel at 0.
    let qform = |built: Builder| built.put(252, 1i16.to_le_bytes());
    assert_eq!(told(&qform(Builder::new()).sform(rows(1.0, 0.0))).0, Vec::<String>::new());
    assert_eq!(told(&qform(Builder::new()).sform(rows(1.005, 0.4))).0, Vec::<String>::new());
    let (notes, spacing) = told(&qform(Builder::new()).sform(rows(1.0, 5.0)));
    assert_eq!(notes, ["sform and qform put voxels up to 5.00 mm apart: the sform is taken"]);
    assert_eq!(spacing, [1.0, 2.0, 3.0]);
    let (notes, spacing) = told(&Builder::new().sform(rows(1.5, 0.0)));
    assert_eq!(
        notes,
        [
            "voxels are 1.500 x 2.000 x 3.000 mm by the sform and 1.000 x 2.000 x 3.000 by pixdim: the sform is taken"
        ]
    );
    assert_eq!(spacing, [1.5, 2.0, 3.0]);
    // A singular sform is none: the qform counts or, without one, pixdim.
    for flat in [[[0.0; 4]; 3], [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]] {
        let (notes, spacing) = told(&qform(Builder::new()).sform(flat));
        assert_eq!((notes.len(), notes[0].as_str()), (1, "the sform is singular and counts as missing"));
        assert_eq!(spacing, [1.0, 2.0, 3.0]);
        let (notes, spacing) = told(&Builder::new().sform(flat));
        assert_eq!((notes.len(), spacing), (2, [1.0, 2.0, 3.0]));
    }
}

#[test]
fn datatypes() {
    let expected = "real numbers of 8 to 64 bits";
    let types =
        [(128, "RGB24 (datatype 128)"), (32, "complex64 (datatype 32)"), (0, "an unknown type (datatype 0)")];
    for (code, found) in types {
        assert_refused(&Builder::new().datatype(code), Kind::Format, expected, found);
    }
}

#[test]
fn other_formats() {
    let pair = Builder::new().put(344, *b"ni1");
    let single = "a single-file NIfTI image (magic n+1 or n+2)";
    assert_refused(&pair, Kind::Format, single, "a detached .hdr/.img pair (magic ni1 or ni2)");
    assert_refused(&Builder::new().put(344, [0; 4]), Kind::Format, single, "another magic");
    let nifti2 = Builder::new().put(0, 540i32.to_be_bytes());
    assert_refused(&nifti2, Kind::Truncated, "a NIfTI header of 540 bytes", "400");
    let dicom = Builder::new().put(0, [0; 4]).put(128, *b"DICM");
    assert_refused(&dicom, Kind::Format, "a NIfTI file", "a DICOM file");
    assert_refused(&Builder::new().put(0, *b"\x89PNG"), Kind::Format, "a NIfTI file", "other data");
}

#[test]
fn voxel_offset() {
    for bad in [-352.0, 348.0, 352.5, f32::NAN, f32::INFINITY, 1e12] {
        let error = refused(&Builder::new().offset(bad));
        assert_eq!(
            (error.kind, error.expected.as_str()),
            (Kind::Format, "a vox_offset of 352 or more bytes")
        );
    }
    assert_eq!(read(&Builder::new().offset(0.0).bytes()).unwrap().voxels[5], 5.0);
    let mut extended = Builder::new().offset(384.0);
    extended.voxels.splice(0..0, [9; 32]);
    assert_eq!(read(&extended.bytes()).unwrap().voxels[5], 5.0);
    assert_eq!(read(&extended.gzip()).unwrap().voxels[5], 5.0);
}

#[test]
fn truncated_voxels() {
    let mut short = Builder::new();
    short.voxels.truncate(31);
    assert_refused(&short, Kind::Truncated, "48 bytes of voxels", "31");
    // The header alone must not make us take memory: these promise 32 GiB and 256 TiB.
    let large = Builder::new().dims(&[1024, 2048, 2048]).datatype(64);
    assert_refused(&large, Kind::Truncated, &format!("{} bytes of voxels", 1u64 << 35), "48");
    let huge = Builder::new().dims(&[32767, 32767, 32767]).datatype(64);
    assert_refused(&huge, Kind::Geometry, "at most 4294967296 voxels", "32767 x 32767 x 32767");
}

#[test]
fn truncated_header() {
    for n in [0, 1, 2, 347] {
        let error = read(&Builder::new().bytes()[..n]).unwrap_err();
        assert_eq!(error.kind, Kind::Truncated);
        assert_eq!(error.found, n.to_string());
    }
    let far = read(&Builder::new().offset(4096.0).gzip()).unwrap_err();
    assert_eq!((far.kind, far.found.as_str()), (Kind::Truncated, "52"));
}

/// Wherever a compressed file breaks off, even in its checksum, it is refused.
#[test]
fn truncated_gzip() {
    let whole = Builder::new().gzip();
    for n in 2..whole.len() {
        let error = read(&whole[..n]).unwrap_err();
        assert_eq!(error.kind, Kind::Truncated, "{n} of {} bytes: {error}", whole.len());
    }
}

#[test]
fn damaged_gzip() {
    let mut wrong_checksum = Builder::new().gzip();
    let n = wrong_checksum.len();
    wrong_checksum[n - 8] ^= 1;
    let error = read(&wrong_checksum).unwrap_err();
    assert_eq!((error.kind, error.expected.as_str()), (Kind::Format, "intact compressed data"));
    let mut wrong_block = Builder::new().gzip();
    wrong_block[10] |= 0b110;
    assert_eq!(read(&wrong_block).unwrap_err().kind, Kind::Format);
}

#[test]
fn what_follows_the_voxels_is_ignored() {
    let built = Builder::new();
    let expected = read(&built.bytes()).unwrap().voxels;
    let trails: [&[u8]; 3] = [&[0; 512], b"garbage", &[0x1e]];
    for trail in trails {
        assert_eq!(read(&[&built.bytes(), trail].concat()).unwrap().voxels, expected);
        assert_eq!(read(&[&built.gzip(), trail].concat()).unwrap().voxels, expected);
    }
    let (first, second) = (gzip(&built.bytes()[..370]), gzip(&built.bytes()[370..]));
    assert_eq!(read(&[first, second].concat()).unwrap().voxels, expected);
}

#[test]
fn voxel_values() {
    let mut voxels = [1.5f32; 24];
    (voxels[3], voxels[7], voxels[23]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    let found = "3 of 24 voxels that are not";
    assert_refused(&Builder::new().floats(&voxels), Kind::Voxels, "finite voxel values", found);
    // A finite f64 beyond f32 is no finite voxel either.
    let mut large = Builder::new().datatype(64);
    large.voxels = [1e300f64; 24].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_refused(&large, Kind::Voxels, "finite voxel values", "24 of 24 voxels that are not");
    let error = refused(&Builder::new().scaling(2.0, f32::NAN));
    assert_eq!((error.kind, error.expected.as_str()), (Kind::Format, "a finite scl_inter"));
}

#[test]
fn scaling() {
    let fifth = |slope, intercept| read(&Builder::new().scaling(slope, intercept).bytes()).unwrap().voxels[5];
    assert_eq!(fifth(2.0, -1024.0), -1014.0);
    assert_eq!(fifth(0.1, 0.2), (5.0 * f64::from(0.1f32) + f64::from(0.2f32)) as f32);
    for unscaled in [0.0, f32::NAN, f32::INFINITY] {
        assert_eq!(fifth(unscaled, 7.0), 5.0);
    }
}

#[test]
fn labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii");
    let read_labels = |values: [f32; 3]| {
        let voxels: Vec<f32> = values.iter().copied().cycle().take(24).collect();
        std::fs::write(&path, Builder::new().floats(&voxels).bytes()).unwrap();
        read_mask(&path)
    };
    let mask = read_labels([0.0009, 2.9995, 65535.0]).unwrap();
    assert_eq!(mask.voxels[..3], [0, 3, 65535]);
    assert_eq!(read_labels([-0.0005, -0.0, 1.0]).unwrap().voxels[..3], [0, 0, 1]);
    for bad in [0.5, 1.002, -1.5, 65536.0, 1e30, f32::NAN, f32::NEG_INFINITY] {
        let error = read_labels([0.0, bad, 1.0]).unwrap_err();
        assert_eq!(
            (error.kind, error.found.as_str()),
            (Kind::Voxels, "8 of 24 voxels that are not"),
            "{bad}"
        );
    }
    // What some programs call voxels that nobody annotated is named, and the way out of it.
    let error = read_labels([0.0, -1.0, 1.0]).unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (Kind::Voxels, "8 of 24 voxels that are -1"));
    assert!(error.hint.unwrap().contains("`ignore`"));
    assert_eq!(read_labels([0.0, -1.0, -2.0]).unwrap_err().found, "16 of 24 voxels that are not");
}

#[test]
fn missing_file_and_folder() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent.nii.gz"), folder.path().to_path_buf()] {
        assert_eq!(read_image(&path).unwrap_err().kind, Kind::Io);
        assert_eq!(read_space(&path).unwrap_err().kind, Kind::Io);
    }
}

/// The geometry is read from a file whose voxels are missing altogether.
#[test]
fn space_needs_the_header_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.nii.gz");
    let whole = Builder::new();
    std::fs::write(&path, gzip(&whole.bytes()[..352])).unwrap();
    assert_eq!(read_space(&path).unwrap(), read(&whole.bytes()).unwrap().space);
}

/// A bomb of zeros behind the voxels is not decoded, and a file that holds more than a mebibyte
/// there has another shape than its header says.
#[test]
fn what_follows_the_voxels_is_bounded() {
    let built = Builder::new();
    for (trailing, refused) in [(1 << 20, false), ((1 << 20) + 1, true), (64 << 20, true)] {
        let bytes = [built.bytes(), vec![0; trailing]].concat();
        for bytes in [gzip(&bytes), bytes] {
            let read = read(&bytes);
            assert_eq!(read.is_err(), refused, "{trailing} bytes");
            if let Err(e) = read {
                assert_eq!(e.expected, "at most 1048576 bytes after the voxels");
            }
        }
    }
}

#[test]
fn labels_that_a_header_scales_to_fractions_are_refused_with_the_scale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    std::fs::write(&path, Builder::new().scaling(0.3, 0.0).bytes()).unwrap();
    let error = read_mask(&path).unwrap_err();
    assert_eq!(error.kind, Kind::Voxels);
    assert!(error.hint.unwrap().contains("the header scales values by 0.3"));
}

/// sform and qform of one header contradict each other; the numbers are those of nibabel 5.4.2's `get_qform`,
/// `get_sform` and `voxel_sizes`.
#[test]
fn the_form_that_is_trusted_says_where_voxels_lie() {
    let quaternion = [(256, 0.25_f32), (260, -0.5), (264, 0.125), (268, -5.0), (272, -6.5), (276, 7.0)];
    let built = Builder::new().pixdim([-1.0, 1.01, 2.0, 3.0]).put(252, 1i16.to_le_bytes());
    let built = quaternion.iter().fold(built, |built, &(at, x)| built.put(at, x.to_le_bytes()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    std::fs::write(&path, built.bytes()).unwrap();
    let qform = [
        [0.473_437_495_53, -0.045_530_846_147, 0.891_001_605_28],
        [-0.909_839_907_769, 1.6875, 0.569_679_815_538],
        [2.271_539_446_613, 1.604_519_723_307, -1.125],
        [-5.0, -6.5, 7.0],
    ];
    let sform = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [-5.0, -6.0, -7.0]];
    let both = "sform and qform put voxels up to 18.18 mm apart, their voxels are 1.000 x 2.000 x 3.000 and 1.010 x 2.000 x 3.000 mm";
    for (trust, columns, taken) in
        [(None, sform, "sform"), (Some(Form::Sform), sform, "sform"), (Some(Form::Qform), qform, "qform")]
    {
        let reading = Reading::trusting(trust);
        let space = reading.space(&path).unwrap();
        let found = space.world_from_voxel.to_cols_array();
        let near = found.iter().zip(columns.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{taken}: {found:?}");
        assert_eq!(reading.notes(&path).unwrap(), [format!("{both}: the {taken} is taken")]);
        assert_eq!(reading.image(&path).unwrap().space, space);
        assert_eq!(reading.mask_hashed(&path).unwrap().0.space, space);
        // A mask that is written says in both forms what was taken.
        let mask = reading.mask(&path).unwrap();
        let copy = folder.path().join("b.nii");
        write_mask(&copy, &mask).unwrap();
        let again = read_space(&copy).unwrap();
        assert!(again.disagreement(&space).is_none() && again.corner_distance(&space) < 1e-5, "{taken}");
    }
    // Without a qform the sform is all there is.
    std::fs::write(&path, built.put(252, 0i16.to_le_bytes()).bytes()).unwrap();
    let space = Reading::trusting(Some(Form::Qform)).space(&path).unwrap();
    assert_eq!(space, read_space(&path).unwrap());
}

#[test]
fn a_hundredth_of_a_length_and_half_a_voxel_are_told() {
    let rows = |x: f32, place: f32| [[x, 0.0, 0.0, place], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]];
    let count = |x, place| told(&Builder::new().put(252, 1i16.to_le_bytes()).sform(rows(x, place))).0.len();
    assert_eq!([count(1.01, 0.0), count(0.99, 0.0), count(1.0, 0.5), count(1.0, -0.5)], [1; 4]);
    assert_eq!([count(1.009, 0.0), count(1.0, 0.49)], [0; 2]);
}

#[test]
fn files_of_other_kinds_are_called_what_they_are() {
    for (bytes, found) in [
        (&b"<!DOCTYPE html><html><body>Sign in</body></html>"[..], "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "a pointer of Git LFS"),
        (b"/annex/objects/SHA256E-s1--00.nii.gz\n", "a pointer of git-annex"),
        (b"PK\x03\x04\x14\0\0\0", "a zip archive"),
        (b"\xfd7zXZ\0\0\x04", "an xz archive"),
        (&gzip(&gzip(b"twice")), "gzip within gzip"),
    ] {
        let error = read(bytes).unwrap_err();
        assert_eq!((error.kind, error.found.as_str()), (Kind::Format, found));
        assert!(error.hint.is_some());
    }
    assert_eq!(read(b"").unwrap_err().kind, Kind::Truncated);
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("c.nii.gz");
    std::fs::create_dir(&named).unwrap();
    assert_eq!(read_image_of(&named).unwrap_err().found, "a folder of that name");
    std::fs::write(named.join("c.nii"), Builder::new().bytes()).unwrap();
    assert!(read_image_of(&named).unwrap_err().hint.unwrap().ends_with("c.nii.gz/c.nii"));
    assert_eq!(Input::open(&named, None).unwrap().path(), named.join("c.nii"));
}
