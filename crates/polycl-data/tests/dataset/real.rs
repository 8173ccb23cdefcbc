//! Imports every NIfTI scan of `shared/data`, whose label conventions differ, into one data set.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use polycl_data::{Dataset, pairs};
use polycl_image::preprocess::Preprocess;

use crate::files::{plan, salt};

fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = [std::env::var_os("POLYCL_SHARED").map(PathBuf::from), Some(root.join("../shared"))];
    let data = places.into_iter().flatten().map(|p| p.join("data")).find(|p| p.is_dir());
    if data.is_none() {
        println!("skipped: no shared/data here");
    }
    data
}

/// One row for each scan, with names for each convention.
fn manifest(data: &Path) -> String {
    let mut text = String::from("image,label,patient,domain,names\n");
    let mut row = |image: &str, label: &str, patient: &str, names: &str| {
        let at =
            |name: &str| if name.is_empty() { String::new() } else { data.join(name).display().to_string() };
        let names = if names.ends_with(".csv") { at(names) } else { names.to_owned() };
        writeln!(text, "{},{},{patient},{patient},{names}", at(image), at(label)).unwrap();
    };
    row("chaos_liver/ct.nii.gz", "chaos_liver/liver.nii.gz", "chaos", "1=liver");
    let lidc = [
        "lidc0001_organs/ct_256.nii.gz",
        "lidc0001_organs/mask_256.nii.gz",
        "lidc0001_organs/structures.csv",
    ];
    row(lidc[0], lidc[1], "lidc", lidc[2]);
    row("totalseg_example/example_ct.nii.gz", "totalseg_example/example_seg_v1.nii.gz", "totalseg", "");
    row("totalseg_example/example_ct_sm.nii.gz", "totalseg_example/example_seg_sm_v2.nii.gz", "totalseg", "");
    row("totalseg_vessels/aorta_ct_cropped.nii.gz", "", "vessels", "");
    row("totalseg_vessels/pulmonary_ct_cropped.nii.gz", "", "vessels", "");
    row("crlm_1004/ct.nii.gz", "", "crlm", "");
    let mut patients: Vec<_> =
        std::fs::read_dir(data.join("sarcoma_gtv")).unwrap().map(|e| e.unwrap().path()).collect();
    patients.retain(|path| path.is_dir());
    for patient in patients {
        let name = patient.file_name().unwrap().to_str().unwrap();
        row(
            &format!("sarcoma_gtv/{name}/ct.nii.gz"),
            &format!("sarcoma_gtv/{name}/gtv.nii.gz"),
            name,
            "1=sarcoma",
        );
    }
    text
}

#[test]
fn all_scans_go_into_one_data_set_and_any_slice_is_read() {
    let Some(data) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.csv");
    std::fs::write(&file, manifest(&data)).unwrap();
    let mut plan = plan(pairs::from_manifest(&file, None, &salt()).unwrap());
    plan.preprocess = Preprocess::default();
    let out = folder.path().join("dataset");
    let index = plan.import(&out, false, &()).unwrap().index;
    assert_eq!((index.scans.len(), index.patients().len()), (29, 27));
    let with = |organ: &str| {
        let scans = index.scans.iter().filter(|scan| scan.drawn.contains(organ));
        scans.map(|scan| scan.patient.as_str()).collect::<BTreeSet<_>>()
    };
    assert_eq!(with("liver"), BTreeSet::from(["chaos", "lidc", "totalseg"]));
    assert_eq!(with("sarcoma").len(), 22);
    let chaos = index.scans.iter().find(|s| s.patient == "chaos").unwrap();
    let with_liver: usize = chaos.presence["liver"].iter().map(|[first, last]| last - first + 1).sum();
    assert_eq!((chaos.slices, with_liver), (78, 71));
    assert_eq!(chaos.shows("spleen", 40), None);
    read_all_over(&Dataset::open(&out).unwrap());
}

/// Reads slices all over the data set. How fast that goes is `polycl bench read`'s to tell.
fn read_all_over(dataset: &Dataset) {
    let scans = &dataset.index.scans;
    for n in 0..200 {
        let scan = n * 7919 % scans.len();
        let slice = dataset.image(scan, n * 104_729 % scans[scan].slices).unwrap();
        assert_eq!(slice.len(), 256 * 256);
    }
}
