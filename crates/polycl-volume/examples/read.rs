//! Reads DICOM series and says what was found and how long it took: `read PATH...`, one series or file each.
//!
//! For each path a line: name, seconds for the headers and for the voxels, shape, and fingerprint or error.

use std::path::Path;
use std::time::Instant;

use polycl_volume::dicom::{choose, find};

fn main() {
    for path in std::env::args().skip(1) {
        let path = Path::new(&path);
        let begin = Instant::now();
        let found = find(path);
        let headers = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let read = found.and_then(|found| {
            let series = choose(&found, path, None)?;
            Ok((series.read()?, series.notes()))
        });
        let voxels = begin.elapsed().as_secs_f64();
        let said = match read {
            Ok((image, notes)) => {
                let sum: f64 = image.voxels.iter().map(|&v| f64::from(v)).sum();
                format!("{:?}\t{}\t{sum}\t{}", image.space.shape, image.fingerprint(), notes.join("; "))
            }
            Err(error) => format!("refused\t{}\t{error}", error.hint.is_some()),
        };
        println!("{}\t{headers:.4}\t{voxels:.4}\t{said}", path.display());
    }
}
