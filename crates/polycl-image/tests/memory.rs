//! What reading a volume takes of memory at its peak, by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use polycl_image::dicom;
use polycl_image::files::{self, Format};
use polycl_image::nifti::image_from_bytes;

/// The system's allocator. Growing is left to the default, which holds old and new at once, as any
/// allocator may have to.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the layout that it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Whose turn it is to count.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_compressed_volume_of_zeros_is_not_held_twice() {
    let _turn = TURN.lock().unwrap();
    // Just above a power of two, where growing by doubling would hold most.
    let shape = [128_i16, 128, 136];
    let voxels = shape.iter().map(|&side| side as usize).product::<usize>();
    let mut header = [0; 352];
    header[..4].copy_from_slice(&348_i32.to_le_bytes());
    header[344..347].copy_from_slice(b"n+1");
    for (at, value) in [(40, 3), (42, shape[0]), (44, shape[1]), (46, shape[2]), (70, 2)] {
        header[at..at + 2].copy_from_slice(&i16::to_le_bytes(value));
    }
    for at in [80, 84, 88] {
        header[at..at + 4].copy_from_slice(&1_f32.to_le_bytes());
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&header).unwrap();
    gzip.write_all(&vec![0; voxels]).unwrap();
    let file = gzip.finish().unwrap();

    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let image = image_from_bytes(&file, Path::new("zeros.nii.gz")).unwrap();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    let needed = image.voxels.len() * size_of::<f32>();
    assert!(peak < needed * 13 / 10 + (1 << 20), "{peak} bytes at the peak for a volume of {needed}");
}

/// A header of a few bytes may claim what it will.
#[test]
fn claims_cost_nothing() {
    let _turn = TURN.lock().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[0; 900]).unwrap();
    let gzip = gzip.finish().unwrap();
    for sizes in ["1625 1625 1625", "100000 100000 100000"] {
        let nrrd = format!("NRRD0005\ntype: uchar\ndimension: 3\nsizes: {sizes}\nencoding:");
        let meta = format!("NDims = 3\nDimSize = {sizes}\nElementType = MET_UCHAR\n");
        let files = [
            (Format::Nrrd, [nrrd.as_bytes(), b" raw\n\n", &[0; 900]].concat()),
            (Format::Nrrd, [nrrd.as_bytes(), b" ascii\n\n", &[b'1'; 900]].concat()),
            (Format::Nrrd, [nrrd.as_bytes(), b" gzip\n\n", &gzip].concat()),
            (Format::MetaImage, [meta.as_bytes(), b"ElementDataFile = LOCAL\n", &[0; 900]].concat()),
        ];
        for (format, bytes) in files {
            let before = HELD.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let error = files::image_from_bytes(format, &bytes, Path::new("claim")).unwrap_err();
            let peak = PEAK.load(Ordering::Relaxed) - before;
            assert!(peak < 1 << 20, "{peak} bytes at the peak: {error}");
        }
    }
}

/// Found by fuzzing: 358 bytes for which 825 MB were held.
#[test]
fn a_dicom_file_costs_what_it_holds() {
    let _turn = TURN.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1"), include_bytes!("reference/dicom/claims_voxels.dcm")).unwrap();
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let found = dicom::find(folder.path()).unwrap();
    assert!(found.series.iter().all(|series| series.read().is_err()));
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(peak < 32 << 20, "{peak} bytes at the peak");
}
