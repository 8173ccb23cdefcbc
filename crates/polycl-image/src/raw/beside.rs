use std::path::{Component, Path, PathBuf};

use polycl_base::{Error, Kind, Result};

/// The path of a data file that the header at `path` names. Only files in the header's own folder
/// or below it are opened: a header from elsewhere must not make us read what is not its own.
pub(crate) fn beside(path: &Path, name: &str) -> Result<PathBuf> {
    let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    let named = Path::new(name);
    if named.file_name().is_none() || !named.components().all(inside) {
        let found = if name.is_empty() { "no name" } else { name };
        return Err(Error::new(path, Kind::Format, "a data file in the header's own folder", found)
            .hint("put both files into one folder, and name the data file in the header without a path"));
    }
    Ok(path.parent().unwrap_or(Path::new("")).join(named))
}
