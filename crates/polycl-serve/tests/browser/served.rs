//! A server in a thread of its own.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use polycl_base::Watch;
use polycl_serve::{Address, Request};

pub struct Served {
    pub url: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Watching {
    stop: Arc<AtomicBool>,
    address: Sender<Address>,
}

impl Watch for Watching {
    fn partial(&self, result: &dyn Any) {
        if let Some(address) = result.downcast_ref::<Address>() {
            self.address.send(address.clone()).unwrap();
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The program of `polycl`, where it is built beside the tests.
pub fn program() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
    let program = folder.join(format!("polycl{}", std::env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

impl Served {
    pub fn start(folder: &Path) -> Self {
        let request = Request {
            folder: folder.to_owned(),
            program: program(),
            organs: vec!["liver".to_owned()],
            cache_limit: 1 << 30,
            ..Request::default()
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (address, told) = channel();
        let watch = Watching { stop: Arc::clone(&stop), address };
        let thread = std::thread::spawn(move || polycl_serve::run(&request, &watch).unwrap());
        let url = told.recv_timeout(Duration::from_secs(60)).unwrap().url;
        Self { url, stop, thread }
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
