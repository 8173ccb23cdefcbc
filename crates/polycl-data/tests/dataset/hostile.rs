//! Files that ask for time or memory out of all proportion to what they are, each as it was once found.

use std::fs::File;

use polycl_base::Kind;
use polycl_data::{Ranges, Records, pairs};
use polycl_image::names;

use crate::files::{Folder, LPS, image, mask, salt, space};

/// A zstd frame that promises 2^62 bytes and holds none.
const HUGE_FRAME: [u8; 16] = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0];

#[test]
fn a_slice_that_promises_more_than_it_can_hold_takes_no_memory() {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(LPS));
    mask(&folder.at("labels/a.nii.gz"), &space(LPS), &[(1, [0, 1], 10)]);
    folder.write("labels/labels.json", r#"{"1": "liver"}"#);
    folder.import(&folder.plan().unwrap()).unwrap();
    // With right checksums, over the slice and over the table of slices, as no damage has them.
    let checked = |bytes: &[u8]| [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    let slice = checked(&HUGE_FRAME);
    let mut table = [u64::MAX; 12];
    (table[0], table[1]) = (0, slice.len() as u64);
    let table: Vec<u8> = table.iter().flat_map(|number| number.to_le_bytes()).collect();
    let file = [slice, checked(&table)].concat();
    std::fs::write(folder.at("dataset/slices.zarr/a/image/c/0/0/0"), file).unwrap();
    let dataset = folder.dataset().unwrap();
    assert_eq!(dataset.image(0, 0).unwrap_err().kind, Kind::Format);
    assert_eq!(dataset.image(0, 1).unwrap().len(), 32 * 32, "a slice that is not stored");
}

#[test]
fn a_long_column_name_is_not_copied_into_every_row() {
    // Copied, it would be a hundred gigabytes.
    let text = format!("case,{}\n{}", "x".repeat(1 << 20), "a,\n".repeat(100_000));
    let folder = Folder::new();
    folder.write("refine.csv", &text);
    let maker = Records::default().maker(&folder.at("a.nii.gz")).unwrap();
    assert!(maker.is_some());
}

#[test]
fn many_names_and_many_rows_take_no_time() {
    let folder = Folder::new();
    let rows: String = (0..100_000).map(|row| format!("{row}.nii\n")).collect();
    let manifest = folder.write("manifest.csv", &format!("image\n{rows}"));
    let ids: String = (1..=u16::MAX).map(|id| format!("{id},organ{id:04}\n")).collect();
    let ids = folder.write("names.csv", &format!("id,name\n{ids}"));
    let begun = std::time::Instant::now();
    assert_eq!(pairs::from_manifest(&manifest, None, &salt()).unwrap().len(), 100_000);
    assert_eq!(names::read(&ids).unwrap().names.len(), usize::from(u16::MAX));
    // Compared each with each they took half a minute.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn files_without_an_end_are_not_read_until_memory_is_full() {
    let folder = Folder::new();
    for name in ["ranges.csv", "names.json", "polycl.json", "dataset/index.json"] {
        // Holes, which take no room on the disk.
        File::create(folder.at(name)).unwrap().set_len((1 << 30) + 1).unwrap();
    }
    let kinds = [
        Ranges::read(&folder.at("ranges.csv")).unwrap_err().kind,
        names::read(&folder.at("names.json")).unwrap_err().kind,
        Records::default().maker(&folder.at("a.nii.gz")).unwrap_err().kind,
        folder.dataset().map(|_| ()).unwrap_err().kind,
    ];
    assert_eq!(kinds, [Kind::Io; 4]);
}

#[test]
fn a_column_that_is_there_twice_is_refused() {
    let folder = Folder::new();
    let manifest = folder.write("manifest.csv", "image,label,image\na.nii,,b.nii\n");
    assert_eq!(pairs::from_manifest(&manifest, None, &salt()).unwrap_err().kind, Kind::Format);
    let ids = folder.write("names.csv", "id,name,id\n1,liver,2\n");
    assert_eq!(names::read(&ids).unwrap_err().kind, Kind::Format);
    folder.write("refine.csv", "case,case\na,b\n");
    assert_eq!(Records::default().maker(&folder.at("a.nii.gz")).unwrap_err().kind, Kind::Format);
}
