//! `polycl`: from a folder of CT scans to a segmentation model. See ARCHITECTURE.md.

mod cli;
mod commands;
mod talk;

fn main() -> std::process::ExitCode {
    cli::main()
}
