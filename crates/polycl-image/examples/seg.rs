//! Writes a DICOM segmentation from a description in JSON, for `tests/reference/dicom-seg/check.py`.

use std::path::{Path, PathBuf};

use dicom_core::Tag;
use glam::{DAffine3, DVec3};
use polycl_image::dicom::Instance;
use polycl_image::dicom::segmentation::{self, Automation, How, Source};
use polycl_image::names::Names;
use polycl_image::{Mask, Space};

#[derive(serde::Deserialize)]
struct Job {
    /// The slices in the order of the third axis.
    slices: Vec<PathBuf>,
    shape: [usize; 3],
    /// Rows of the matrix that takes voxels to RAS+ mm.
    affine: [[f64; 4]; 3],
    /// Labels as little-endian numbers of 16 bits, the first axis fastest.
    voxels: PathBuf,
    names: Names,
    /// Whether the scan is one file whose frames are the slices.
    multiframe: bool,
    /// Whether a person drew the mask.
    manual: bool,
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let job = std::env::args().nth(1).ok_or("usage: seg JOB.json")?;
    let job: Job = serde_json::from_slice(&std::fs::read(job)?)?;
    let instances =
        job.slices.iter().enumerate().map(|(k, file)| instance(file, job.multiframe.then_some(k)));
    let instances = instances.collect::<Result<Vec<_>, _>>()?;
    let mut header = dicom_object::open_file(&job.slices[0])?.into_inner();
    header.remove_element(Tag(0x7fe0, 0x0010));
    let column = |c: usize| DVec3::from_array(job.affine.map(|row| row[c]));
    let space = Space::new(job.shape, DAffine3::from_cols(column(0), column(1), column(2), column(3)));
    let bytes = std::fs::read(&job.voxels)?;
    let voxels = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    let mask = Mask { space: space.clone(), voxels };
    let how = How {
        algorithm: "polycl check".to_owned(),
        automatic: if job.manual { Automation::Manual } else { Automation::Automatic },
        description: "Überprüfung von polycl".to_owned(),
    };
    let source = Source { header: &header, instances: &instances, space: &space };
    segmentation::write(&job.out, &source, &mask, &job.names, &how)?;
    Ok(())
}

fn instance(file: &Path, frame: Option<usize>) -> Result<Instance, Box<dyn std::error::Error>> {
    let slice = dicom_object::open_file(file)?;
    let text = |tag| -> Result<String, Box<dyn std::error::Error>> {
        Ok(slice.element(tag)?.to_str()?.trim_end_matches(['\0', ' ']).to_owned())
    };
    Ok(Instance {
        sop_class: text(Tag(0x0008, 0x0016))?,
        sop_instance: text(Tag(0x0008, 0x0018))?,
        frame: frame.map(|k| k as u32 + 1),
    })
}
