//! `polycl`: from a folder of CT scans to a segmentation model. See ARCHITECTURE.md.

mod cli;
mod commands;
mod curve;
mod fetch;
mod memory;
mod montage;
mod picture;
mod report;
mod stop;
mod study;
mod surface;
mod talk;

fn main() -> std::process::ExitCode {
    memory::keep_freed_pages();
    cli::main()
}
