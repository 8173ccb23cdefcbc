//! Tests as folders of scans and true masks.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use polycl_base::{Error, output};
use polycl_image::legend::{IGNORE, IGNORED};
use polycl_image::{Input, Source, nifti};

use super::plan::{StudyPlan, Test};

/// Lays the scans and true masks of a test out as folders that `predict` and `evaluate` take, unless they are there.
/// Labels have the numbers of the training data, those of other organs are left out.
pub fn lay_out(plan: &StudyPlan, test: &Test) -> anyhow::Result<()> {
    if test.dir.exists() {
        return Ok(());
    }
    let (path, dataset) = &plan.datasets[test.dataset];
    let numbers = plan.numbers();
    let label = |(organ, &number): (&&str, &u16)| Some((dataset.index.label(organ)?, number));
    let open = test.scans.iter().any(|&scan| !dataset.index.scans[scan].ignored.is_empty());
    let ignored = open.then_some((IGNORE, IGNORED));
    let organs: BTreeMap<u16, u16> =
        ignored.map(|_| (IGNORED, IGNORED)).into_iter().chain(numbers.iter().filter_map(label)).collect();
    let names: BTreeMap<&str, u16> = numbers.into_iter().chain(ignored).collect();
    let names = serde_json::to_string_pretty(&names)?;
    output::folder_atomically(&test.dir, |folder| {
        for &number in &test.scans {
            let scan = &dataset.index.scans[number];
            let mut truth = dataset.truth(number)?;
            truth.voxels.iter_mut().for_each(|voxel| *voxel = organs.get(voxel).copied().unwrap_or(0));
            nifti::write_mask(&folder.join(format!("labels/{}.nii.gz", scan.case)), &truth)?;
            place(&scan.image, &folder.join("images"), &scan.case)?;
        }
        output::atomically(&folder.join("labels/labels.json"), |file| writeln!(file, "{names}"))
    })
    .with_context(|| format!("test '{}' of {}", plan.test_names[test.name], path.display()))
}

/// Puts a scan into a folder as NIfTI.
fn place(scan: &Source, folder: &Path, case: &str) -> polycl_base::Result<()> {
    let ending = if scan.path.extension().is_some_and(|ending| ending == "gz") { "nii.gz" } else { "nii" };
    let to = folder.join(format!("{case}.{ending}"));
    if nifti::is_nifti(&scan.path) && scan.is_read_as_others_do() {
        link(&scan.path, &to)
    } else {
        nifti::write_image(&to, &Input::at(scan)?.image()?)
    }
}

/// A link to a scan, or a copy where there are no links.
fn link(scan: &Path, to: &Path) -> polycl_base::Result<()> {
    let failed = |e: &std::io::Error| Error::io(scan, "link to it", e);
    fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(|e| failed(&e))?;
    let scan = scan.canonicalize().map_err(|e| {
        failed(&e).hint(
            "run the study from the folder of the import: the data set keeps its paths as they were given",
        )
    })?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(&scan, to);
    #[cfg(not(unix))]
    let linked = fs::copy(&scan, to).map(drop);
    linked.map_err(|e| failed(&e))
}
