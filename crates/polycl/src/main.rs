//! `polycl`: from a folder of CT scans to a segmentation model. See ARCHITECTURE.md.

mod cli;
mod commands;
mod ended;
mod live;
mod memory;
mod steer;
mod stop;
mod talk;
mod terminal;
mod words;

fn main() -> std::process::ExitCode {
    memory::keep_freed_pages();
    cli::main()
}
