//! Images that clients send: known again among the folder's scans by their voxels and their place, or kept.

use std::path::PathBuf;

use polycl_base::{Error, hex, output};
use polycl_image::orient::Reorientation;
use polycl_image::{Image, files};
use sha2::{Digest, Sha256};

use super::Door;
use super::form::{Temporary, checked, unreadable};
use super::login::Sent;
use super::seen::is_squared;
use crate::desk::Desk;
use crate::folder::Entry;
use crate::multipart::Part;
use crate::recognise::{Recognised, recognise};
use crate::refusal::{Answer, Refusal};

/// Voxels of an image that is taken, and images that are kept.
const VOXELS: usize = 1 << 29;
const KEPT: usize = 64;
/// Hex digits of the id of an image that is kept.
const DIGITS: usize = 16;
const FILE: &str = "scan";

/// The scan of an image that a client sends.
///
/// # Errors
/// A file that cannot be read, `too_large`, `too_many`; what the disk says.
pub fn receive(door: &Door, part: &Part<'_>) -> Answer<Sent> {
    let file = Temporary::write(part, &door.incoming())?;
    checked(&file.path(), VOXELS)?;
    let image = files::read_image(&file.path()).map_err(unreadable)?;
    if let Some(sent) = known(&door.desk, &image) {
        return Ok(sent);
    }
    let order = Reorientation::to_canonical(&image.space);
    Ok(Sent { scan: keep(door, &image, &file)?, view: (image.space, order) })
}

/// The scan of the folder that has the image's voxels in the same place, in whatever order.
fn known(desk: &Desk, image: &Image) -> Option<Sent> {
    let Recognised { id, order } = recognise(desk, image.space.shape, &image.voxels)?;
    let space = order.space(&desk.entry(&id).ok()?.input.space().ok()?);
    let is_there = space.disagreement(&image.space).is_none() || is_squared(&image.space, &space);
    let order = Reorientation::to_canonical(&space);
    is_there.then(|| Sent { scan: id, view: (image.space.clone(), order) })
}

/// Keeps an image beside the documents, and its masks with it; gives its id.
fn keep(door: &Door, image: &Image, file: &Temporary) -> Answer<String> {
    // Not the fingerprint itself, by which another door may know an image that it forgets.
    let mut id = hex(&Sha256::digest(format!("monai {}", image.fingerprint())));
    id.truncate(DIGITS);
    if door.desk.entry(&id).is_ok() {
        return Ok(id);
    }
    let uploads = uploads(&door.desk);
    let failed = |e: std::io::Error| Error::io(&uploads, "keep the image that was sent", &e);
    std::fs::create_dir_all(&uploads).map_err(failed)?;
    if std::fs::read_dir(&uploads).map_err(failed)?.count() >= KEPT {
        let message = format!("{KEPT} images that are no scans of the folder are kept already.");
        return Err(Refusal::conflict("too_many", message)
            .hint("put images into the folder that is served, or remove some of .workbench/uploads"));
    }
    let name = format!("{FILE}{}", file.ending());
    let folder = uploads.join(&id);
    output::folder_atomically(&folder, |place| {
        std::fs::copy(file.path(), place.join(&name)).map(drop).map_err(failed)
    })?;
    door.desk.take_in(Entry::sent(id.clone(), folder.join(name), folder));
    Ok(id)
}

fn uploads(desk: &Desk) -> PathBuf {
    desk.work().join("uploads")
}

/// Takes in the images that were kept before.
pub fn take_in_kept(desk: &Desk) {
    for folder in std::fs::read_dir(uploads(desk)).into_iter().flatten().flatten() {
        let Ok(id) = folder.file_name().into_string() else { continue };
        let files = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        let scan = files
            .map(|file| file.path())
            .find(|file| files::case_name(file).is_some_and(|case| case == FILE) && file.is_file());
        if let Some(scan) = scan.filter(|_| id.len() == DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit())) {
            desk.take_in(Entry::sent(id, scan, folder.path()));
        }
    }
}
