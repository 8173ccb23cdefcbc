//! nnInteractive's clients, as their requests come: who is let in, and answers in time from a network that is slow.

use std::time::{Duration, Instant};

use axum::http::Method;
use polycl_app::fetch;

use super::*;
use crate::nninteractive::nnia::{Array, write};
use crate::nninteractive::{Door, Times, routes};

const DOOR: &str = "127.0.0.1:1527";
/// Columns, rows and slices of a scan with a bright rod in it.
const ROD: [usize; 3] = [64, 56, 10];

struct Client {
    router: Router,
    key: String,
    lease: String,
}

impl Client {
    fn new(server: &Server, times: Times) -> Self {
        let door = Door::new(&server.desk, times);
        let guard = Guard::new(HOST.parse().unwrap(), None, &[]).unwrap().beside(DOOR.parse().unwrap(), &[]);
        let key = guard.token().to_owned();
        Self { router: routes(&door, Arc::new(guard)), key, lease: String::new() }
    }

    fn builder(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let bearer = format!("Bearer {}", self.key);
        let builder = Asked::builder().method(method).uri(path).header("host", DOOR);
        builder.header("authorization", bearer).header("x-lease-token", &self.lease)
    }

    async fn ask(&self, asked: Asked<Body>) -> Answered {
        let response = self.router.clone().oneshot(asked).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 1 << 30).await.unwrap().to_vec();
        Answered { status, headers, bytes }
    }

    async fn post(&self, path: &str, meta: Value, body: impl Into<Body>) -> Answered {
        let builder = self.builder(Method::POST, path).header("x-meta", meta.to_string());
        self.ask(builder.body(body.into()).unwrap()).await
    }

    async fn claim(&mut self) {
        let claimed = self.post("/claim", json!({}), "").await;
        assert_eq!(claimed.status, StatusCode::OK, "{}", claimed.json());
        self.lease = claimed.json()["lease_token"].as_str().unwrap().to_owned();
    }

    /// Puts a prediction's values into what was shown before; true if more is to come.
    fn show(answer: &Answered, shown: &mut [u8]) -> bool {
        let meta: Value = serde_json::from_slice(answer.headers["x-meta"].as_bytes()).unwrap();
        let goes_on = meta["polycl"]["goes_on"].as_bool().unwrap();
        if meta["bbox"].is_null() {
            assert!(answer.bytes.is_empty());
            return goes_on;
        }
        let [[z0, z1], [y0, y1], [x0, x1]]: [[usize; 2]; 3] =
            serde_json::from_value(meta["bbox"].clone()).unwrap();
        let array = Array::read(&answer.bytes, shown.len()).unwrap();
        assert_eq!(array.shape, [z1 - z0, y1 - y0, x1 - x0]);
        let mut values = array.truths().into_iter();
        for z in z0..z1 {
            for y in y0..y1 {
                let row = ROD[0] * (y + ROD[1] * z);
                shown[row + x0..row + x1]
                    .iter_mut()
                    .zip(&mut values)
                    .for_each(|(own, value)| *own = value.into());
            }
        }
        goes_on
    }
}

#[test]
fn those_without_the_key_and_from_other_pages_are_refused() {
    runtime().block_on(async {
        let server = Server::new();
        let client = Client::new(&server, Times::default());
        let bare = || Asked::builder().method(Method::POST).uri("/claim").header("host", DOOR);
        let keyless = client.ask(bare().body(Body::empty()).unwrap()).await;
        assert_eq!((keyless.status, keyless.json()["detail"].is_string()), (StatusCode::UNAUTHORIZED, true));
        let elsewhere = client.builder(Method::POST, "/claim").header("origin", "http://example.org");
        assert_eq!(client.ask(elsewhere.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
        let bearer = format!("Bearer {}", client.key);
        let rebound = Asked::builder().uri("/capabilities").header("host", "example.org:1527");
        let rebound = client.ask(rebound.header("authorization", bearer).body(Body::empty()).unwrap()).await;
        assert_eq!(rebound.status, StatusCode::FORBIDDEN);
        let alive = Asked::builder().uri("/healthz").header("host", DOOR).body(Body::empty()).unwrap();
        assert_eq!(client.ask(alive).await.json(), json!({"ok": true}));
        // There are no weights here, which is told before anything is sent.
        server.desk.load();
        let claimed = client.post("/claim", json!({}), "").await;
        assert_eq!(claimed.status, StatusCode::CONFLICT);
        assert!(claimed.json()["detail"].as_str().unwrap().contains("weights"), "{}", claimed.json());
        assert_eq!(client.post("/set_image", json!({}), "").await.status, StatusCode::GONE);
    });
}

/// A scan with a rod that leans over, and the rod in one of its slices.
fn write_rod(path: &Path) -> Vec<u8> {
    let affine = DAffine3::from_mat3(DMat3::from_diagonal(DVec3::new(-1.0, -1.0, 2.5)));
    let space = Space::new(ROD, affine);
    let [nx, ny, _] = ROD;
    let is_rod = |at: usize| {
        let [x, y, z] = [at % nx, at / nx % ny, at / nx / ny].map(|at| at as f32);
        ((x - 24.0 - z / 3.0).powi(2) + (y - 26.0).powi(2)).sqrt() < 9.0
    };
    let hu = |at: usize| if is_rod(at) { 120.0 } else { (at % 7) as f32 - 40.0 };
    let voxels = (0..space.voxels()).map(hu).collect();
    nifti::write_image(path, &Volume { space, voxels }).unwrap();
    (0..nx * ny).map(|pixel| u8::from(is_rod(pixel + 4 * nx * ny))).collect()
}

/// Draws the rod in a slice, and asks until there is nothing new; the volume, and how often it was asked.
async fn follow(times: Times) -> (Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rod.nii.gz");
    let slice = write_rod(&path);
    let request = Request { weights: None, cache_limit: 1 << 30, ..request(folder.path()) };
    let server = Server::with(folder, request);
    let mut client = Client::new(&server, times);
    client.claim().await;
    let image = nifti::read_image(&path).unwrap();
    let bytes: Vec<u8> = image.voxels.iter().map(|hu| (*hu + 100.0) as u8).collect();
    let [x, y, z] = ROD;
    // Other voxels are another image: this one is not known.
    let unknown = client.post("/set_image", json!({}), Body::from(write_image(&bytes))).await;
    assert_eq!(unknown.json()["polycl"]["scan"], Value::Null);
    let floats: Vec<u8> = image.voxels.iter().flat_map(|hu| hu.to_le_bytes()).collect();
    let known = client.post("/set_image", json!({}), Body::from(float_image(&floats))).await;
    assert_eq!(known.json()["polycl"]["scan"], "rod", "{}", known.json());
    assert_eq!(known.json()["original_image_shape"], json!([1, z, y, x]));
    let mut shown = vec![0; x * y * z];
    let meta = json!({"include_interaction": true, "interaction_bbox": [[4, 5], [0, y], [0, x]]});
    let began = Instant::now();
    let mut answer = client.post("/add_lasso_interaction", meta, Body::from(write([1, y, x], &slice))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
    assert!(began.elapsed() < times.patience + Duration::from_secs(10), "{:?}", began.elapsed());
    let mut asked = 0;
    while Client::show(&answer, &mut shown) {
        asked += 1;
        answer = client.post("/predict", json!({}), "{}").await;
    }
    let id = server.id("rod").await;
    let scan = server.desk.opened(&id).unwrap();
    let of_document: Vec<u8> =
        scan.peek(|sheet| sheet.document.mask.iter().map(|label| u8::from(*label == 1)).collect());
    // The file runs to the left and to the back, as the document does.
    assert!(of_document == shown, "the client shows what the workbench has");
    client.post("/release", json!({}), "").await;
    assert_eq!(client.post("/heartbeat", json!({}), "").await.status, StatusCode::GONE);
    assert!(scan.holder(&server.desk.hub).is_none(), "the pen is free");
    (shown, asked)
}

/// An image of one channel as bytes.
fn write_image(bytes: &[u8]) -> Vec<u8> {
    let mut packed = write([ROD[2], ROD[1], ROD[0]], bytes);
    packed[6] = 4;
    packed.splice(13..13, 1_u64.to_le_bytes());
    packed
}

/// An image of one channel as floats.
fn float_image(bytes: &[u8]) -> Vec<u8> {
    let mut packed = write_image(bytes);
    packed[7] = 7;
    packed.splice(8..13, *b"float32");
    packed
}

/// Passed over where `polycl fetch litemedsam` was not run.
#[test]
fn a_slow_network_answers_in_time_and_goes_on() {
    if fetch::needed("litemedsam").is_err() {
        return;
    }
    runtime().block_on(async {
        let (at_once, _) = follow(Times { patience: Duration::from_secs(300), ..Times::default() }).await;
        // Slower by far than what is waited for.
        let (bit_by_bit, asked) =
            follow(Times { patience: Duration::from_millis(400), ..Times::default() }).await;
        assert!(at_once == bit_by_bit, "the same volume, however often it was stopped");
        assert!(asked > 2, "{asked} answers");
        let slices = at_once.chunks(ROD[0] * ROD[1]).filter(|slice| slice.contains(&1)).count();
        assert!(slices > 6, "the rod is followed: {slices} slices");
    });
}
