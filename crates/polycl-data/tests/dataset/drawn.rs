//! Masks of which a person has drawn some slices.

use polycl_base::{Kind, Result};
use polycl_data::{DrawnSlices, Index, Ranges};

use crate::files::{Folder, LPI, LPS, image, mask, notes, space};

/// A scan of six slices whose mask shows the liver in the slices 1 and 3 of the file.
fn scan(signs: [f64; 3]) -> Folder {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(signs));
    mask(&folder.at("labels/a.nii.gz"), &space(signs), &[(1, [1, 1], 4), (1, [3, 3], 4)]);
    folder.write("labels/labels.json", r#"{"1": "liver", "2": "spleen"}"#);
    folder
}

/// The data set with these rows of ranges and of drawn slices, where there are any.
fn import(folder: &Folder, ranges: &str, drawn: &str) -> Result<Index> {
    let mut plan = folder.plan()?;
    if !ranges.is_empty() {
        let text = format!("scan,organ,first_slice,last_slice\n{ranges}");
        plan.ranges = Some(Ranges::read(&folder.write("ranges.csv", &text))?);
    }
    if !drawn.is_empty() {
        plan.drawn = Some(DrawnSlices::read(&folder.write("drawn.csv", drawn))?);
    }
    folder.import(&plan)
}

/// Of each slice of the store: x where the mask says what a person meant, capital where the liver shows, ? where
/// that is not known.
fn known(index: &Index) -> String {
    let scan = &index.scans[0];
    let letter = |slice: usize| match (scan.shows("liver", slice), scan.left_undrawn("liver", slice)) {
        (Some(true), false) => 'X',
        (Some(true), true) => 'O',
        (Some(false), false) => 'x',
        (Some(false), true) => 'o',
        (None, true) => '?',
        (None, false) => '!',
    };
    (0..scan.slices).map(letter).collect()
}

#[test]
fn what_is_empty_within_the_range_is_not_drawn() {
    assert_eq!(known(&import(&scan(LPS), "", "").unwrap()), "xXxXxx");
    assert_eq!(known(&import(&scan(LPS), "a,liver,1,4\n", "").unwrap()), "xXOXOx");
    assert_eq!(known(&import(&scan(LPI), "a,liver,1,4\n", "").unwrap()), "xOXOXx");
    assert_eq!(known(&import(&scan(LPS), "a,liver,1,1\na,liver,3,3\n", "").unwrap()), "xXxXxx", "whole");
    assert_eq!(import(&scan(LPS), "a,liver,2,4\n", "").unwrap_err().kind, Kind::Labels);
}

#[test]
fn a_table_tells_what_is_drawn() {
    let table = "scan,slice\na,0\na,1\na,3\n";
    assert_eq!(known(&import(&scan(LPS), "", table).unwrap()), "xX?X??");
    assert_eq!(known(&import(&scan(LPI), "", table).unwrap()), "??X?Xx");
    // Slice 0 is drawn and shows no liver there, as the range says; slice 2 is within it.
    assert_eq!(known(&import(&scan(LPS), "a,liver,1,4\n", "scan,slice\na,0\na,1\na,3\n").unwrap()), "xXOXOx");
    let empty = import(&scan(LPS), "a,liver,1,4\n", "scan,slice\na,1\na,2\na,3\n");
    assert_eq!(empty.unwrap_err().kind, Kind::Labels);
    let of_spleen = "scan,slice,organ\na,0,spleen\n";
    let index = import(&scan(LPS), "", of_spleen).unwrap();
    assert_eq!(known(&index), "xXxXxx", "of the liver no row speaks");
    assert!(index.scans[0].left_undrawn("spleen", 1) && index.scans[0].by_hand("spleen", 0));
    let both = ["liver".to_owned(), "spleen".to_owned()];
    assert!(!index.scans[0].wholly_by_hand(&both) && index.scans[0].wholly_by_hand(&both[..1]));
}

#[test]
fn tables_that_cannot_be_are_refused() {
    for (table, kind) in [
        ("scan,slice\n", Kind::Format),
        ("scan,slice\nb,1\n", Kind::Pairing),
        ("scan,slice\na,6\n", Kind::Request),
        ("scan,slice\na,-1\n", Kind::Format),
        ("scan,slice\na,\n", Kind::Format),
        ("scan,place\na,1\n", Kind::Format),
        // The mask shows the liver in slice 3, too.
        ("scan,slice\na,1\n", Kind::Labels),
        ("scan,slice,organ\na,1,livr\n", Kind::Labels),
    ] {
        assert_eq!(import(&scan(LPS), "", table).unwrap_err().kind, kind, "{table}");
    }
    let beyond = import(&scan(LPS), "a,liver,1,2\n", "scan,slice\na,1\na,3\n");
    assert_eq!(beyond.unwrap_err().kind, Kind::Labels, "a drawn slice outside the range");
}

#[test]
fn the_index_is_read_again_and_a_person_is_told() {
    let folder = scan(LPS);
    import(&folder, "a,liver,1,4\n", "").unwrap();
    assert_eq!(known(&folder.dataset().unwrap().index), "xXOXOx");
    let mut plan = folder.plan().unwrap();
    plan.ranges = Some(Ranges::read(&folder.at("ranges.csv")).unwrap());
    let told = notes(&plan, &folder.at("again"));
    assert_eq!(told, ["a, liver: 2 slices drawn, of 4 that show it"]);
    let empty = Folder::new();
    image(&empty.at("images/a.nii.gz"), &space(LPS));
    mask(&empty.at("labels/a.nii.gz"), &space(LPS), &[]);
    empty.write("labels/labels.json", r#"{"1": "liver"}"#);
    plan = empty.plan().unwrap();
    plan.ranges = Some(Ranges::read(&folder.at("ranges.csv")).unwrap());
    assert_eq!(notes(&plan, &empty.at("dataset")), ["a, liver: no slice that shows it is drawn"]);
}

#[test]
fn rows_that_were_forgotten_are_told_and_rows_of_no_mask_refused() {
    let folder = scan(LPS);
    crate::files::shifted_image(&folder.at("images/b.nii.gz"), &space(LPS), 1.0);
    let table = "scan,slice\na,1\na,3\nb,2\n";
    assert_eq!(import(&folder, "", table).unwrap_err().kind, Kind::Labels, "b has no mask");
    std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    mask(&folder.at("labels/b.nii.gz"), &space(LPS), &[(1, [2, 2], 4)]);
    let mut plan = folder.plan().unwrap();
    let file = folder.write("ranges.csv", "scan,organ,first_slice,last_slice\na,liver,1,4\n");
    plan.ranges = Some(Ranges::read(&file).unwrap());
    let told = notes(&plan, &folder.at("dataset"));
    let unsaid = "b, liver: no row says which slices are drawn, so the mask counts as drawn in every slice";
    assert!(told.contains(&unsaid.to_owned()), "{told:?}");
}
