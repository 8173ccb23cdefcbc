use polycl_base::{Kind, Result};
use polycl_data::{Index, Ranges};

use crate::files::{Folder, LPI, LPS, image, mask, space};

const HEADER: &str = "scan,organ,first_slice,last_slice\n";

fn import(folder: &Folder, rows: &str) -> Result<Index> {
    let mut plan = folder.plan()?;
    plan.ranges = Some(Ranges::read(&folder.write("ranges.csv", &format!("{HEADER}{rows}")))?);
    folder.import(&plan)
}

fn scan(signs: [f64; 3]) -> Folder {
    let folder = Folder::new();
    image(&folder.at("images/a.nii.gz"), &space(signs));
    folder
}

#[test]
fn file_order_becomes_feet_to_head() {
    // As pandas writes a column with empty cells.
    let rows = "a,liver,0.0,1.0\na,kidney,1,2\na,kidney,4,4\na,spleen,,\n";
    let up = import(&scan(LPS), rows).unwrap();
    assert_eq!(up.scans[0].presence["liver"], [[0, 1]]);
    assert_eq!(up.scans[0].presence["kidney"], [[1, 2], [4, 4]]);
    let down = import(&scan(LPI), rows).unwrap();
    assert_eq!(down.scans[0].presence["liver"], [[4, 5]]);
    assert_eq!(down.scans[0].presence["kidney"], [[1, 1], [3, 4]]);
    assert_eq!((down.scans[0].shows("spleen", 0), down.scans[0].shows("lung", 0)), (Some(false), None));
    assert!(down.labels.is_empty() && !down.scans[0].labelled());
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    for (rows, kind) in [
        ("", Kind::Format),
        ("b,liver,0,1\n", Kind::Pairing),
        ("a,liver,0,6\n", Kind::Request),
        ("a,liver,0,99999999999\n", Kind::Request),
        ("a,liver,2,1\n", Kind::Format),
        ("a,liver,-1,1\n", Kind::Format),
        ("a,liver,1,\n", Kind::Format),
        ("a,,1,2\n", Kind::Format),
        ("a,liver,1\n", Kind::Format),
        ("a,liver,1.5,2\n", Kind::Format),
    ] {
        assert_eq!(import(&scan(LPS), rows).unwrap_err().kind, kind, "{rows}");
    }
}

#[test]
fn ranges_may_repeat_a_mask_but_not_contradict_it() {
    let labelled = || {
        let folder = scan(LPI);
        mask(&folder.at("labels/a.nii.gz"), &space(LPI), &[(1, [0, 1], 4)]);
        folder.write("labels/labels.json", r#"{"1": "liver"}"#);
        folder
    };
    let index = import(&labelled(), "a,liver,0,1\na,spleen,2,2\n").unwrap();
    assert_eq!(index.scans[0].presence["liver"], [[4, 5]]);
    assert_eq!(index.scans[0].presence["spleen"], [[3, 3]]);
    assert!(!index.scans[0].draws(&["spleen".to_owned()]));
    assert_eq!(import(&labelled(), "a,liver,0,0\n").unwrap_err().kind, Kind::Labels);
    assert_eq!(import(&labelled(), "a,liver,,\n").unwrap_err().kind, Kind::Labels);
}
