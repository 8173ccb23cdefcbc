//! What the targets share: memory that is watched, and a folder for files.

mod folder;
mod memory;

pub use folder::Folder;
pub use memory::proportionate;
