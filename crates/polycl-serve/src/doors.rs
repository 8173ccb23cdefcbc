//! Ports of their own for clients of other programs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use polycl_base::{Error, Result, Subject};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::desk::Desk;
use crate::guard::Guard;
use crate::{monai, nninteractive, reached};

/// The way in for clients of another program; watchers hear of it as soon as they are served.
#[derive(Debug, Clone)]
pub struct Door {
    pub program: &'static str,
    pub address: String,
    /// The key that they are asked for.
    pub key: String,
}

/// Serves the clients that the request wants, until their tasks are aborted.
///
/// # Errors
/// [`Kind::Io`](polycl_base::Kind::Io) where a port cannot be had.
pub async fn open(desk: &Arc<Desk>, guard: &Guard, ip: IpAddr) -> Result<Vec<(Door, JoinHandle<()>)>> {
    let mut doors = Vec::new();
    if let Some(port) = desk.request.nninteractive {
        let (told, listener, guard) =
            bound(desk, guard, (ip, port), ("nnInteractive", "--nninteractive")).await?;
        let door = nninteractive::Door::new(desk, nninteractive::Times::default());
        let router = nninteractive::routes(&door, Arc::new(guard));
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router).into_future() => {}
                () = door.sweep() => {}
            }
        });
        doors.push((told, task));
    }
    if let Some(port) = desk.request.monai {
        let (told, listener, guard) = bound(desk, guard, (ip, port), ("MONAI Label", "--monai")).await?;
        let router = monai::routes(monai::Door::new(desk, guard));
        // It ends with the runtime, or is cut off.
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        doors.push((told, task));
    }
    Ok(doors)
}

/// Takes a port for a program's clients, who are told the same key as the page.
async fn bound(
    desk: &Desk,
    guard: &Guard,
    (ip, port): (IpAddr, u16),
    (program, flag): (&'static str, &str),
) -> Result<(Door, TcpListener, Guard)> {
    let wanted = SocketAddr::new(ip, port);
    let failed = |e: std::io::Error| {
        Error::io(Subject::Address(wanted.to_string().into()), "listen there", &e)
            .hint(format!("choose another port behind {flag}"))
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let guard = guard.beside(address, &desk.request.host_names);
    let address = format!("http://{}", reached(ip, address.port()));
    Ok((Door { program, address, key: guard.token().to_owned() }, listener, guard))
}
