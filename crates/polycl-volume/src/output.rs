//! Outputs appear whole or not at all: everything is written beside its target and renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes a file through `write` and renames it to `path` only once all bytes are on disk.
pub fn atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io(path, "write it", e);
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    let temporary = tempfile::Builder::new()
        .prefix(".polycl-")
        .suffix(".partial")
        .tempfile_in(parent)
        .map_err(|e| failed(&e))?;
    let mut buffer = BufWriter::new(temporary.as_file());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(|e| failed(&e))?;
    drop(buffer);
    temporary.as_file().sync_all().map_err(|e| failed(&e))?;
    readable_by_all(temporary.as_file()).map_err(|e| failed(&e))?;
    temporary.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

/// Temporary files are private to their owner; results follow the usual 0644.
fn readable_by_all(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}
