//! Propagation of annotated slices, as a user runs it.
//!
//! Where LiteMedSAM has not been fetched, tests that need it say so and do nothing.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use glam::DVec3;
use polycl_image::orient::Reorientation;
use polycl_image::{Image, Mask, Space, Volume, nifti};

use common::{
    Folder, bytes, contents, dice, geometry, grid, in_disc, painted, read, refused, rows, text, weights,
};

/// A tapering organ from 10 to 42 mm above the feet's end, which leans to one side.
fn organ(place: DVec3) -> bool {
    (10.0..42.0).contains(&place.z) && in_disc(place, [0.2 * place.z - 5.0, 0.0], 18.0 - 0.15 * place.z)
}

/// A smaller, brighter one beside it.
fn other(place: DVec3) -> bool {
    (16.0..36.0).contains(&place.z) && in_disc(place, [-30.0, 6.0], 9.0)
}

/// Both in fat in air.
fn scan(space: &Space) -> Image {
    painted(space, |place| match () {
        () if organ(place) => 60.0,
        () if other(place) => 140.0,
        () if place.x.hypot(1.2 * place.y) < 48.0 => -100.0,
        () => -1000.0,
    })
}

fn truth(space: &Space) -> Mask {
    painted(space, |place| if organ(place) { 1 } else { 3 * u16::from(other(place)) })
}

const SPACE: ([usize; 3], [f64; 3]) = ([100, 88, 12], [1.0, 1.0, 4.0]);

/// The true labels in some slices of the canonical order, `wanted` by slice and label.
fn drawn(truth: &Mask, wanted: impl Fn(usize, u16) -> bool) -> Mask {
    let pixels = truth.space.shape[0] * truth.space.shape[1];
    let mut mask = truth.clone();
    for (i, voxel) in mask.voxels.iter_mut().enumerate().filter(|(_, voxel)| **voxel != 0) {
        if !wanted(i / pixels, *voxel) {
            *voxel = 0;
        }
    }
    mask
}

fn write(folder: &Folder, case: &str, scan: &Image, mask: &Mask) {
    nifti::write_image(&folder.at(&format!("{case}.nii")), scan).unwrap();
    nifti::write_mask(&folder.at(&format!("{case}_drawn.nii")), mask).unwrap();
}

/// A folder of the scan, in which slice 6 is drawn.
fn one_drawn() -> (Folder, Mask) {
    let folder = Folder::new();
    let space = grid(SPACE.0, SPACE.1);
    let truth = truth(&space);
    write(&folder, "scan", &scan(&space), &drawn(&truth, |k, label| k == 6 && label == 1));
    (folder, truth)
}

const PROPAGATE: &str = "propagate scan.nii --annotation scan_drawn.nii --out";

#[test]
fn one_slice_becomes_the_organ() {
    let Some(_) = weights() else { return };
    let (folder, truth) = one_drawn();
    folder.write("scan_drawn.labels.json", "{\"1\": \"liver\"}");
    // Fields that say the same in other words, as other programs write them.
    let mut file = bytes(&folder, "scan.nii");
    file[252..256].copy_from_slice(&[2, 0, 3, 0]);
    std::fs::write(folder.at("scan.nii"), &file).unwrap();
    let said = folder.done(&format!("{PROPAGATE} out/mine.nii"));
    assert!(said.contains("mine: liver in slices 3 to 10; not found in 2"), "{said}");
    assert!(said.contains("draw slice "), "{said}");
    let found = read(&folder, "out/mine.nii");
    assert!(dice(&truth, &found, 1) > 0.95, "{}", dice(&truth, &found, 1));
    assert_eq!(truth_of(&truth, 1).plane(6), found.plane(6), "what is drawn stays");
    assert_eq!(geometry(&file), geometry(&bytes(&folder, "out/mine.nii")));
    assert_eq!(text(&folder, "out/mine.labels.json"), "{\n  \"1\": \"liver\"\n}\n");
    // No file but these three.
    assert_eq!(contents(&folder.at("out/.")).len(), 3);
    for row in rows(&folder, "out/propagate.csv") {
        let slice: usize = row["slice"].parse().unwrap();
        let confidence: f32 = row["confidence"].parse().unwrap();
        let pixels = found.plane(slice).iter().filter(|&&l| l == 1).count();
        assert_eq!(
            (row["case"].as_str(), row["label"].as_str(), row["name"].as_str()),
            ("mine", "1", "liver")
        );
        assert_eq!(row["pixels"], pixels.to_string());
        assert_eq!(row["origin"], if slice == 6 { "hand" } else { "propagated" });
        assert_eq!(confidence == 1.0, slice == 6, "slice {slice}: {confidence}");
        assert!((0.0..=1.0).contains(&confidence) && row["object_score"].is_empty());
    }
}

/// A file whose slices are the sagittal planes of a volume in canonical order, head up and front to the left.
fn turned<T: Copy + Default>(volume: &Volume<T>) -> Volume<T> {
    let ([nx, ny, nz], [dx, dy, dz]) = (volume.space.shape, volume.space.spacing());
    let space = grid([ny, nz, nx], [dy, dz, dx]);
    let mut voxels = vec![T::default(); space.voxels()];
    for (at, &voxel) in volume.voxels.iter().enumerate() {
        let [x, y, z] = [at % nx, at / nx % ny, at / nx / ny];
        voxels[y + ny * (nz - 1 - z + nz * x)] = voxel;
    }
    Volume { space, voxels }
}

#[test]
fn a_sagittal_drawing_goes_from_plane_to_plane() {
    let Some(_) = weights() else { return };
    for spacing in [[1.5, 1.5, 1.5], SPACE.1] {
        let folder = Folder::new();
        let space = grid([100, 88, (48.0 / spacing[2]) as usize], spacing);
        let (scan, truth) = (scan(&space), truth(&space));
        let nx = space.shape[0];
        let mut sagittal = truth_of(&truth, 1);
        sagittal.voxels.iter_mut().enumerate().filter(|(at, _)| at % nx != 49).for_each(|(_, v)| *v = 0);
        write(&folder, "scan", &scan, &sagittal);
        write(&folder, "turned", &turned(&scan), &turned(&sagittal));
        let said = folder.done(&format!("{PROPAGATE} out/scan.nii --names 1=liver --picture out/scan.png"));
        assert!(said.contains("scan_drawn.nii: drawn in sagittal planes"), "{said}");
        assert!(said.contains("scan: liver in sagittal planes "), "{said}");
        assert!(said.contains("draw sagittal plane "), "{said}");
        folder
            .done("propagate turned.nii --annotation turned_drawn.nii --out slices/scan.nii --names 1=liver");
        let [own, other] = ["out/scan.nii", "slices/scan.nii"].map(|name| read(&folder, name));
        assert!(turned(&own).voxels == other.voxels, "{spacing:?}: not as from slice to slice");
        let dice = dice(&truth_of(&truth, 1), &own, 1);
        assert!(dice > 0.9, "{spacing:?}: {dice}");
        let column = |name: &str| -> Vec<(String, String)> {
            let rows = rows(&folder, &format!("{name}/propagate.csv"));
            rows.iter().map(|row| (row["slice"].clone(), row["confidence"].clone())).collect()
        };
        assert_eq!(column("out"), column("slices"), "both files count from the right");
        let planes = rows(&folder, "out/propagate.csv");
        assert!(planes.iter().all(|row| row["plane"] == "sagittal"));
        assert!(planes.iter().any(|row| row["origin"] == "hand" && row["slice"] == "49"));
        check_proportions(&bytes(&folder, "out/scan.png"));
        // Slices that it trains are believed alike, and nobody drew one.
        std::fs::remove_file(folder.at("out/scan.png")).unwrap();
        std::fs::copy(folder.at("scan.nii"), folder.at("images/scan.nii")).unwrap();
        folder.done("import --images images --labels out --out dataset");
        let index: serde_json::Value = serde_json::from_str(&text(&folder, "dataset/index.json")).unwrap();
        let trust = &index["scans"][0]["trust"]["liver"];
        let confidence = trust["confidence"].as_array().unwrap();
        assert!(confidence.iter().all(|c| *c == confidence[0] && c.as_f64() > Some(0.5)), "{confidence:?}");
        assert_eq!(trust["by_hand"], serde_json::json!([]));
    }
}

/// Sagittal planes of the organ are higher than deep, in millimetres as in the picture: three of them lie beside each
/// other, and two below.
fn check_proportions(png: &[u8]) {
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let [width, height] = [f64::from(side(16)) / 3.0, f64::from(side(20)) / 2.0];
    assert!((0.9..1.5).contains(&(height / width)), "{width} by {height}");
}

/// A label alone.
fn truth_of(truth: &Mask, label: u16) -> Mask {
    let mut mask = truth.clone();
    mask.voxels.iter_mut().filter(|voxel| **voxel != label).for_each(|voxel| *voxel = 0);
    mask
}

#[test]
fn several_organs_of_several_slices_in_a_part_of_the_scan() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid(SPACE.0, SPACE.1);
    let truth = truth(&space);
    let shown = |k: usize, label: u16| matches!((k, label), (4 | 8, 1) | (6, 3));
    write(&folder, "scan", &scan(&space), &drawn(&truth, shown));
    folder.done(&format!("{PROPAGATE} out/b,c.nii --range 4,9"));
    let before = text(&folder, "out/propagate.csv");
    folder.done(&format!("{PROPAGATE} out/a.nii --direction up"));
    assert!(text(&folder, "out/propagate.csv").starts_with(&before), "rows of other cases stay");
    let [ranged, up] = ["out/b,c.nii", "out/a.nii"].map(|name| read(&folder, name));
    for k in 0..12 {
        let has = |mask: &Mask, label: u16| mask.plane(k).contains(&label);
        assert_eq!(has(&ranged, 1), (4..=9).contains(&k), "slice {k}");
        assert_eq!(has(&ranged, 3), (4..=8).contains(&k), "slice {k}");
        assert_eq!(has(&up, 1), (4..=10).contains(&k), "slice {k}");
        assert_eq!(has(&up, 3), (6..=8).contains(&k), "slice {k}");
        for label in [1, 3].into_iter().filter(|&label| shown(k, label)) {
            assert_eq!(truth_of(&truth, label).plane(k), truth_of(&ranged, label).plane(k));
        }
    }
}

/// Slices that are not square, of pixels that are not, with the voxels in another order.
#[test]
fn the_order_of_voxels_changes_nothing() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let space = grid([100, 60, 8], [1.0, 1.5, 5.0]);
    let truth = truth(&space);
    let orders = [
        ("LPS", Reorientation { axes: [0, 1, 2], flip: [false; 3] }),
        ("RAI", Reorientation { axes: [0, 1, 2], flip: [true, true, true] }),
        ("PIR", Reorientation { axes: [1, 2, 0], flip: [false, true, true] }),
    ];
    let mut found: Vec<(Mask, Vec<String>)> = Vec::new();
    for (code, order) in orders {
        let drawn = drawn(&truth, |k, label| k == 5 && label == 1);
        write(&folder, code, &order.apply(&scan(&space)), &order.apply(&drawn));
        folder.done(&format!(
            "propagate {code}.nii --annotation {code}_drawn.nii --out {code}_out/{code}.nii --direction down"
        ));
        let own = read(&folder, &format!("{code}_out/{code}.nii"));
        let back = Reorientation::to_canonical(&own.space);
        let mut table: Vec<(usize, String)> = rows(&folder, &format!("{code}_out/propagate.csv"))
            .iter()
            .map(|row| {
                let k = back.slice_to_canonical(row["slice"].parse().unwrap(), &own.space);
                (k, format!("{k} {} {}", row["pixels"], row["confidence"]))
            })
            .collect();
        table.sort();
        found.push((back.apply(&own), table.into_iter().map(|(_, line)| line).collect()));
    }
    for (other, (code, _)) in found.iter().zip(orders) {
        assert!(found[0].0.voxels == other.0.voxels, "{code} differs");
        assert_eq!(found[0].1, other.1, "{code}");
    }
}

#[test]
fn boxes_and_points_instead_of_outlines() {
    let Some(_) = weights() else { return };
    let (folder, truth) = one_drawn();
    let lines = ["--box 6,31,27,66,61", "--box 6,31,27,66,61,7 --not 6,20,40,7"];
    for (line, label) in lines.into_iter().zip([1, 7]) {
        folder.done(&format!("propagate scan.nii {line} --out out/{label}.nii"));
        let mut found = read(&folder, &format!("out/{label}.nii"));
        found.voxels.iter_mut().for_each(|voxel| *voxel = u16::from(*voxel == label));
        let dice = dice(&truth_of(&truth, 1), &found, 1);
        assert!(dice > 0.9, "{line}: {dice}");
    }
    assert!(rows(&folder, "out/propagate.csv").iter().all(|row| row["origin"] == "propagated"));
}

fn start(folder: &Folder, arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_polycl"))
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn done_slices(journal: &Path) -> usize {
    let files = std::fs::read_dir(journal).map(|entries| entries.flatten().collect::<Vec<_>>());
    files.unwrap_or_default().iter().filter(|e| e.path().extension() == Some("safetensors".as_ref())).count()
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let Some(_) = weights() else { return };
    let (folder, _) = one_drawn();
    folder.done(&format!("{PROPAGATE} whole/scan.nii"));
    let line = format!("{PROPAGATE} out/scan.nii");
    let mut child = start(&folder, &line);
    let journal = folder.path().join("out/.scan.propagate");
    while done_slices(&journal) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("out/scan.nii").exists());
    // A file that was cut short is not believed.
    let first = std::fs::read_dir(&journal).unwrap().flatten().map(|e| e.path());
    let first = first.filter(|path| path.extension() == Some("safetensors".as_ref())).min().unwrap();
    std::fs::write(&first, &std::fs::read(&first).unwrap()[..50]).unwrap();
    let said = folder.done(&line);
    assert!(said.contains("scan: resumed, with "), "{said}");
    assert!(contents(&folder.at("whole/.")).values().eq(contents(&folder.at("out/.")).values()));
    // What another request has left is of no use.
    std::fs::create_dir_all(&journal).unwrap();
    std::fs::write(journal.join("request.txt"), "another").unwrap();
    let said = folder.done(&line);
    assert!(!said.contains("resumed") && !journal.exists(), "{said}");
    assert!(said.contains("note: out/scan.nii is there already and is made again"), "{said}");
}

/// The most memory that a run ever holds, in MiB.
fn peak(folder: &Folder, arguments: &str) -> f64 {
    let mut child = start(folder, arguments);
    let mut most = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        most = most.max(kib.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(child.wait().unwrap().success());
    most
}

/// An embedding is 4 MiB, so that keeping those of forty slices would show.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_slices() {
    let Some(_) = weights() else { return };
    let folder = Folder::new();
    let peaks = [8, 48].map(|slices| {
        let space = grid([64, 64, slices], [1.5, 1.5, 32.0 / slices as f64]);
        let scan = painted(&space, |place| if in_disc(place, [0.0, 0.0], 20.0) { 60.0 } else { -100.0 });
        let disc = painted(&space, |place| u16::from(in_disc(place, [0.0, 0.0], 20.0)));
        let case = format!("scan{slices}");
        write(&folder, &case, &scan, &drawn(&disc, |k, _| k == slices / 2));
        let line = format!("propagate {case}.nii --annotation {case}_drawn.nii --out out/{case}.nii");
        let peak = peak(&folder, &line);
        let found = read(&folder, &format!("out/{case}.nii"));
        assert!((0..slices).all(|k| found.plane(k).contains(&1)), "{slices} slices");
        peak
    });
    assert!(peaks[1] < peaks[0] + 60.0, "{peaks:?} MiB");
}

#[test]
fn annotations_and_flags_that_make_no_sense() {
    let (folder, truth) = one_drawn();
    let space = &truth.space;
    nifti::write_mask(&folder.at("empty.nii"), &drawn(&truth, |_, _| false)).unwrap();
    nifti::write_mask(&folder.at("full.nii"), &painted(space, |_| 1)).unwrap();
    nifti::write_mask(&folder.at("small.nii"), &painted(&grid([100, 88, 11], SPACE.1), |_| 0)).unwrap();
    nifti::write_mask(&folder.at("moved.nii"), &painted(&grid(SPACE.0, [1.1, 1.0, 4.0]), |_| 0)).unwrap();
    let single = grid([100, 88, 1], SPACE.1);
    write(&folder, "single", &scan(&single), &painted(&single, |_| 1));
    let sagittal = painted(space, |place| u16::from(organ(place) && (0.0..1.0).contains(&place.x)));
    let mut both = drawn(&truth, |k, label| k == 6 && label == 3);
    both.voxels.iter_mut().zip(&sagittal.voxels).for_each(|(voxel, &other)| *voxel = other.max(*voxel));
    nifti::write_mask(&folder.at("sagittal.nii"), &sagittal).unwrap();
    nifti::write_mask(&folder.at("both.nii"), &both).unwrap();
    folder.write("text.safetensors", "weights, to be sure");
    folder.write("taken/propagate.csv", "a table,of something else\n");
    let lines = [
        "propagate scan.nii --out new/scan.nii",
        "propagate scan.nii --annotation empty.nii --out new/scan.nii",
        "propagate scan.nii --annotation full.nii --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --range 6,6 --out new/scan.nii",
        "propagate scan.nii --annotation small.nii --out new/scan.nii",
        "propagate scan.nii --annotation moved.nii --out new/scan.nii",
        "propagate single.nii --annotation single_drawn.nii --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --range 7,11 --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --range 3,12 --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --range 7,3 --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --window 40,0 --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --out scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --out scan_drawn.nii",
        "propagate scan.nii --annotation scan_drawn.nii --out new/scan.mha",
        "propagate scan.nii --annotation scan_drawn.nii --out taken/scan.nii",
        "propagate scan.nii --annotation nothing.nii --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --weights text.safetensors --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --model medsam2 --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --model medsam2 --weights text.safetensors --out new/scan.nii",
        "propagate scan.nii --annotation scan_drawn.nii --model samurai --out new/scan.nii",
        "propagate scan.nii --box 12,1,1,5,5 --out new/scan.nii",
        "propagate scan.nii --box 1,1,1,5,88 --out new/scan.nii",
        "propagate scan.nii --box 1,9,1,5,5 --out new/scan.nii",
        "propagate scan.nii --box 1,1,5,5 --out new/scan.nii",
        "propagate scan.nii --point 1,100,5 --out new/scan.nii",
        "propagate scan.nii --point 1,10,5,0 --out new/scan.nii",
        "propagate scan.nii --not 1,10,5 --out new/scan.nii",
        "propagate scan.nii --annotation both.nii --out new/scan.nii",
        "propagate scan.nii --annotation sagittal.nii --box 6,31,27,66,61,2 --out new/scan.nii",
        "propagate scan.nii --annotation sagittal.nii --direction up --out new/scan.nii",
        "propagate scan.nii --annotation sagittal.nii --range 0,100 --out new/scan.nii",
        "propagate scan.nii --annotation sagittal.nii --range 60,90 --out new/scan.nii",
    ];
    insta::assert_snapshot!(lines.map(|line| refused(&folder, line)).join("\n"));
}

#[test]
fn truncated_weights_and_those_of_another_network() {
    let Some(fetched) = weights() else { return };
    let (folder, _) = one_drawn();
    let whole = std::fs::read(fetched.join("litemedsam.safetensors")).unwrap();
    std::fs::write(folder.at("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.at("whole.safetensors"), whole).unwrap();
    let lines = ["--weights cut.safetensors", "--weights whole.safetensors --model medsam2"];
    let refusals = lines.map(|line| refused(&folder, &format!("{PROPAGATE} new/scan.nii {line}")));
    insta::assert_snapshot!(refusals.join("\n"));
}
