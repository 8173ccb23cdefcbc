//! The workbench: a folder of scans served to a page in a browser, in which a person draws, a network follows, and every
//! change is on disk before it is acknowledged. API.md is what the page relies on.

mod change;
mod desk;
mod document;
mod doors;
mod edit;
mod embed;
mod export;
mod folder;
mod given_mask;
mod guard;
mod hub;
mod interpolate;
mod journal;
mod labels;
mod locked;
mod marks;
mod monai;
pub mod multipart;
mod nninteractive;
mod page;
mod publish;
mod queue;
mod recognise;
mod refusal;
mod rounds;
mod routes;
mod runs;
mod scan;
mod settings;
mod step;
mod surface;
mod thumbnail;
mod view;
mod waited;
mod work;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::{Router, middleware};
use polycl_app::phantom;
use polycl_base::{Error, Result, Subject, Watch};
use polycl_phantom::Domain;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use desk::Desk;
pub use doors::Door;
use guard::Guard;
pub use nninteractive::nnia;
pub use settings::Request;

/// Patients of a demo, and the side of their slices, on which LiteMedSAM works.
const PATIENTS: usize = 6;
const SIDE: usize = 256;
/// The time that requests at work have to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// The address of the page; watchers hear it as soon as it is served.
#[derive(Debug, Clone)]
pub struct Address {
    /// With the token.
    pub url: String,
    /// With a token that is good for once, for a browser that is started.
    pub url_for_once: String,
}

/// Serves a folder until it is asked to stop.
///
/// # Errors
/// [`Request`](polycl_base::Kind::Request) where another server works on it, or a flag makes no sense; `Io` where the folder or the port
/// cannot be had; what listing the scans and loading networks says.
pub fn run(request: &Request, watch: &dyn Watch) -> anyhow::Result<()> {
    let request = if request.demo { demo(request, watch)? } else { request.clone() };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(32).build()?;
    let served = runtime.block_on(serve(request, watch));
    // Streams of pages that never read would hold it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(served?)
}

async fn serve(request: Request, watch: &dyn Watch) -> Result<()> {
    let desk = Arc::new(Desk::new(request)?);
    let request = &desk.request;
    let ip = request.listen.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |(ip, _)| *ip);
    let wanted = SocketAddr::new(ip, request.port);
    let failed = |e: std::io::Error| {
        Error::io(Subject::Address(wanted.to_string().into()), "listen there", &e)
            .hint("choose another --port")
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let guard = Arc::new(Guard::new(address, request.listen.as_ref(), &request.host_names)?);
    let host = reached(ip, address.port());
    desk.sign(&format!("http://{host}"))?;
    let url = |token: &str| format!("http://{host}/?token={token}");
    let told = Address { url: url(guard.token()), url_for_once: url(&guard.token_for_once()?) };
    let doors = doors::open(&desk, &guard, ip).await?;
    let router = guarded(&desk, guard);
    let keeper = {
        let desk = Arc::clone(&desk);
        std::thread::spawn(move || rounds::keep(&desk))
    };
    let lister = {
        let desk = Arc::clone(&desk);
        std::thread::spawn(move || {
            let listed = desk.list();
            if listed.is_ok() {
                embed::run(&desk);
            }
            listed
        })
    };
    watch.partial(&told);
    let tasks = Vec::from_iter(doors.into_iter().map(|(door, task)| {
        watch.partial(&door);
        task
    }));
    let (end, ended) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async { drop(ended.await) });
    let server = tokio::spawn(server.into_future());
    stopped(&desk, watch, &lister).await;
    let _ = end.send(());
    // Clients find an ended server again as they do one that was never there.
    tasks.iter().for_each(JoinHandle::abort);
    // What is acknowledged is stored: nobody loses anything who is cut off.
    let _ = tokio::time::timeout(PATIENCE, server).await;
    rounds::end(&desk);
    let _ = keeper.join();
    let listed = lister.join().unwrap_or(Ok(()));
    put_all_away(&desk)?;
    listed
}

/// The address by which this computer reaches the server.
fn reached(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }, port)
}

/// Ends when it is asked to, or when there is nothing to serve.
async fn stopped(desk: &Arc<Desk>, watch: &dyn Watch, lister: &std::thread::JoinHandle<Result<()>>) {
    while (desk.is_listed() || !lister.is_finished()) && !watch.stop() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    desk.stopping.store(true, Ordering::Relaxed);
    desk.hub.close();
}

/// Waits for jobs to end in order, and writes what is open.
fn put_all_away(desk: &Desk) -> Result<()> {
    for id in desk.all_open() {
        let Some(scan) = desk.opened(&id) else { continue };
        while locked::locked(&scan.job).is_some() {
            std::thread::sleep(Duration::from_millis(20));
        }
        publish::put_away(desk, &scan)?;
    }
    Ok(())
}

fn guarded(desk: &Arc<Desk>, guard: Arc<Guard>) -> Router {
    routes::all(Arc::clone(desk)).layer(middleware::from_fn_with_state(guard, guard::check))
}

/// A cohort of phantoms in the folder, made if it is not there.
fn demo(request: &Request, watch: &dyn Watch) -> anyhow::Result<Request> {
    let images = request.folder.join("images");
    if !images.is_dir() {
        let cohort = phantom::Request {
            out: request.folder.clone(),
            patients: PATIENTS,
            first: 0,
            domain: Domain::A,
            size: SIDE,
            seed: 0,
        };
        watch.note("making phantoms…");
        phantom::run(&cohort, watch)?;
    }
    let out = request.out.clone().or_else(|| Some(request.folder.join("polycl")));
    Ok(Request { folder: images, out, ..request.clone() })
}

#[cfg(test)]
mod tests;
