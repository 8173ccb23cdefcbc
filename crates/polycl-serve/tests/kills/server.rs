//! A server in a process of its own, which can be killed: this test program, run again.

use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use polycl_app::fetch::Environment;
use polycl_base::Watch;
use polycl_serve::{Address, Request};

use super::client::Client;

const FOLDER: &str = "POLYCL_TEST_SERVES";

pub struct Server {
    child: Arc<Mutex<Child>>,
    client: Client,
}

/// The program of `polycl`, where it is built beside the tests.
pub fn program() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
    let program = folder.join(format!("polycl{}", std::env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

/// Not a test: the server itself, where the variable says so. It ends when its input does.
#[test]
fn serve_where_asked() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let request = Request {
        folder: PathBuf::from(folder),
        organs: vec!["liver".to_owned(), "spleen".to_owned()],
        cache_limit: 1 << 28,
        program: program(),
        environment: Environment::of_process(),
        ..Request::default()
    };
    polycl_serve::run(&request, &Spoken).unwrap();
}

struct Spoken;

impl Watch for Spoken {
    fn partial(&self, result: &dyn Any) {
        if let Some(Address { url, .. }) = result.downcast_ref() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nserved at {url}").and_then(|()| out.flush()).unwrap();
        }
    }

    /// The parent has closed the pipe.
    fn stop(&self) -> bool {
        static ENDED: std::sync::OnceLock<Arc<std::sync::atomic::AtomicBool>> = std::sync::OnceLock::new();
        let ended = ENDED.get_or_init(|| {
            let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let set = Arc::clone(&ended);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                set.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            ended
        });
        ended.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Server {
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::serve_where_asked", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut urls =
            lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("served at ")?.to_owned()));
        let url = urls.next().expect("the server starts");
        // What the test program says at its end needs somebody who reads it.
        std::thread::spawn(move || urls.for_each(drop));
        let rest = url.strip_prefix("http://").unwrap();
        let (address, token) = rest.split_once("/?token=").unwrap();
        let client = Client { address: address.to_owned(), token: token.to_owned() };
        Self { child: Arc::new(Mutex::new(child)), client }
    }

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Kills the server after a while, from another thread.
    pub fn kill_after(&self, wait: Duration) -> JoinHandle<()> {
        let child = Arc::clone(&self.child);
        std::thread::spawn(move || {
            std::thread::sleep(wait);
            let mut child = child.lock().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        })
    }

    /// Ends the server in order.
    pub fn stop(&self) {
        let mut child = self.child.lock().unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    /// Megabytes that the server takes.
    pub fn memory(&self) -> u64 {
        let id = self.child.lock().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|text| text.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
    }
}
