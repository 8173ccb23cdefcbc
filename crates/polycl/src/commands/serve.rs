use std::any::Any;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use polycl_app::fetch::Environment;
use polycl_base::Watch;
use polycl_nn::propagate::NetworkName;
use polycl_serve::{Address, Door, Request, run as serve};

use crate::ended::Ended;
use crate::talk;
use crate::terminal::Terminal;

/// Open the workbench: draw, propagate and review in a browser
///
/// Serves the scans of a folder to a page on this computer. A person draws in it, a network follows what is drawn
/// through the scan, and the person corrects and accepts. Every stroke is on disk before it is acknowledged. Masks
/// are written to masks/ of the results folder, with reviewed.csv, which says who drew what. Nothing is
/// downloaded: `polycl fetch litemedsam` gets the weights. Ctrl-C ends the server.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  polycl serve scans/ --organs liver,spleen
  polycl serve tryout/ --demo")]
pub struct Args {
    /// Folder of scans: files of any format, DICOM series
    folder: PathBuf,
    /// Folder of masks to correct, named like the scans
    #[arg(long, value_name = "DIR")]
    labels: Option<PathBuf>,
    /// Folder for everything that is written [default: FOLDER/polycl]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 8765)]
    port: u16,
    /// Labels that every scan begins with: liver,spleen
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    organs: Vec<String>,
    /// Network to propagate with [default: litemedsam]
    #[arg(long, value_name = "NAME")]
    model: Option<NetworkName>,
    /// Weights of that network [default: those from `polycl fetch`]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Run of `polycl finetune`, to begin with its predictions
    #[arg(long, value_name = "RUN")]
    network: Option<PathBuf>,
    /// Serve phantom patients, which are made in FOLDER
    #[arg(long)]
    demo: bool,
    /// Print the address only, and start no browser
    #[arg(long)]
    no_browser: bool,
    /// Address for others on the network to reach [default: this computer alone]
    #[arg(long, value_name = "ADDRESS", requires = "token")]
    listen: Option<IpAddr>,
    /// Secret that others open the page with: 16 or more letters, digits and dashes
    #[arg(long, value_name = "SECRET", requires = "listen")]
    token: Option<String>,
    /// Further name by which browsers may call this computer; repeat for several
    #[arg(long, hide_short_help = true, value_name = "NAME")]
    host_name: Vec<String>,
    /// Serve nnInteractive's clients, 3D Slicer and napari among them, on a port of their own [default: 1527]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1527")]
    nninteractive: Option<u16>,
    /// Serve MONAI Label's clients, 3D Slicer among them, on a port of their own [default: 8000]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8000")]
    monai: Option<u16>,
    /// Gigabytes of embeddings to keep, so that prompts are answered at once
    #[arg(long, value_name = "GB", default_value_t = 4.0)]
    cache_limit: f64,
}

/// The terminal, and the browser that is started.
struct Front {
    terminal: Terminal,
    browser: bool,
}

impl Watch for Front {
    fn note(&self, text: &str) {
        self.terminal.note(text);
    }

    fn step(&self, done: usize, of: usize) {
        self.terminal.step(done, of);
    }

    fn partial(&self, result: &dyn Any) {
        if let Some(Door { program, address, key }) = result.downcast_ref() {
            talk::note(format_args!("{program} clients connect to {address} with the key {key}"));
        }
        let Some(Address { url, url_for_once }) = result.downcast_ref() else { return };
        talk::note(format_args!("the workbench is at {url}\nCtrl-C ends it; all that is drawn stays"));
        if self.browser && !browse(url_for_once) {
            talk::note("no browser was started; open the address yourself");
        }
    }

    fn stop(&self) -> bool {
        self.terminal.stop()
    }
}

/// Starts a browser; false where there is none to start.
fn browse(url: &str) -> bool {
    let (program, first) = match std::env::consts::OS {
        "macos" => ("open", None),
        "windows" => ("rundll32", Some("url.dll,FileProtocolHandler")),
        _ => ("xdg-open", None),
    };
    let mut command = Command::new(program);
    command.args(first).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

pub fn run(args: Args) -> anyhow::Result<Ended> {
    anyhow::ensure!(
        args.cache_limit.is_finite() && args.cache_limit >= 0.0,
        "--cache-limit: expected gigabytes from 0, found {}",
        args.cache_limit
    );
    let request = Request {
        folder: args.folder,
        labels: args.labels,
        out: args.out,
        port: args.port,
        organs: args.organs,
        model: args.model,
        weights: args.weights,
        network: args.network,
        demo: args.demo,
        program: std::env::current_exe().ok(),
        listen: args.listen.zip(args.token),
        host_names: args.host_name,
        nninteractive: args.nninteractive,
        monai: args.monai,
        environment: Environment::of_process(),
        cache_limit: (args.cache_limit * 1e9) as u64,
    };
    serve(&request, &Front { terminal: Terminal::new("serve"), browser: !args.no_browser })?;
    talk::note("stopped; run the same command again to go on");
    Ok(Ended::Done)
}
