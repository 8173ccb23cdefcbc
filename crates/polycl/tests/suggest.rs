//! `polycl suggest` as a user runs it, on phantoms.

mod common;

use std::collections::BTreeSet;

use polycl_image::orient::Reorientation;
use polycl_image::{Image, Mask, nifti};

use common::{Folder, bytes, refused, rows, text};

const CASES: [&str; 4] = ["a000", "a001", "a002", "a003"];

/// Four phantoms, in `up` from the feet up and in `down` the same from the head down, and the slices of each
/// that show the liver.
fn cohort() -> Folder {
    let folder = Folder::new();
    folder.done("phantom --out cohort --patients 4 --size 32 --seed 5");
    let header = "scan,organ,first_slice,last_slice\n";
    let (mut up, mut down) = (header.to_owned(), header.to_owned());
    for case in CASES {
        let image: Image = nifti::read_image(&folder.at(&format!("cohort/images/{case}.nii.gz"))).unwrap();
        let mask: Mask = nifti::read_mask(&folder.at(&format!("cohort/labels/{case}.nii.gz"))).unwrap();
        let over = Reorientation { axes: [0, 1, 2], flip: [false, false, true] };
        nifti::write_image(&folder.at(&format!("up/{case}.nii.gz")), &image).unwrap();
        nifti::write_image(&folder.at(&format!("down/{case}.nii.gz")), &over.apply(&image)).unwrap();
        for (rows, mask) in [(&mut up, &mask), (&mut down, &over.apply(&mask))] {
            let liver = |k: &usize| mask.plane(*k).contains(&1);
            let slices: Vec<usize> = (0..mask.space.shape[2]).filter(liver).collect();
            *rows += &format!("{case},liver,{},{}\n", slices[0], slices[slices.len() - 1]);
        }
    }
    folder.write("up.csv", &up).write("down.csv", &down);
    for way in ["up", "down"] {
        folder.done(&format!("import --images {way} --ranges {way}.csv --size 32 --out {way}-set"));
    }
    folder
}

/// Scan and slice of each row.
fn slices(folder: &Folder, table: &str) -> Vec<(String, usize)> {
    let rows = rows(folder, table);
    rows.iter().map(|row| (row["scan"].clone(), row["slice"].parse().unwrap())).collect()
}

#[test]
fn slices_are_told_in_file_order_with_reasons_and_a_picture() {
    let folder = cohort();
    let said = folder.done("suggest up-set --organ liver --count 6 --out up-out");
    let table = text(&folder, "up-out/suggested.csv");
    assert_eq!(said, format!("exit 0\n{table}see up-out/report.html\n"));
    folder.done("suggest down-set --organ liver --count 6 --out down-out");
    let (up, down) = (slices(&folder, "up-out/suggested.csv"), slices(&folder, "down-out/suggested.csv"));

    // Every scan once before any twice.
    let scans: Vec<&str> = up.iter().map(|(scan, _)| scan.as_str()).collect();
    assert_eq!(scans[..4].iter().copied().collect::<BTreeSet<_>>(), CASES.into());
    assert_eq!(scans[4..].iter().collect::<BTreeSet<_>>().len(), 2);
    // The same slices, counted from the other end, all of the liver.
    for ((scan, from_feet), (other, from_head)) in up.iter().zip(&down) {
        let mask = nifti::read_mask(&folder.at(&format!("cohort/labels/{scan}.nii.gz"))).unwrap();
        assert_eq!((scan, mask.space.shape[2] - 1 - from_head), (other, *from_feet));
        assert!(mask.plane(*from_feet).contains(&1), "{scan} {from_feet}");
    }

    let rows = rows(&folder, "up-out/suggested.csv");
    assert!(rows[0]["why"].starts_with("1: the most typical of "), "{}", rows[0]["why"]);
    assert!(rows[5]["why"].starts_with("6: covers most of what is left: most like "), "{}", rows[5]["why"]);
    assert!(rows.iter().all(|row| row["height"].parse::<u8>().unwrap() <= 100));
    // Five by two pictures of 256 pixels.
    let reader = png::Decoder::new(std::io::Cursor::new(bytes(&folder, "up-out/suggested.png")));
    let reader = reader.read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (5 * 260 - 4, 2 * 260 - 4));
    let report = text(&folder, "up-out/report.html");
    assert_eq!(report.matches("<img src=\"data:image/png;base64,").count(), 6);
    assert!(report.contains("6: covers most of what is left"));

    // Fewer are the first of these, whatever the threads; the picture of one needs no number.
    for count in [1, 3] {
        folder.done(&format!("suggest up-set --organ liver --count {count} --threads 1 --out few{count}"));
        assert_eq!(slices(&folder, &format!("few{count}/suggested.csv")), up[..count]);
    }
}

#[test]
fn an_encoder_tells_slices_apart_in_its_own_way() {
    let folder = cohort();
    folder
        .done("pretrain up-set --strategy mixed --organ liver --epochs 1 --steps 2 --batch 4 --out encoder");
    folder.done("suggest up-set --organ liver --count 8 --encoder encoder --out many");
    folder.done("suggest up-set --count 3 --encoder encoder --out few");
    assert_eq!(slices(&folder, "few/suggested.csv"), slices(&folder, "many/suggested.csv")[..3]);
    assert_eq!(bytes(&folder, "many/suggested.csv").iter().filter(|&&b| b == b'\n').count(), 9);
}

#[test]
fn scans_that_are_drawn_count_as_examples() {
    let folder = cohort();
    std::fs::remove_file(folder.at("cohort/labels/a001.nii.gz")).unwrap();
    std::fs::remove_file(folder.at("cohort/labels/a003.nii.gz")).unwrap();
    folder
        .done("import --images up --labels cohort/labels --ranges up.csv --only liver --size 32 --out some");
    let said = folder.done("suggest some --organ liver --count 3 --out out");
    assert!(said.contains("note: 2 scans are drawn by hand already and count as examples"), "{said}");
    assert!(slices(&folder, "out/suggested.csv").iter().all(|(scan, _)| scan == "a001" || scan == "a003"));
    assert!(!said.contains("the most typical"), "{said}");
    let again = folder.done("suggest some --organ liver --count 4 --again --out again");
    assert!(again.contains("the most typical") && !again.contains("note"), "{again}");
    let scans: BTreeSet<String> =
        slices(&folder, "again/suggested.csv").into_iter().map(|(scan, _)| scan).collect();
    assert_eq!(scans.len(), 4);
}

#[test]
fn without_ranges_all_slices_take_part() {
    let folder = cohort();
    folder.done("import --images down --size 32 --out bare");
    let said = folder.done("suggest bare --organ liver --count 2 --out out");
    assert!(said.contains("note: nobody has said which slices show these organs"), "{said}");
    assert!(rows(&folder, "out/suggested.csv").iter().all(|row| row["height"].is_empty()));
}

#[test]
fn what_cannot_be_suggested() {
    let folder = cohort();
    folder.write("absent.csv", &CASES.map(|case| format!("{case},liver,,\n")).concat());
    let absent = format!("scan,organ,first_slice,last_slice\n{}", text(&folder, "absent.csv"));
    folder.write("absent.csv", &absent);
    for line in [
        "import --images up --ranges absent.csv --size 32 --out absent",
        "import --images up --ranges up.csv --size 32 --window -600,1500 --out wide",
        "pretrain wide --strategy mixed --organ liver --epochs 1 --steps 1 --batch 2 --out encoder",
    ] {
        folder.done(line);
    }
    let lines = [
        "suggest nothing --count 1",
        "suggest up-set --organ liver --count 0 --out out",
        "suggest up-set --organ liver --count 1000 --out out",
        "suggest up-set --organ heart --count 1 --out out",
        "suggest absent --organ liver --count 1 --out out",
        "suggest up-set --organ liver --count 1 --encoder encoder --out out",
        "suggest up-set --organ liver --count 1 --encoder up-set --out out",
        "suggest up-set --organ liver --count 1 --out up.csv",
    ];
    insta::assert_snapshot!(lines.map(|line| refused(&folder, line)).join("\n"));
}
