//! Contours (RTSTRUCT) as masks: paired with their series, filled in, and exported again.

use std::path::PathBuf;

use polycl_data::pairs::Pair;
use polycl_data::{Chosen, Export, Origin, Salt, from_dicom_with_masks};
use polycl_fixtures::dicom::SEGMENTATIONS;
use polycl_image::Mask;
use polycl_image::dicom::find;
use polycl_image::dicom::segmentation::{Automation, How, Source};
use polycl_image::dicom::structures::{Storage, Structures};
use polycl_image::files::Reading;

use crate::files::{Folder, notes, plan};

/// A folder `export` with a series and contours on it, and the mask that they were drawn around.
fn export(automatic: Automation, change: impl FnOnce(&mut Mask)) -> (Folder, Mask) {
    let folder = Folder::new();
    for (name, data) in SEGMENTATIONS.iter().filter(|(name, _)| name.starts_with("plain/")) {
        std::fs::write(folder.at(&format!("export/{name}")), data).unwrap();
    }
    let series = find(&folder.at("export")).unwrap().series.remove(0);
    let bytes = &SEGMENTATIONS["binary.u16"];
    let voxels = bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two)).collect();
    let mut mask = Mask { space: series.space().unwrap(), voxels };
    change(&mut mask);
    let names = [(1, "liver".to_owned()), (2, "kidney".to_owned()), (3, "tumour".to_owned())].into();
    let how = How { algorithm: "someone".to_owned(), automatic, description: "drawn".to_owned() };
    let (header, instances) = (series.header().unwrap(), series.instances());
    let source = Source { header: &header, instances: &instances, space: &mask.space };
    Storage::Contours.write(&folder.at("export/contours.dcm"), &source, &mask, &names, &how).unwrap();
    (folder, mask)
}

fn paired(folder: &Folder) -> Vec<Pair> {
    let salt = Salt::at(&folder.at("salt"));
    from_dicom_with_masks(&folder.at("export"), &[], &Chosen { names: None, choice: None }, &salt).unwrap().0
}

#[test]
fn contours_are_the_mask_of_their_series_and_go_back_to_it() {
    for (automatic, origin) in [
        (Automation::Manual, Origin::Hand),
        (Automation::Semiautomatic, Origin::Propagated),
        (Automation::Automatic, Origin::Predicted),
    ] {
        let (folder, mask) = export(automatic, |_| {});
        let index = folder.import(&plan(paired(&folder))).unwrap();
        assert_eq!(index.scans[0].origin, origin);
        assert_eq!(index.scans[0].drawn, ["kidney", "liver", "tumour"].map(str::to_owned).into());
        let dataset = folder.dataset().unwrap();
        assert!(dataset.truth(0).unwrap().voxels == mask.voxels);
        for storage in [Storage::Contours, Storage::Segmentation] {
            let out = folder.at(&format!("{storage}"));
            let organs = ["liver", "kidney"].map(str::to_owned).to_vec();
            let exported =
                Export { dataset: &dataset, organs, masks: None }.write_objects(storage, &out, &()).unwrap();
            assert_eq!(exported.by_hand.len() + exported.by_machine.len(), 1);
            let files: Vec<PathBuf> =
                std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
            let object = Structures::open(&files[0]).unwrap().unwrap();
            assert_eq!((files.len(), object.storage), (1, storage));
            assert!(object.list.iter().all(|one| one.automation == Some(automatic)));
            let back = object.mask(&mask.space, &object.names(), Reading::default()).unwrap().mask;
            let expected = mask.voxels.iter().map(|&voxel| if voxel == 3 { 0 } else { voxel });
            assert!(back.voxels.iter().copied().eq(expected), "{storage}");
        }
    }
}

#[test]
fn gaps_are_filled_where_that_was_asked_for_and_so_whenever_the_mask_is_read() {
    let mut gap = 0;
    let (folder, _) = export(Automation::Manual, |mask| {
        let [across, down, slices] = mask.space.shape;
        gap = slices / 2;
        let middle = |at: usize, side: usize| (side / 4..side - side / 4).contains(&at);
        for (n, voxel) in mask.voxels.iter_mut().enumerate() {
            let (i, j, k) = (n % across, n / across % down, n / (across * down));
            *voxel = u16::from(middle(i, across) && middle(j, down) && k != gap);
        }
    });
    for fill in [false, true] {
        let pairs = paired(&folder).into_iter().map(|pair| pair.filling_gaps(fill)).collect();
        let plan = plan(pairs);
        let told = notes(&plan, &folder.at("dataset"));
        let word = if fill { "interpolated from" } else { "left empty between" };
        assert!(told.iter().any(|note| note.contains(word)), "{told:?}");
        let truth = folder.dataset().unwrap().truth(0).unwrap();
        assert_eq!(truth.plane(gap).contains(&1), fill);
        std::fs::remove_dir_all(folder.at("dataset")).unwrap();
    }
}
