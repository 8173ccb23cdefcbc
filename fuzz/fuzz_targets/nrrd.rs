//! Any bytes as a NRRD file are read or refused; a mask and the geometry alone are read like the scan.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::{Folder, check_file};
use polycl_image::files::Format;

static FOLDER: LazyLock<Folder> = LazyLock::new(|| Folder::new("nrrd"));

fuzz_target!(|bytes: &[u8]| check_file(&FOLDER, Format::Nrrd, "nrrd", bytes));
