//! The list of bad files, each with what the user is told.

use std::path::Path;
use std::time::Instant;

use polycl_image::files::{read_image, read_mask};

use crate::builders::{gzip, meta, meta_of, npy, nrrd, nrrd_of, zip, zlib};

/// The error of each file, written into a folder of its own. Data files lie beside and above it.
fn refused(files: &[(&str, &str, Vec<u8>)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("scans");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(folder.path().join("above.raw"), [0; 48]).unwrap();
    std::fs::write(inner.join("short.raw"), [0; 31]).unwrap();
    let mut text = String::new();
    for (what, name, bytes) in files {
        let path = inner.join(name);
        std::fs::write(&path, bytes).unwrap();
        let start = Instant::now();
        let error = read_image(&path).expect_err(what);
        assert!(start.elapsed().as_secs() < 5, "{what} took {:?}", start.elapsed());
        let shown = error.to_string().replace(&*inner.to_string_lossy(), "");
        let hint = error.hint.unwrap_or_else(|| "none".into());
        text += &format!("{what}\n  {:?}: {shown}\n  hint: {hint}\n", error.kind);
        assert!(!text.contains("Jane"), "{what}");
    }
    text
}

fn bomb() -> Vec<u8> {
    [0i16; 24].iter().flat_map(|voxel| voxel.to_le_bytes()).chain(std::iter::repeat_n(0, 64 << 20)).collect()
}

#[test]
fn valid_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0i16..24).flat_map(i16::to_le_bytes).collect();
    let text = (0..24).map(|i| i.to_string()).collect::<Vec<_>>().join(",\n");
    let good: [(&str, Vec<u8>); 7] = [
        ("a.nrrd", nrrd(&[])),
        ("b.nrrd", nrrd_of(&["encoding: gz", "byte skip: 2"], &gzip(&[&[0, 0], body.as_slice()].concat()))),
        ("c.nrrd", nrrd_of(&["encoding: text", "endian: -"], text.as_bytes())),
        ("d.mha", meta(&["Name = Jane", "Comment = Doe = Jane"])),
        ("e.mha", meta_of(&["CompressedData = True", "CompressedDataSize = 1"], &zlib(&body))),
        ("f.npz", zip(&[("imgs.npy", &npy("'<i2'", "(2, 3, 4)", &body))], None)),
        ("g.mha", meta(&["ElementToIntensityFunctionSlope = 1", "ElementToIntensityFunctionOffset = 0"])),
    ];
    for (name, bytes) in good {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let image = read_image(&path).unwrap();
        assert_eq!(image.voxels, (0..24u8).map(f32::from).collect::<Vec<_>>(), "{name}");
        assert_eq!(image.space.shape, [4, 3, 2]);
    }
    let scaled = meta(&["ElementToIntensityFunctionSlope = 2", "ElementToIntensityFunctionOffset = -1024"]);
    std::fs::write(folder.path().join("scaled.mha"), scaled).unwrap();
    assert_eq!(read_image(&folder.path().join("scaled.mha")).unwrap().voxels[5], -1014.0);
}

#[test]
fn bad_nrrd() {
    let oriented = "space directions: (1,0,0) (0,1,0) (0,0,1)";
    let file = |what, fields: &[&str]| (what, "scan.nrrd", nrrd(fields));
    let told = refused(&[
        ("other data", "scan.nrrd", b"\x89PNG".to_vec()),
        ("an empty file", "scan.nrrd", Vec::new()),
        ("a version to come", "scan.nrrd", b"NRRD0006\ntype: short\n".to_vec()),
        ("no type", "scan.nrrd", b"NRRD0005\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n\n".to_vec()),
        file("a block", &["type: block"]),
        file("no order of bytes", &["endian: middle"]),
        file("bzip2", &["encoding: bzip2"]),
        file("hex", &["encoding: hex"]),
        file("2D", &["dimension: 2", "sizes: 6 4"]),
        file("4D", &["dimension: 4", "sizes: 2 2 3 2"]),
        file("an axis of length 1 in the middle", &["dimension: 4", "sizes: 4 1 3 2"]),
        file("colours", &["sizes: 3 4 2", "kinds: RGB-color domain domain"]),
        file("fewer sizes than dimensions", &["sizes: 4 3"]),
        file("a size of 0", &["sizes: 4 0 2"]),
        file("a negative size", &["sizes: 4 -3 2"]),
        file("dimensions without end", &["dimension: 18446744073709551615"]),
        file("a field twice", &["spacings: 1 1 1", "spacings: 2 2 2"]),
        file("petabytes", &["sizes: 100000 100000 100000", "space: LPS", oriented, "space origin: (0,0,0)"]),
        file("more voxels than a number counts", &["sizes: 4294967296 4294967296 4294967296"]),
        file("gigabytes, which the file does not hold", &["sizes: 1024 1024 4096", "type: double"]),
        file("a spacing of 0", &["spacings: 1 0 1"]),
        file("a spacing without end", &["spacings: 1 inf 1"]),
        file("two spacings", &["spacings: 1 1"]),
        file("a space without directions", &["space: LPS", "spacings: 1 1 1"]),
        file("a space of time", &["space: LPST", oriented]),
        file("a direction of none", &["space: LPS", "space directions: none (0,1,0) (0,0,1)"]),
        file("directions in a plane", &["space: LPS", "space directions: (1,0,0) (0,1,0) (1,1,0)"]),
        file("directions that are no numbers", &["space: LPS", "space directions: (a,b,c) (0,1,0) (0,0,1)"]),
        file("directions of two numbers", &["space: LPS", "space directions: (1,0) (0,1) (0,0)"]),
        file("an origin that is none", &["space: LPS", oriented, "space origin: none"]),
        file("inches", &["space: LPS", oriented, "space units: \"in\" \"in\" \"in\""]),
        file("a line skip beyond the file", &["line skip: 9999999999"]),
        file("a byte skip beyond the file", &["byte skip: 9999999999"]),
        file("a byte skip of -2", &["byte skip: -2"]),
        file("a byte skip from the end of gzip", &["encoding: gzip", "byte skip: -1"]),
        file("no number", &["byte skip: a text that is cut off after forty characters"]),
        file("raw data that should be gzip", &["encoding: gzip"]),
        ("text that is none", "scan.nrrd", nrrd_of(&["encoding: text"], &[b'x'; 60])),
        ("text that breaks off", "scan.nrrd", nrrd_of(&["encoding: text"], &[b' '; 60])),
        ("text of one long word", "scan.nrrd", nrrd_of(&["encoding: text"], &[b'1'; 1 << 20])),
        (
            "text that claims more than there is",
            "scan.nrrd",
            nrrd_of(&["encoding: text", "sizes: 1024 1024 4096"], b"1 2"),
        ),
        ("NaN", "scan.nrrd", nrrd_of(&["encoding: text"], "nan ".repeat(24).as_bytes())),
        ("gzip that breaks off", "scan.nrrd", nrrd_of(&["encoding: gzip"], &gzip(&[7; 48])[..12])),
        ("a gzip bomb behind the voxels", "scan.nrrd", nrrd_of(&["encoding: gzip"], &gzip(&bomb()))),
        ("an endless line", "scan.nrrd", [b"NRRD0005\n# ".to_vec(), vec![b'x'; 1 << 20]].concat()),
        ("an endless header", "scan.nrrd", [b"NRRD0005\n".to_vec(), b"# comment\n".repeat(1 << 18)].concat()),
        file("a data file above the folder", &["data file: ../above.raw"]),
        file("a data file with its own root", &["data file: /etc/passwd"]),
        file("a data file that climbs on its way", &["datafile: a/../../above.raw"]),
        file("a data file without a name", &["data file: "]),
        file("a data file that is absent", &["data file: absent.raw"]),
        file("a data file that is a folder", &["data file: ."]),
        file("a data file that is too short", &["data file: short.raw"]),
        file("a list of data files", &["data file: LIST"]),
        file("a pattern of data files", &["data file: slice%03d.raw 1 24 1"]),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn bad_metaimage() {
    let file = |what, fields: &[&str]| (what, "scan.mha", meta(fields));
    let told = refused(&[
        ("other data", "scan.mha", b"\x89PNG".to_vec()),
        ("an empty file", "scan.mha", Vec::new()),
        ("a header that breaks off", "scan.mha", b"NDims = 3\nDimSize = 4 3 2\n".to_vec()),
        file("2D", &["NDims = 2", "DimSize = 6 4"]),
        file("4D", &["NDims = 4", "DimSize = 2 2 3 2"]),
        file("no NDims", &["NDims = -"]),
        file("no DimSize", &["DimSize = -"]),
        file("two sizes", &["DimSize = 4 3"]),
        file("a size of 0", &["DimSize = 4 0 2"]),
        file("a negative size", &["DimSize = 4 -3 2"]),
        file("petabytes", &["DimSize = 100000 100000 100000"]),
        file("gigabytes, which the file does not hold", &["DimSize = 1024 1024 4096"]),
        file("no type", &["ElementType = -"]),
        file("an unknown type", &["ElementType = MET_OTHER"]),
        file("colours", &["ElementNumberOfChannels = 3"]),
        file("voxels as text", &["BinaryData = False"]),
        file("a flag that is none", &["CompressedData = perhaps"]),
        file("a spacing of 0", &["ElementSpacing = 1 0 1"]),
        file("axes in a plane", &["TransformMatrix = 1 0 0 0 1 0 1 1 0"]),
        file("eight numbers of a matrix", &["TransformMatrix = 1 0 0 0 1 0 1 1"]),
        file("an origin that is no number", &["Offset = nan 0 0"]),
        file("a slope of 0", &["ElementToIntensityFunctionSlope = 0"]),
        file("a HeaderSize before its own voxels", &["HeaderSize = 100"]),
        file("a HeaderSize of -2", &["HeaderSize = -2"]),
        file("a HeaderSize of -1, compressed", &["HeaderSize = -1", "CompressedData = True"]),
        file("raw data that should be zlib", &["CompressedData = True"]),
        ("zlib that breaks off", "scan.mha", meta_of(&["CompressedData = True"], &zlib(&[7; 48])[..6])),
        ("a zlib bomb behind the voxels", "scan.mha", meta_of(&["CompressedData = True"], &zlib(&bomb()))),
        ("voxels that break off", "scan.mha", meta_of(&[], &[0; 31])),
        ("an endless line", "scan.mha", [b"Comment = ".to_vec(), vec![b'x'; 1 << 20]].concat()),
        ("an endless header", "scan.mha", b"A = 1\n".repeat(1 << 18)),
        file("a data file above the folder", &["ElementDataFile = ../above.raw"]),
        file("a data file with its own root", &["ElementDataFile = /etc/passwd"]),
        file("a data file without a name", &["ElementDataFile = "]),
        file("a data file that is absent", &["ElementDataFile = absent.raw"]),
        file("a data file that is too short", &["ElementDataFile = short.raw"]),
        file("a list of data files", &["ElementDataFile = LIST"]),
        file("a pattern of data files", &["ElementDataFile = slice%03d.raw 1 24 1"]),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn bad_npz() {
    let body: Vec<u8> = (0i16..24).flat_map(i16::to_le_bytes).collect();
    let good = npy("'<i2'", "(2, 3, 4)", &body);
    let file = |what, imgs: Vec<u8>| (what, "scan.npz", zip(&[("imgs.npy", &imgs)], None));
    let with = |what, name: &str, array: Vec<u8>| {
        (what, "scan.npz", zip(&[("imgs.npy", good.as_slice()), (name, &array)], None))
    };
    let doubles = |numbers: &[f64]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut damaged = zip(&[("imgs.npy", &good)], None);
    damaged[14] ^= 1;
    let central = damaged.len() - 22 - 46 - 8;
    damaged[central + 16] ^= 1;
    let told = refused(&[
        ("other data", "scan.npz", b"\x89PNG".to_vec()),
        ("an empty file", "scan.npz", Vec::new()),
        ("a file that breaks off", "scan.npz", zip(&[("imgs.npy", &good)], None)[..60].to_vec()),
        ("no imgs", "scan.npz", zip(&[("arr_0.npy", &good)], None)),
        ("imgs above the folder", "scan.npz", zip(&[("../imgs.npy", &good)], None)),
        ("imgs twice", "scan.npz", zip(&[("imgs.npy", &good), ("imgs.npy", &good)], None)),
        ("members that overlap", "scan.npz", zip(&[("imgs.npy", &good), ("gts.npy", &good)], Some(&[0, 0]))),
        (
            "members inside one another",
            "scan.npz",
            zip(&[("imgs.npy", &good), ("gts.npy", &good)], Some(&[0, 20])),
        ),
        ("a member beyond the file", "scan.npz", zip(&[("imgs.npy", &good)], Some(&[1 << 30]))),
        ("another checksum", "scan.npz", damaged),
        file("no array", b"pickled".to_vec()),
        file("a version to come", [b"\x93NUMPY\x04\x00".as_slice(), &good[8..]].concat()),
        file("objects", npy("'|O'", "(2, 3, 4)", &body)),
        file("structures", npy("[('a', '<i2')]", "(2, 3, 4)", &body)),
        file("half floats", npy("'<f2'", "(2, 3, 4)", &body)),
        file("complex numbers", npy("'<c8'", "(2, 3, 4)", &body)),
        file("2D", npy("'<i2'", "(6, 4)", &body)),
        file("4D", npy("'<i2'", "(2, 3, 4, 1)", &body)),
        file("no shape", npy("'<i2'", "None", &body)),
        file("a negative side", npy("'<i2'", "(2, -3, 4)", &body)),
        file("a side of 0", npy("'<i2'", "(2, 0, 4)", &[])),
        file("petabytes", npy("'<i2'", "(100000, 100000, 100000)", &body)),
        file("more voxels than a number counts", npy("'<i2'", "(4294967296, 4294967296, 4294967296)", &body)),
        file("gigabytes, which the file does not hold", npy("'<i2'", "(4096, 1024, 1024)", &body)),
        file("voxels that break off", npy("'<i2'", "(2, 3, 4)", &body[..31])),
        file("a bomb behind the voxels", npy("'<i2'", "(2, 3, 4)", &bomb())),
        file(
            "NaN",
            npy("'<f2'", "(2, 3, 4)", &body).iter().map(|&b| if b == b'2' { b'4' } else { b }).collect(),
        ),
        with("four spacings", "spacing.npy", npy("'<f8'", "(4,)", &doubles(&[1.0; 4]))),
        with("a spacing of 0", "spacing.npy", npy("'<f8'", "(3,)", &doubles(&[1.0, 0.0, 1.0]))),
        with("a spacing of NaN", "spacing.npy", npy("'<f8'", "(3,)", &doubles(&[1.0, f64::NAN, 1.0]))),
        with("a spacing without end", "spacing.npy", npy("'<f8'", "(4294967296, 4294967296)", &[])),
        with("a spacing of objects", "spacing.npy", npy("'|O'", "(3,)", &[])),
        with("directions in a plane", "direction.npy", npy("'<f8'", "(9,)", &doubles(&[1.0; 9]))),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn archives_without_masks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.npz");
    std::fs::write(&path, zip(&[("imgs.npy", &npy("'|u1'", "(2, 3, 4)", &[1; 24]))], None)).unwrap();
    let error = read_mask(&path).unwrap_err();
    assert_eq!((error.expected.as_str(), error.found.as_str()), ("gts.npy in the archive", "no such array"));
    assert_eq!(error.file(), Some(Path::new(&path)));
}

/// As SimpleITK writes a series of one volume.
#[test]
fn a_series_of_one_volume_is_that_volume() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let image = read_image(&path).unwrap();
        (image.space, image.voxels)
    };
    let three = ["ElementSpacing = 1.5 2 3", "Offset = -48 -42 -30", "TransformMatrix = 0 1 0 -1 0 0 0 0 1"];
    let four = [
        "NDims = 4",
        "DimSize = 4 3 2 1",
        "ElementSpacing = 1.5 2 3 1",
        "Offset = -48 -42 -30 0",
        "TransformMatrix = 0 1 0 0 -1 0 0 0 0 0 1 0 0 0 0 1",
    ];
    assert_eq!(read("four.mha", meta(&four)), read("three.mha", meta(&three)));
    let three = [
        "space: left-posterior-superior",
        "space directions: (0,1.5,0) (-2,0,0) (0,0,3)",
        "space origin: (-48,-42,-30)",
    ];
    let four = [
        "dimension: 4",
        "sizes: 4 3 2 1",
        "space dimension: 4",
        "space directions: (0,1.5,0,0) (-2,0,0,0) (0,0,3,0) (0,0,0,1)",
        "kinds: domain domain domain domain",
        "space origin: (-48,-42,-30,0)",
    ];
    assert_eq!(read("four.nrrd", nrrd(&four)), read("three.nrrd", nrrd(&three)));
}
