//! What reading a volume takes of memory at its peak, by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use glam::{DAffine3, DVec3};
use polycl_image::dicom::structures::Structures;
use polycl_image::files::{self, Format, Reading};
use polycl_image::nifti::image_from_bytes;
use polycl_image::{Space, dicom};

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
    let file = include_bytes!("reference/dicom/claims_voxels.dcm");
    std::fs::write(folder.path().join("1"), file).unwrap();
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let found = dicom::find(folder.path()).unwrap();
    assert!(found.series.iter().all(|series| series.read().is_err()));
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(peak < 32 << 20, "{peak} bytes at the peak");
}

/// A million ROIs, and a million contours in one of them: the file is held, its items are not.
#[test]
fn a_million_items_cost_what_their_file_does() {
    let _turn = TURN.lock().unwrap();
    let element = |tag: [u16; 2], value: &[u8]| {
        let mut out = tag.map(u16::to_le_bytes).concat();
        out.extend((value.len() as u32).to_le_bytes());
        [&out, value].concat()
    };
    let item = |value: &[u8]| element([0xFFFE, 0xE000], value);
    let square = b"-4.5\\-4.5\\0\\-9.5\\-4.5\\0\\-9.5\\-9.5\\0\\-4.5\\-9.5\\0 ";
    let contour = [element([0x3006, 0x42], b"CLOSED_PLANAR "), element([0x3006, 0x50], square)].concat();
    let point = item(&element([0x3006, 0x42], b"POINT "));
    let contours = [item(&contour), point.repeat(1_000_000)].concat();
    let drawn = item(&[element([0x3006, 0x40], &contours), element([0x3006, 0x84], b"1 ")].concat());
    let named = item(&element([0x3006, 0x22], b"1 "));
    let nameless = item(&[]).repeat(1_000_000);
    let file = [
        vec![0; 128],
        b"DICM\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0".to_vec(),
        element([8, 0x16], b"1.2.840.10008.5.1.4.1.1.481.3\0"),
        element([0x3006, 0x20], &[named, nameless.clone()].concat()),
        element([0x3006, 0x39], &[drawn, nameless].concat()),
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contours.dcm");
    std::fs::write(&path, &file).unwrap();
    let space = Space::new([16, 16, 2], DAffine3::from_scale(DVec3::ONE));

    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let object = Structures::open(&path).unwrap().unwrap();
    let drawn = object.mask(&space, &object.names(), Reading::default()).unwrap();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert_eq!(drawn.mask.voxels.iter().filter(|voxel| **voxel == 1).count(), 25);
    assert_eq!(drawn.notes, ["label 1: contours skipped: 1000000 points"]);
    assert!(peak < 4 * file.len(), "{peak} bytes at the peak for a file of {}", file.len());
}
