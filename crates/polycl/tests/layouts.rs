//! Many scans at once, of which some are broken; layouts of other programs; what a person sees of both.

mod common;

use common::{Folder, boxes, space};

/// Scans a00, a01, ... of their own voxels, of which every tenth of the named is broken off.
fn scans(folder: &Folder, count: usize) {
    for number in 0..count {
        let name = format!("images/a{number:03}.nii");
        folder.image_with(&name, 352, &(number as f32).to_le_bytes());
    }
}

fn break_off(folder: &Folder, name: &str) -> Vec<u8> {
    let whole = std::fs::read(folder.at(name)).unwrap();
    std::fs::write(folder.at(name), &whole[..1000]).unwrap();
    whole
}

#[test]
fn two_hundred_scans_of_which_three_are_broken() {
    let folder = Folder::new();
    scans(&folder, 200);
    let wholes = ["images/a007.nii", "images/a100.nii", "images/a199.nii"].map(|name| {
        let whole = break_off(&folder, name);
        (name, whole)
    });
    insta::assert_snapshot!(folder.polycl("import --images images --size 32 --out dataset"));
    // Nothing is mended yet: the three are tried again, and nothing else.
    insta::assert_snapshot!(folder.polycl("import --images images --size 32 --out dataset --continue"));
    for (name, whole) in wholes {
        std::fs::write(folder.at(name), whole).unwrap();
    }
    insta::assert_snapshot!(folder.polycl("import --images images --size 32 --out dataset --continue"));
}

#[test]
fn a_data_set_goes_to_nnunet_and_back() {
    let folder = Folder::new();
    for (case, label) in [("a", 3), ("b", 3), ("c", 4)] {
        folder.image(&format!("images/{case}.nii.gz"));
        if case != "c" {
            folder.mask(&format!("labels/{case}.nii.gz"), &boxes(space(), &[(label, [0, 0, 1], [8, 10, 3])]));
        }
    }
    folder.done("import --images images --labels labels --names 3=liver --size 32 --out dataset");
    insta::assert_snapshot!(folder.polycl("export --nnunet dataset --out raw/Dataset501_Liver"));
    insta::assert_snapshot!(common::text(&folder, "raw/Dataset501_Liver/dataset.json"));
    insta::assert_snapshot!(folder.polycl("import --nnunet raw/Dataset501_Liver --size 32 --out again"));
    insta::assert_snapshot!(folder.polycl("export --nnunet dataset --organ heart --out other"));
    insta::assert_snapshot!(folder.polycl("import --nnunet images --size 32 --out other"));
    insta::assert_snapshot!(folder.polycl("import --out other"));
}
