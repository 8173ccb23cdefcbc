//! What the targets share: memory that is watched, and a folder for files.

mod file;
mod folder;
mod memory;

pub use file::check_file;
pub use folder::Folder;
pub use memory::proportionate;
