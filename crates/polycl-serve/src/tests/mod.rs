//! The server as clients meet it: each item of safety and of bad input, and a person's way through a scan.

mod bad_input;
mod drawing;
mod monai;
mod nnia;
mod nninteractive;
mod rounds;
mod safety;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request as Asked, StatusCode};
use glam::{DAffine3, DMat3, DVec3};
use polycl_app::fetch::Environment;
use polycl_image::{Space, Volume, nifti};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::desk::Desk;
use crate::guard::Guard;
use crate::{Request, guarded};

pub const HOST: &str = "127.0.0.1:8765";
pub const SHAPE: [usize; 3] = [20, 16, 8];

/// A folder of scans, and a server for it that no socket is needed for.
pub struct Server {
    pub folder: tempfile::TempDir,
    pub desk: Arc<Desk>,
    pub router: Router,
    pub token: String,
}

pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The code of a refusal.
    pub fn code(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

pub fn request(folder: &Path) -> Request {
    Request {
        folder: folder.to_path_buf(),
        organs: vec!["liver".to_owned(), "spleen".to_owned()],
        weights: Some(PathBuf::from("no such weights")),
        environment: Environment([("POLYCL_SALT".into(), folder.join(".salt").into())].into()),
        ..Request::default()
    }
}

/// A scan whose file runs to the right, to the front and to the feet, slices last.
pub fn write_scan(path: &Path) {
    let affine = DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(0.8, 0.8, -2.0)));
    let space = Space::new(SHAPE, affine);
    let voxels = (0..space.voxels()).map(|at| (at % 1000) as f32 - 500.0).collect();
    nifti::write_image(path, &Volume { space, voxels }).unwrap();
}

impl Server {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_scan(&folder.path().join("first.nii.gz"));
        write_scan(&folder.path().join("second.nii.gz"));
        Self::of(folder)
    }

    pub fn of(folder: tempfile::TempDir) -> Self {
        let request = request(folder.path());
        Self::with(folder, request)
    }

    pub fn with(folder: tempfile::TempDir, request: Request) -> Self {
        let desk = Arc::new(Desk::new(request).unwrap());
        desk.list().unwrap();
        let guard = Arc::new(Guard::new(HOST.parse().unwrap(), None, &[]).unwrap());
        let token = guard.token().to_owned();
        let router = guarded(&desk, guard);
        Self { folder, desk, router, token }
    }

    /// The same folder after a kill: nothing was put away.
    pub fn again(self) -> Self {
        let Self { folder, desk, router, .. } = self;
        let request = desk.request.clone();
        drop((router, desk));
        Self::with(folder, request)
    }

    pub async fn ask(&self, asked: Asked<Body>) -> Answered {
        let response = self.router.clone().oneshot(asked).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 1 << 30).await.unwrap().to_vec();
        Answered { status, headers, bytes }
    }

    pub fn builder(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let bearer = format!("Bearer {}", self.token);
        Asked::builder().method(method).uri(path).header("host", HOST).header("authorization", bearer)
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.ask(self.builder("GET", path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        let builder = self.builder("POST", path).header("content-type", "application/json");
        self.ask(builder.body(Body::from(body.to_string())).unwrap()).await
    }

    /// The id of a scan by its name.
    pub async fn id(&self, name: &str) -> String {
        let rows = self.get("/api/scans").await.json();
        let row = rows["scans"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned();
        row.unwrap_or_else(|| panic!("{name} in {rows}"))["id"].as_str().unwrap().to_owned()
    }

    /// Opens a scan for a tab.
    pub async fn open(&self, name: &str, tab: &str) -> (String, Value) {
        let id = self.id(name).await;
        let opened = self.post(&format!("/api/scans/{id}/open"), json!({"tab": tab})).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.json());
        (id, opened.json())
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An edit of one run of an axial slice.
pub fn stroke(seq: u64, label: u16, z: usize, start: u32, length: u32) -> Value {
    json!({"tab": "a", "seq": seq, "plane": "axial", "label": label, "quiet": true,
           "planes": [{"k": z, "set": [[start, length]]}]})
}
