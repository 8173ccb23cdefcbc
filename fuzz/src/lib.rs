//! Parts that targets share: memory that is watched, a folder for files, a zip file around a pickle.

mod file;
mod folder;
mod memory;

pub use file::check_file;
pub use folder::Folder;
pub use memory::proportionate;
