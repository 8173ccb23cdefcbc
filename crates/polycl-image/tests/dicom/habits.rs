//! Series as archives, converters and broken copies leave them: read where they can mean one thing, and told.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use polycl_fixtures::dicom::{FILES, unpack};
use polycl_image::dicom::segmentation::{self, Automation, How, Source};
use polycl_image::dicom::{Series, choose, find};
use polycl_image::{Image, Mask};
use tempfile::TempDir;

/// A change of a file.
type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

const PIXELS: (u16, u16) = (0x7FE0, 0x10);

/// Where an element's header begins, by its tag in little endian.
fn at(bytes: &[u8], tag: (u16, u16)) -> usize {
    let wanted = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.windows(4).position(|four| four == wanted).unwrap_or_else(|| panic!("{tag:X?}"))
}

/// An element with VR and a length of two bytes, as it stands in a file.
fn short(tag: (u16, u16), vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(2), b' ');
    let length = (value.len() as u16).to_le_bytes();
    [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), vr.as_bytes(), &length, &value].concat()
}

/// An element with VR and a length of four bytes; `None` is an undefined one.
fn long(tag: (u16, u16), vr: &str, length: Option<usize>, value: &[u8]) -> Vec<u8> {
    let length = length.map_or(u32::MAX, |length| length as u32).to_le_bytes();
    [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), vr.as_bytes(), &[0, 0], &length, value].concat()
}

/// An item or a mark, and what is in it.
fn item(element: u16, length: u32, value: &[u8]) -> Vec<u8> {
    [&0xFFFEu16.to_le_bytes()[..], &element.to_le_bytes(), &length.to_le_bytes(), value].concat()
}

fn insert(file: &[u8], before: (u16, u16), element: &[u8]) -> Vec<u8> {
    let at = at(file, before);
    [&file[..at], element, &file[at..]].concat()
}

/// The file with another element in the place of one that has a length of two bytes.
fn replace(file: &[u8], tag: (u16, u16), element: &[u8]) -> Vec<u8> {
    let at = at(file, tag);
    let length = usize::from(u16::from_le_bytes([file[at + 6], file[at + 7]]));
    [&file[..at], element, &file[at + 8 + length..]].concat()
}

/// Every file of a case through `change`, by its number in the order of names.
fn patched(case: &str, change: impl Fn(usize, &[u8]) -> Vec<u8>) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (k, (_, data)) in files(case).enumerate() {
        std::fs::write(folder.path().join(format!("{k:03}")), change(k, data)).unwrap();
    }
    folder
}

fn files(case: &str) -> impl Iterator<Item = (&'static String, &'static Vec<u8>)> {
    FILES.iter().filter(move |(name, _)| name.starts_with(&format!("{case}/")))
}

fn with_series<T>(folder: &Path, asked: impl FnOnce(&Series) -> T) -> T {
    let found = find(folder).unwrap();
    asked(choose(&found, folder, None).unwrap())
}

/// The image and the notes; headers alone must say the same as reading.
fn read(folder: &Path) -> (Image, Vec<String>) {
    with_series(folder, |series| {
        let image = series.read().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(series.space().unwrap(), image.space);
        assert_eq!(series.instances().len(), image.space.shape[2]);
        (image, series.notes())
    })
}

/// What is refused, by headers and by reading alike.
fn refused(folder: &Path) -> String {
    with_series(folder, |series| {
        let error = series.read().expect_err("refused");
        assert_eq!(series.space().unwrap_err().to_string(), error.to_string());
        let text = format!("{error}\n  hint: {}\n", error.hint.as_deref().expect("a hint"));
        text.replace(&folder.display().to_string(), "FOLDER")
    })
}

/// The folder is read as the case is, but for the notes.
fn assert_as(case: &str, folder: &Path, what: &str) -> Vec<String> {
    let whole = unpack(case);
    let (expected, _) = read(whole.path());
    let (image, notes) = read(folder);
    assert!(image.voxels == expected.voxels, "{what}");
    assert_eq!(image.space, expected.space, "{what}");
    notes
}

/// Elements that nobody needs, each spelt in a way that others pass over.
fn unneeded() -> Vec<(&'static str, Vec<u8>)> {
    const PRIVATE: (u16, u16) = (0x19, 0x1005);
    let uid = b"1.2.840.10008.5.1.4.1.1.2\0";
    let implicit = [&[8, 0, 0x50, 0x11, 26, 0, 0, 0][..], uid].concat();
    let explicit = [&b"\x08\0\x50\x11UI\x1A\0"[..], uid].concat();
    let end = item(0xE0DD, 0, b"");
    let sequence = |body: &[u8]| long(PRIVATE, "SQ", Some(body.len()), body);
    let open = |body: &[u8]| long(PRIVATE, "SQ", None, &[body, &end].concat());
    let unknown = |after: &[u8]| [&[0x19, 0, 0x07, 0x10, b'?', b'?'][..], after, b"abcd"].concat();
    let deep = |levels: usize| {
        (0..levels).fold(Vec::new(), |body, _| {
            let within = item(0xE000, body.len() as u32, &body);
            long((8, 0x1140), "SQ", Some(within.len()), &within)
        })
    };
    vec![
        ("text", sequence(b"\x01\x02\x03\x04not a sequence at all")),
        ("an item longer than its sequence", sequence(&item(0xE000, 234, &explicit))),
        ("an item without VR", sequence(&item(0xE000, 34, &implicit))),
        ("an item without VR, all lengths undefined", {
            open(&item(0xE000, u32::MAX, &[&implicit[..], &item(0xE00D, 0, b"")].concat()))
        }),
        ("a stray end", sequence(&[&item(0xE000, 34, &explicit)[..], &end].concat())),
        (
            "a fault deep in an open sequence",
            open(&item(0xE000, 26, &sequence(b"\x01\x02\x03\x04\0\0\0\0trash!"))),
        ),
        ("nested far too deep", sequence(&item(0xE000, deep(70).len() as u32, &deep(70)))),
        ("an unknown VR, length in two bytes", unknown(&[4, 0])),
        ("an unknown VR, length in four bytes", unknown(&[0, 0, 4, 0, 0, 0])),
        ("no VR at all", [&[0x19, 0, 7, 0x10, 4, 0, 0, 0][..], b"abcd"].concat()),
    ]
}

#[test]
fn what_nobody_needs_decides_nothing() {
    let end = item(0xE0DD, 0, b"");
    let icon = [item(0xE000, 0, b""), item(0xE000, 6, b"\xFF\xD8abcd"), end.clone()].concat();
    let icon = [short((0x28, 0x10), "US", &[1, 0]), long(PIXELS, "OB", None, &icon)].concat();
    for (what, element) in &unneeded() {
        let folder = patched("axial", |_, file| insert(file, (0x20, 0xD), element));
        assert_eq!(assert_as("axial", folder.path(), what), [""; 0], "{what}");
    }
    // An icon lies behind the rescale elements and before the image's own pixels.
    for length in [Some(icon.len()), None] {
        let icon = match length {
            Some(length) => item(0xE000, length as u32, &icon),
            None => [item(0xE000, u32::MAX, &icon), item(0xE00D, 0, b""), end.clone()].concat(),
        };
        let element = long((0x88, 0x200), "SQ", length.map(|_| icon.len()), &icon);
        let folder = patched("axial", |_, file| insert(file, PIXELS, &element));
        assert_eq!(assert_as("axial", folder.path(), "an icon"), [""; 0]);
        assert!(with_series(folder.path(), |series| series.header().is_ok()));
    }
    // What decides over values is not passed over.
    let table = long((0x28, 0x3000), "SQ", Some(12), b"no sequence!");
    let folder = patched("axial", |_, file| insert(file, PIXELS, &table));
    assert_eq!(find(folder.path()).unwrap().damaged.len(), 5);
}

#[test]
fn unneeded_elements_with_changed_bytes() {
    let (_, file) = files("axial").next().unwrap();
    let folder = TempDir::new().unwrap();
    for (what, element) in unneeded().iter().filter(|(_, element)| element.len() < 200) {
        let begin = at(file, (0x20, 0xD));
        for (n, change) in (0..element.len()).flat_map(|n| [0x01, 0x80, 0xFF].map(|change| (n, change))) {
            let mut bytes = insert(file, (0x20, 0xD), element);
            bytes[begin + n] ^= change;
            std::fs::write(folder.path().join("1"), bytes).unwrap();
            for series in &find(folder.path()).unwrap().series {
                let read = series.read();
                assert!(read.is_err() || series.header().is_ok(), "{what}: {n}");
            }
        }
    }
}

/// GDCM reads the first of these, too.
#[test]
fn transfer_syntaxes_that_say_otherwise() {
    let relabel = |file: &[u8], to: &[u8]| {
        let uid = at(file, (2, 0x10)) + 8;
        let mut file = file.to_vec();
        file[uid..uid + to.len()].copy_from_slice(to);
        file
    };
    let ge = patched("implicit", |_, file| {
        let mut file = relabel(file, b"1.2.840.113619.5.2");
        let pixels = at(&file, PIXELS) + 8;
        file[pixels..].as_chunks_mut::<2>().0.iter_mut().for_each(|two| two.reverse());
        file
    });
    assert_eq!(assert_as("implicit", ge.path(), "GE"), [""; 0]);
    let told = ["the byte order is not the one that the transfer syntax says"];
    let little = patched("axial", |_, file| relabel(file, b"1.2.840.10008.1.2.2"));
    assert_eq!(assert_as("axial", little.path(), "little endian called big"), told);
    let big = patched("big_endian", |_, file| relabel(file, b"1.2.840.10008.1.2.1"));
    assert_eq!(assert_as("big_endian", big.path(), "big endian called little"), told);
}

/// Of the comma, SimpleITK makes 6 mm and 8.
#[test]
fn numbers_in_other_spellings() {
    const SPACING: (u16, u16) = (0x28, 0x30);
    let unknown = |tag, value: &[u8]| long(tag, "UN", Some(value.len()), value);
    let comma = ["numbers with a decimal comma are read as if with a point"];
    let none: [&str; 0] = [];
    for (what, tag, element, notes) in [
        ("commas", SPACING, short(SPACING, "DS", b"0,8\\0,6"), &comma[..]),
        ("commas before three digits", SPACING, short(SPACING, "DS", b"0,800\\0,600"), &comma),
        ("text of unlimited length", SPACING, long(SPACING, "UT", Some(8), b"0.8\\0.6 "), &none),
        ("zeros behind each number", SPACING, short(SPACING, "DS", b"0.8\0\0\\0.6\0"), &none),
        ("an unknown VR", SPACING, unknown(SPACING, b"0.8\\0.6 "), &none),
        ("a VR that is none", SPACING, short(SPACING, "??", b"0.8\\0.6"), &none),
        ("an unknown VR of a scale", (0x28, 0x1053), unknown((0x28, 0x1053), b"1.0 "), &none),
        ("an unknown VR of a number", (0x28, 0x11), unknown((0x28, 0x11), &[16, 0]), &none),
    ] {
        let folder = patched("axial", |_, file| replace(file, tag, &element));
        assert_eq!(assert_as("axial", folder.path(), what), notes, "{what}");
    }
}

#[test]
fn what_is_missing_is_named() {
    const SPACING: (u16, u16) = (0x28, 0x30);
    const POSITION: (u16, u16) = (0x20, 0x32);
    const ORIENTATION: (u16, u16) = (0x20, 0x37);
    let gone = |file: &[u8], tag| replace(file, tag, b"");
    let with =
        |tag, value: &'static str| move |file: &[u8]| replace(file, tag, &short(tag, "DS", value.as_bytes()));
    let at_detector = |file: &[u8]| {
        insert(&replace(file, SPACING, b""), (0x20, 0xD), &short((0x18, 0x1164), "DS", b"1\\1"))
    };
    let all = |file: &[u8]| {
        [SPACING, POSITION, ORIENTATION].iter().fold(file.to_vec(), |file, &tag| gone(&file, tag))
    };
    let cases: [(&str, Change); 9] = [
        ("no spacing", &|file| gone(file, SPACING)),
        ("an empty one", &with(SPACING, "")),
        ("at the detector alone", &at_detector),
        ("one number", &with(SPACING, "0.8")),
        ("nothing wide", &with(SPACING, "0\\0.6")),
        ("no number but a name", &with(SPACING, "Mustermann\\0.6")),
        ("thousands", &with(POSITION, "-1,024\\0\\0")),
        ("no right angle", &with(ORIENTATION, "1\\0\\0\\0.5\\0.5\\0")),
        ("nothing", &all),
    ];
    let told = cases.map(|(what, change)| {
        format!("{what}: {}", refused(patched("axial", |_, file| change(file)).path()))
    });
    insta::assert_snapshot!(told.concat());
}

#[test]
fn what_is_no_scan_is_called_what_it_is() {
    let mut told = String::new();
    for (class, modality) in [
        ("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG"),
        ("1.2.3", "RTDOSE"),
    ] {
        let folder = patched("axial", |_, file| {
            let file = replace(file, (8, 0x16), &short((8, 0x16), "UI", class.as_bytes()));
            replace(&file, (8, 0x60), &short((8, 0x60), "CS", modality.as_bytes()))
        });
        let found = find(folder.path()).unwrap();
        assert!(found.is_dicom());
        let error = choose(&found, folder.path(), None).unwrap_err();
        told += &format!("{error}\n  hint: {}\n", error.hint.as_deref().unwrap());
        told = told.replace(&folder.path().display().to_string(), "FOLDER");
    }
    insta::assert_snapshot!(told);
}

/// A case and its files again, `change`d, under new UIDs and names that come later.
fn doubled(case: &str, change: impl Fn(usize, Vec<u8>) -> Option<Vec<u8>>) -> TempDir {
    let folder = patched(case, |_, file| file.to_vec());
    for (k, (_, data)) in files(case).enumerate() {
        let uid = format!("1.2.3.4.{k}\0");
        let again = replace(data, (8, 0x18), &short((8, 0x18), "UI", uid.as_bytes()));
        if let Some(again) = change(k, again) {
            std::fs::write(folder.path().join(format!("again{k}")), again).unwrap();
        }
    }
    folder
}

fn with_another_pixel(mut file: Vec<u8>) -> Vec<u8> {
    let last = file.len() - 2;
    file[last] ^= 1;
    file
}

#[test]
fn copies_under_new_uids_are_passed_over() {
    for case in ["axial", "rle", "jpeg_lossless_sv1", "enhanced"] {
        let folder = doubled(case, |_, file| Some(file));
        let notes = assert_as(case, folder.path(), case);
        assert_eq!(
            notes,
            ["passed over 5 images that have the place and the pixels of another image"],
            "{case}"
        );
    }
    let folder = doubled("axial", |k, file| (k == 3).then_some(file));
    let notes = assert_as("axial", folder.path(), "one");
    assert_eq!(notes, ["passed over 1 image that has the place and the pixels of another image"]);
    // Those that are kept are hashed and referred to.
    let folder = doubled("axial", |_, file| Some(file));
    let whole = unpack("axial");
    let of =
        |folder: &Path| with_series(folder, |series| (series.instances(), series.read_hashed().unwrap().1));
    assert_eq!(of(folder.path()), of(whole.path()));
}

/// Whatever is wrong with the second of two, headers alone and reading give one place.
#[test]
fn copies_with_changed_bytes() {
    for case in ["axial", "rle", "enhanced"] {
        let (_, whole) = files(case).next().unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("1"), whole).unwrap();
        for n in (132..whole.len()).step_by(11) {
            let mut bytes = replace(whole, (8, 0x18), &short((8, 0x18), "UI", b"1.2.3.4"));
            let n = n.min(bytes.len() - 1);
            bytes[n] ^= 0x81;
            std::fs::write(folder.path().join("2"), bytes).unwrap();
            for series in &find(folder.path()).unwrap().series {
                let (space, instances) = (series.space(), series.instances());
                if let Ok(image) = series.read() {
                    assert_eq!(space.unwrap(), image.space, "{case}: {n}");
                    assert_eq!(instances.len(), image.space.shape[2], "{case}: {n}");
                }
            }
        }
    }
}

#[test]
fn images_at_one_place_that_differ_stay_refused() {
    let all = doubled("axial", |_, file| Some(with_another_pixel(file)));
    let last = doubled("axial", |k, file| Some(if k == 4 { with_another_pixel(file) } else { file }));
    let scaled = doubled("axial", |k, file| {
        let scale = short((0x28, 0x1053), "DS", b"2");
        (k == 0).then(|| replace(&file, (0x28, 0x1053), &scale))
    });
    let damaged = doubled("rle", |k, file| (k == 0).then(|| file[..file.len() - 60].to_vec()));
    // The same UID is no proof.
    let renamed = doubled("axial", |_, file| {
        let uid = short((8, 0x18), "UI", b"1.2.3.4");
        Some(with_another_pixel(replace(&file, (8, 0x18), &uid)))
    });
    for (k, (_, data)) in files("axial").enumerate() {
        let again = replace(data, (8, 0x18), &short((8, 0x18), "UI", b"1.2.3.4"));
        std::fs::write(renamed.path().join(format!("{k:03}")), again).unwrap();
    }
    let told = [all, last, scaled, damaged, renamed].map(|folder| refused(folder.path()));
    insta::assert_snapshot!(told.concat());
}

/// The case with one more file: its first, under another UID, and `change`d.
fn with_one_more(case: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> TempDir {
    doubled(case, |k, file| (k == 0).then(|| change(&file)))
}

#[test]
fn one_odd_image_is_left_out() {
    let nowhere = |file: &[u8]| replace(file, (0x20, 0x32), b"");
    let capture = |file: &[u8]| {
        let class = short((8, 0x16), "UI", b"1.2.840.10008.5.1.4.1.1.7\0");
        replace(&with_another_pixel(file.to_vec()), (8, 0x16), &class)
    };
    let colour = |file: &[u8]| {
        let file = replace(file, (0x28, 2), &short((0x28, 2), "US", &[3, 0]));
        replace(&file, (0x28, 4), &short((0x28, 4), "CS", b"RGB"))
    };
    let smaller = |file: &[u8]| replace(file, (0x28, 0x10), &short((0x28, 0x10), "US", &[11, 0]));
    let changes: [(&str, Change); 4] = [
        ("left out 1 image without a place in the patient", &nowhere),
        ("left out 1 screen capture or colour image", &capture),
        ("left out 1 screen capture or colour image", &colour),
        ("left out 1 image of another size, spacing or orientation", &smaller),
    ];
    for (note, change) in changes {
        let folder = with_one_more("axial", change);
        assert_eq!(assert_as("axial", folder.path(), note), [note]);
    }
    // More than a quarter is no exception.
    let mut told = String::new();
    for change in [&nowhere as Change, &colour] {
        told += &refused(doubled("axial", |k, file| (k < 2).then(|| change(&file))).path());
    }
    told += &refused(patched("axial", |_, file| nowhere(file)).path());
    insta::assert_snapshot!(told);
}

fn at_heights(heights: [f64; 5]) -> TempDir {
    patched("axial", |k, file| {
        let position = format!("-100.5\\-80.25\\{}", heights[k]);
        replace(file, (0x20, 0x32), &short((0x20, 0x32), "DS", position.as_bytes()))
    })
}

/// Slices every 0.87 mm from 0.04 on, rounded to a tenth: numpy's polyfit gives 0.02 and 0.88.
#[test]
fn rounded_positions_are_fitted() {
    let (image, notes) = read(at_heights([0.0, 0.9, 1.8, 2.7, 3.5]).path());
    let affine = image.space.world_from_voxel;
    assert!((affine.translation.z - 0.02).abs() < 1e-9 && (affine.matrix3.z_axis.z - 0.88).abs() < 1e-9);
    assert_eq!(notes, ["uneven spacing: slices lie up to 0.040 mm from a regular grid"]);
    // Where the ends will do, they decide, as in other programs: masks lie there.
    let (image, _) = read(at_heights([0.0, 0.9, 1.8, 2.6, 3.5]).path());
    assert_eq!(image.space.world_from_voxel.translation.z, 0.0);
    // Three rounded coordinates are off by more than one.
    let (image, _) = read(at_heights([0.0, 1.0, 1.8, 2.7, 3.6]).path());
    assert!((image.space.world_from_voxel.matrix3.z_axis.z - 0.89).abs() < 1e-9);
    let told = refused(at_heights([0.0, 0.9, 1.9, 2.7, 3.5]).path());
    assert!(
        told.contains("slices every 0.875 mm in a straight line, to 0.06 mm, found slice 3 of 5 0.15 mm"),
        "{told}"
    );
}

#[test]
fn slices_that_the_header_counts_are_missed() {
    let counted = |images: &'static [u8]| {
        move |_: usize, file: &[u8]| insert(file, (0x28, 2), &short((0x20, 0x1002), "IS", images))
    };
    let notes = |folder: &Path| read(folder).1;
    assert_eq!(notes(patched("axial", counted(b"5")).path()), [""; 0]);
    assert_eq!(
        notes(patched("axial", counted(b"8")).path()),
        ["5 images of 8 that the header counts: slices may be missing at the ends"]
    );
    // Headers that disagree count nothing.
    let several = patched("axial", |k, file| counted(if k == 0 { b"8" } else { b"9" })(k, file));
    assert_eq!(notes(several.path()), [""; 0]);
    let folder = patched("axial", |_, file| file.to_vec());
    std::fs::write(folder.path().join("005"), b"").unwrap();
    std::fs::write(folder.path().join("lock.txt"), b"").unwrap();
    assert_eq!(notes(folder.path()), ["1 empty file beside it: slices of it may be missing"]);
    assert_eq!(find(folder.path()).unwrap().others["empty files"], 2);
}

#[test]
fn two_patients_in_one_series_are_refused_without_their_names() {
    let id = |id: &[u8]| short((0x10, 0x20), "LO", id);
    let other =
        patched(
            "axial",
            |k, file| if k < 2 { replace(file, (0x10, 0x20), &id(b"OTHER-12")) } else { file.to_vec() },
        );
    let told = refused(other.path());
    assert!(!told.contains("OTHER") && !told.contains("4711"), "{told}");
    insta::assert_snapshot!(told);
    // A name that is spelt otherwise, or an ID that is missing, is told.
    let renamed =
        patched("axial", |k, file| if k < 2 { replace(file, (0x10, 0x20), &id(b"")) } else { file.to_vec() });
    assert_eq!(assert_as("axial", renamed.path(), "no ID"), ["its images name several studies or patients"]);
}

/// The names are those that pydicom reads.
#[test]
fn text_of_a_header_is_decoded() {
    let cases: [(&str, &[u8], &str); 5] = [
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B", "Yamada^Tarou=山田^太郎"),
        ("\\ISO 2022 IR 149", b"Hong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7", "Hong=洪^吉洞"),
        ("ISO_IR 148", b"\xDEi\xFEli^G\xFCl", "Şişli^Gül"),
        ("GB18030", b"Wang=\xCD\xF5^\x95\x5C", "Wang=王^昞"),
        ("ISO_IR 100", b"M\xFCller^J\xF6rg", "Müller^Jörg"),
    ];
    for (sets, name, expected) in cases {
        let meaning = short((8, 0x104), "LO", name);
        let within = long(
            (0x12, 0x64),
            "SQ",
            None,
            &[item(0xE000, meaning.len() as u32, &meaning), item(0xE0DD, 0, b"")].concat(),
        );
        let folder = patched("axial", |_, file| {
            let file = replace(file, (8, 5), &short((8, 5), "CS", sets.as_bytes()));
            let file = replace(&file, (8, 0x103E), &short((8, 0x103E), "LO", name));
            let file = replace(&file, (0x10, 0x10), &short((0x10, 0x10), "PN", name));
            insert(&file, (0x18, 0x50), &within)
        });
        with_series(folder.path(), |series| {
            let header = series.header().unwrap();
            let text = |tag| header.element(tag).unwrap().to_str().unwrap().trim().to_owned();
            assert_eq!(text(tags::PATIENT_NAME), expected, "{sets}");
            assert_eq!(text(tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
            let items = header.element(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).unwrap().items().unwrap();
            assert_eq!(
                items[0].element(tags::CODE_MEANING).unwrap().to_str().unwrap().trim(),
                expected,
                "{sets}"
            );
            assert!(!series.description.contains('\x1B'), "{sets}");
            assert_eq!(name_in_segmentation(series), expected, "{sets}");
        });
    }
}

fn name_in_segmentation(series: &Series) -> String {
    let (image, mut header, instances) =
        (series.read().unwrap(), series.header().unwrap(), series.instances());
    header.put_str(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3");
    let mask = Mask { voxels: vec![1; image.voxels.len()], space: image.space.clone() };
    let how = How {
        algorithm: "polycl".to_owned(),
        automatic: Automation::Automatic,
        description: "organs".to_owned(),
    };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mask.dcm");
    let source = Source { header: &header, instances: &instances, space: &image.space };
    segmentation::write(&path, &source, &mask, &[(1, "Überblick".to_owned())].into(), &how).unwrap();
    let file = dicom_object::open_file(path).unwrap();
    file.element(tags::PATIENT_NAME).unwrap().to_str().unwrap().trim().to_owned()
}

/// A slice of the case `axial` with more elements before the one of `tag`, and another slope.
fn with_values(padding: i16, unit: &str, slope: &str, born: &str) -> TempDir {
    patched("axial", |k, file| {
        let padding = short((0x28, 0x120), "SS", &padding.to_le_bytes());
        let file = insert(file, (0x28, 0x1052), &padding);
        let file = replace(&file, (0x28, 0x1053), &short((0x28, 0x1053), "DS", slope.as_bytes()));
        let file = insert(&file, (0x7FE0, 0x10), &short((0x28, 0x1054), "LO", unit.as_bytes()));
        let born = if k == 0 { born } else { "19500101" };
        insert(&file, (0x20, 0xD), &short((0x10, 0x30), "DA", born.as_bytes()))
    })
}

#[test]
fn values_that_headers_say_are_no_hu_are_told() {
    let notes = |padding, unit, slope, born| {
        with_series(with_values(padding, unit, slope, born).path(), Series::notes)
    };
    let (_, before) = read(patched("axial", |_, file| file.to_vec()).path());
    assert_eq!(notes(-2000, "HU", "1", "19500101"), before);
    assert_eq!(notes(-2000, "US", "1", "19500101"), before);
    for (said, told) in [
        ((50, "HU", "1", "19500101"), "the padding value is "),
        ((-2000, "Z_EFF", "1", "19500101"), "the unit of values (rescale type) is Z_EFF, not HU"),
        (
            (-2000, "Doe^Jane of 1950", "1", "19500101"),
            "the unit of values (rescale type) is another one, not HU",
        ),
        ((-2000, "HU", "-1", "19500101"), "the rescale slope is -1: these may be no HU"),
        ((-2000, "HU", "1", "19600101"), "its images name several studies or patients"),
    ] {
        let (padding, unit, slope, born) = said;
        let notes = notes(padding, unit, slope, born);
        assert!(notes.iter().any(|note| note.starts_with(told)), "{told}: {notes:?}");
    }
}

#[test]
fn series_that_nobody_meant_as_a_volume_are_known() {
    let kind = |folder: TempDir| {
        let found = find(folder.path()).unwrap();
        found.series[0].no_volume()
    };
    let one_place =
        |_: usize, file: &[u8]| replace(file, (0x20, 0x32), &short((0x20, 0x32), "DS", b"-100.5\\-80.25\\7"));
    let few = |nowhere: usize| {
        let folder = TempDir::new().unwrap();
        for (k, (_, file)) in files("axial").enumerate().take(nowhere) {
            std::fs::write(folder.path().join(format!("{k}")), replace(file, (0x20, 0x32), b"")).unwrap();
        }
        folder
    };
    let localizers =
        |_: usize, file: &[u8]| replace(file, (8, 8), &short((8, 8), "CS", b"ORIGINAL\\PRIMARY\\LOCALIZER"));
    assert_eq!(kind(patched("axial", |_, file| file.to_vec())), None);
    assert_eq!(kind(patched("axial", one_place)), Some("images at one place"));
    assert_eq!(kind(patched("axial", localizers)), Some("localizers"));
    assert_eq!(kind(few(1)), Some("images without a place"));
    // Of many images the places were lost, which a person must hear.
    assert_eq!(kind(few(5)), None);
}
