//! Draws an RTSTRUCT on its series, or writes one of a mask, for `tests/reference/dicom-contours/check.py`.

use std::path::Path;

use polycl_image::dicom::segmentation::{Automation, How, Source};
use polycl_image::dicom::structures::Structures;
use polycl_image::dicom::{choose, contours, find};
use polycl_image::files::{self, Reading};
use polycl_image::names::Names;
use polycl_image::nifti;

const USAGE: &str = "usage: contours draw RTSTRUCT SERIES MASK.nii.gz NAMES.json\n       \
                     contours write SERIES MASK.nii.gz NAMES.json RTSTRUCT";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["draw", object, series, mask, names] => draw(object, series, mask, names),
        ["write", series, mask, names, out] => write(series, mask, names, out),
        _ => Err(USAGE.into()),
    }
}

fn draw(object: &str, series: &str, mask: &str, names: &str) -> Result<(), Box<dyn std::error::Error>> {
    let found = find(Path::new(series))?;
    let space = choose(&found, Path::new(series), None)?.space()?;
    let object = Structures::open(Path::new(object))?.ok_or("no DICOM segmentation or contours")?;
    let drawn = object.mask(&space, &object.names(), Reading::default())?;
    drawn.notes.iter().for_each(|note| println!("{note}"));
    nifti::write_mask(Path::new(mask), &drawn.mask)?;
    Ok(std::fs::write(names, serde_json::to_string(&object.names())?)?)
}

fn write(series: &str, mask: &str, names: &str, out: &str) -> Result<(), Box<dyn std::error::Error>> {
    let found = find(Path::new(series))?;
    let series = choose(&found, Path::new(series), None)?;
    let mask = files::read_mask(Path::new(mask))?;
    let names: Names = serde_json::from_slice(&std::fs::read(names)?)?;
    let (header, instances) = (series.header()?, series.instances());
    let source = Source { header: &header, instances: &instances, space: &mask.space };
    let how = How {
        algorithm: "polycl check".to_owned(),
        automatic: Automation::Automatic,
        description: "Überprüfung von polycl".to_owned(),
    };
    Ok(contours::write(Path::new(out), &source, &mask, &names, &how)?)
}
