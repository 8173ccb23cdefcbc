//! nnInteractive's protocol, version 2: what its clients ask of a server, and so 3D Slicer's and napari's plug-ins.

pub mod blosc2;
mod follow;
mod lease;
pub mod nnia;
mod object;
mod session;
mod turn;
mod upload;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use futures_core::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::desk::Desk;
use crate::guard::{self, Guard};
use crate::hub::Events;
use crate::locked::locked;
use crate::refusal::{Answer, Refusal, detailed};
use crate::routes::{apart, json, whole};
use crate::{waited, work};
pub use lease::Times;
use lease::{CLIENTS, Lease, Leases};
use nnia::Array;
use session::{Block, News, Session};
use turn::{How, Turn};

const META: &str = "x-meta";
const TOKEN: &str = "x-lease-token";
/// Bytes of a body that is JSON, of a mask, and of an image.
const SMALL: usize = 256 << 10;
const MASK: usize = 1 << 30;
const IMAGE: usize = 4 << 30;
/// Voxels of an image: a thousand in each direction.
const VOXELS: usize = 1 << 30;
/// The time that a network has to end for an image that nobody needs any more.
const STOP: Duration = Duration::from_secs(10);
/// Seconds after which a client may ask for a place again.
const RETRY: u64 = 10;
/// The version of the protocol's first server that spoke it as this one does.
const VERSION: &str = "2.6.0";

/// What is served to clients, and the masks that they were told of labels, by scan.
pub struct Door {
    desk: Arc<Desk>,
    leases: Leases,
    told: Mutex<BTreeMap<String, BTreeMap<u16, Vec<u8>>>>,
}

type Shared = State<Arc<Door>>;

impl Door {
    pub fn new(desk: &Arc<Desk>, times: Times) -> Arc<Self> {
        // Images of a server before are of no use to anybody.
        let _ = std::fs::remove_dir_all(desk.sent_folder());
        Arc::new(Self { desk: Arc::clone(desk), leases: Leases::new(times), told: Mutex::default() })
    }

    fn remember(&self, scan: &str, label: u16, mask: Vec<u8>) {
        locked(&self.told).entry(scan.to_owned()).or_default().insert(label, mask);
    }

    fn told(&self, scan: &str) -> BTreeMap<u16, Vec<u8>> {
        locked(&self.told).get(scan).cloned().unwrap_or_default()
    }

    /// Ends leases: their pens are free, and images are forgotten that nobody else works on.
    fn end(&self, leases: &[Arc<Lease>]) {
        for lease in leases {
            lease.listen(None);
            // One that works is waited for.
            *locked(&lease.session) = None;
            self.leave(lease);
        }
    }

    /// Gives the pen of a lease's scan back.
    fn leave(&self, lease: &Lease) {
        let Some(id) = locked(&lease.scan).take() else { return };
        let is_used = self.leases.all().iter().any(|other| locked(&other.scan).as_ref() == Some(&id));
        let is_over = !is_used && self.desk.entry(&id).is_ok_and(|entry| entry.is_sent());
        if is_over && let Some(scan) = self.desk.opened(&id) {
            work::stop(&scan);
            // One that does not end loses nothing that anybody wants.
            let _ = waited::rests(&scan, Instant::now() + STOP);
        }
        if let Err(error) = self.desk.leave(&id, &lease.tab) {
            self.desk.trouble(Some(&id), &error.to_string());
        }
        if is_over {
            self.desk.forget(&id);
            locked(&self.told).remove(&id);
        }
    }

    /// Ends what is over, again and again.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.leases.times.liveness / 4).await;
            let over = self.leases.sweep(Instant::now());
            if !over.is_empty() {
                let door = Arc::clone(&self);
                let _ = tokio::task::spawn_blocking(move || door.end(&over)).await;
            }
        }
    }
}

/// All routes, for those who have the key; anybody may ask if the server is there.
pub fn routes(door: &Arc<Door>, guard: Arc<Guard>) -> Router {
    let known = Router::new()
        .route("/claim", post(claim))
        .route("/capabilities", get(capabilities))
        .route("/set_image", post(set_image))
        .route("/set_target_buffer", post(set_target_buffer))
        .route("/set_do_autozoom", post(set_do_autozoom))
        .route("/reset_interactions", post(reset))
        .route("/heartbeat", post(heartbeat))
        .route("/release", post(release))
        .route("/lease_status", get(status))
        .route("/add_point_interaction", post(point))
        .route("/add_bbox_interaction", post(bounds))
        .route("/add_lasso_interaction", post(lasso))
        .route("/add_scribble_interaction", post(scribble))
        .route("/add_initial_seg_interaction", post(seed))
        .route("/predict", post(predict))
        .route("/undo", post(undo))
        .fallback(|| async { Refusal::missing("no_such_route", "There is no such route.") })
        .with_state(Arc::clone(door))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::map_response(detailed));
    Router::new().route("/healthz", get(|| async { json(&json!({"ok": true})) })).merge(known)
}

fn bad(text: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", text.to_string())
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    serde_json::from_slice(bytes).map_err(|e| bad(format!("The body is not as the protocol says: {e}.")))
}

/// What stands beside an array.
fn meta<T: DeserializeOwned>(headers: &HeaderMap) -> Answer<T> {
    let text = headers.get(META).map_or(&b"{}"[..], HeaderValue::as_bytes);
    serde_json::from_slice(text).map_err(|e| bad(format!("X-Meta is not as the protocol says: {e}.")))
}

fn token(headers: &HeaderMap) -> &str {
    headers.get(TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default()
}

/// Does something on the object of a client.
async fn working(
    door: Arc<Door>,
    headers: HeaderMap,
    work: impl FnOnce(&mut Turn<'_>) -> Answer<Response> + Send + 'static,
) -> Answer<Response> {
    let until = Instant::now() + door.leases.times.patience;
    let lease = door.leases.find(token(&headers), true)?;
    apart(Arc::clone(&door.desk), move |_| {
        let mut session = locked(&lease.session);
        let session = session.as_mut().ok_or_else(|| {
            Refusal::conflict("no_image", "No image was sent yet.").hint("call set_image first")
        })?;
        let scan = door.desk.scan(&session.scan)?;
        scan.check_writer(&lease.tab, &door.desk.hub)?;
        let mut author = door.desk.author(&lease.tab);
        author.who.get_or_insert_with(|| "nnInteractive".to_owned());
        let mut turn = Turn { door: &door, desk: &door.desk, session, scan, author, until };
        let answer = work(&mut turn);
        turn.resume();
        answer
    })
    .await
}

/// The answer to an interaction: the part of the mask that has changed, and if more is to come.
fn prediction(turn: &mut Turn<'_>, ran: bool) -> Response {
    let news = if ran { turn.news() } else { None };
    let mut meta = json!({"ran_prediction": ran, "bbox": null});
    if ran {
        meta["polycl"] = json!({"goes_on": turn.session.going.is_some()});
    }
    let mut bytes = Vec::new();
    if let Some(News { block, values }) = news {
        let block: Block = [block[2], block[1], block[0]];
        let shape = block.map(|[from, to]| to - from);
        (meta["bbox"], meta["dtype"], meta["shape"]) = (json!(block), json!("uint8"), json!(shape));
        bytes = nnia::write(shape, &values);
    }
    let kind = "application/octet-stream".to_owned();
    ([(CONTENT_TYPE, kind), (META_NAME, meta.to_string())], bytes).into_response()
}

const META_NAME: axum::http::HeaderName = axum::http::HeaderName::from_static(META);

async fn claim(State(door): Shared, _: Bytes) -> Answer<Response> {
    apart(Arc::clone(&door.desk), move |desk| {
        desk.load();
        desk.needed_follower()?;
        door.end(&door.leases.sweep(Instant::now()));
        let times = door.leases.times;
        let Some(lease) = door.leases.claim()? else {
            let message = format!("All {CLIENTS} places are taken.");
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "full", message);
            return Ok(([(RETRY_AFTER, RETRY.to_string())], refusal).into_response());
        };
        Ok(json(&json!({
            "lease_token": lease.token,
            "idle_timeout_seconds": times.idle.as_secs_f64(),
            "liveness_timeout_seconds": times.liveness.as_secs_f64(),
            "max_sessions": CLIENTS,
        })))
    })
    .await
}

/// What helps, measured (docs/nninteractive.md): a network that has learnt boxes gets no scribbles, and clicks help too seldom to be
/// offered; those that are sent are answered.
async fn capabilities(State(door): Shared) -> Response {
    let network = door.desk.session("")["network"]["name"].clone();
    json(&json!({
        "supported_interactions":
            {"points": false, "bbox2d": true, "bbox3d": true, "scribble": false, "lasso": true},
        "channel_mapping": {},
        "num_interaction_channels": 0,
        "supports_initial_label": true,
        "supports_zero_shot_label_refinement": false,
        // napari asks for one of each axis, whether scribbles are there or not.
        "preferred_scribble_thickness": [1, 1, 1],
        "interaction_decay": null,
        "inference_session_version": VERSION,
        "license": format!("PolyCL: MIT or Apache-2.0; {}: see polycl fetch", network.as_str().unwrap_or_default()),
        "supports_undo": true,
        "do_autozoom": false,
        "patch_size": null,
    }))
}

/// Reads an image that a client sends, opens its scan, and listens to it, so that its slices are embedded.
async fn set_image(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize, Default)]
    struct Sent {
        #[serde(default)]
        image_properties: Properties,
    }
    #[derive(Deserialize, Default)]
    struct Properties {
        spacing: Option<[f64; 3]>,
    }
    let (parts, body) = request.into_parts();
    let bytes = whole(body, IMAGE).await?;
    let lease = door.leases.find(token(&parts.headers), true)?;
    let Sent { image_properties: Properties { spacing } } = meta(&parts.headers)?;
    let (served, own) = (Arc::clone(&door), Arc::clone(&lease));
    let (id, answer) = apart(Arc::clone(&door.desk), move |_| {
        let (door, lease) = (served, own);
        let array = Array::read(&bytes, VOXELS).map_err(bad)?;
        drop(bytes);
        let [1, z, y, x] = array.shape[..] else {
            let shape = &array.shape;
            return Err(bad(format!("An image has one channel and three axes, and this one {shape:?}.")));
        };
        let voxels = array.numbers();
        drop(array);
        let mut spacing = spacing.unwrap_or([1.0; 3]);
        spacing.reverse();
        if !spacing.iter().all(|side| side.is_finite() && *side > 0.0) {
            return Err(bad("The spacing has three sides above 0."));
        }
        let mut session = locked(&lease.session);
        *session = None;
        door.leave(&lease);
        let upload = upload::open(&door.desk, &lease.tab, [x, y, z], spacing, voxels)?;
        let entry = &upload.scan.entry;
        let note = match upload.is_known {
            true => "a scan of the folder: what is done is in the workbench, too",
            false => "no scan of the folder: worked on in the order of its indices, and forgotten in the end",
        };
        let scan = upload.is_known.then_some(&entry.name);
        let answer = json!({"original_image_shape": [1, z, y, x], "polycl": {"scan": scan, "note": note}});
        *locked(&lease.scan) = Some(entry.id.clone());
        *session = Some(Session::new(&upload, [x, y, z]));
        Ok((entry.id.clone(), answer))
    })
    .await?;
    let ear = door.desk.hub.listen(&lease.tab, Some(&id));
    lease.listen(ear.map(|events| tokio::spawn(hear(events)).abort_handle()));
    // One that ended while its image was read has nobody who would end it again.
    if let Err(gone) = door.leases.find(&lease.token, false) {
        let ended = Arc::clone(&door);
        apart(Arc::clone(&door.desk), move |_| {
            ended.end(&[lease]);
            Ok(())
        })
        .await?;
        return Err(gone);
    }
    Ok(json(&answer))
}

/// Hears events until there are no more.
async fn hear(mut events: Events) {
    while poll_fn(|context| Pin::new(&mut events).poll_next(context)).await.is_some() {}
}

async fn set_target_buffer(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Buffer {
        shape: [usize; 3],
    }
    let (parts, body) = request.into_parts();
    let Buffer { shape: [z, y, x] } = parsed(&whole(body, SMALL).await?)?;
    let lease = door.leases.find(token(&parts.headers), true)?;
    apart(Arc::clone(&door.desk), move |_| {
        let mut session = locked(&lease.session);
        if let Some(session) = session.as_mut() {
            if session.shape() != [x, y, z] {
                return Err(bad(format!("The mask has the sides of the image, and not {z}, {y}, {x}.")));
            }
            session.shown.fill(false);
        }
        Ok(json(&json!({})))
    })
    .await
}

/// There is no zoom: objects are followed through the whole scan.
async fn set_do_autozoom(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    door.leases.find(token(&headers), true)?;
    Ok(json(&json!({})))
}

async fn reset(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    let lease = door.leases.find(token(&headers), true)?;
    apart(Arc::clone(&door.desk), move |_| {
        if let Some(session) = locked(&lease.session).as_mut() {
            session.reset();
        }
        Ok(json(&json!({})))
    })
    .await
}

async fn heartbeat(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    let lease = door.leases.find(token(&headers), false)?;
    Ok(json(&json!({"remaining_seconds": door.leases.remaining(&lease)})))
}

async fn status(State(door): Shared, headers: HeaderMap) -> Answer<Response> {
    let lease = door.leases.peek(token(&headers))?;
    let idle = door.leases.times.idle.as_secs_f64();
    let remaining = door.leases.remaining(&lease);
    Ok(json(&json!({"remaining_seconds": remaining, "idle_timeout_seconds": idle})))
}

async fn release(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    let gone = door.leases.release(token(&headers));
    apart(Arc::clone(&door.desk), move |_| {
        door.end(gone.as_slice());
        Ok(json(&json!({"released": true})))
    })
    .await
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Prompted {
    include_interaction: bool,
    #[serde(default = "yes")]
    run_prediction: bool,
}

impl Prompted {
    fn how(&self) -> How {
        How { adds: self.include_interaction, follows: self.run_prediction }
    }
}

async fn point(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Sent {
        coordinates: [f64; 3],
        #[serde(flatten)]
        prompted: Prompted,
    }
    let (parts, body) = request.into_parts();
    let Sent { coordinates: [k, j, i], prompted } = parsed(&whole(body, SMALL).await?)?;
    let how = prompted.how();
    working(door, parts.headers, move |turn| {
        let shape = turn.session.shape();
        let at = [i, j, k].map(f64::round);
        if !at.iter().zip(shape).all(|(at, side)| (0.0..side as f64).contains(at)) {
            return Err(bad(format!("A point lies in the image, and not at {k}, {j}, {i}.")));
        }
        turn.point(at.map(|at| at as usize), how)?;
        Ok(prediction(turn, how.follows))
    })
    .await
}

async fn bounds(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Sent {
        bbox_coords: [[f64; 2]; 3],
        #[serde(flatten)]
        prompted: Prompted,
    }
    let (parts, body) = request.into_parts();
    let Sent { bbox_coords, prompted } = parsed(&whole(body, SMALL).await?)?;
    let how = prompted.how();
    working(door, parts.headers, move |turn| {
        let block = block(bbox_coords, turn.session.shape())?;
        turn.bounds(&block, how)?;
        Ok(prediction(turn, how.follows))
    })
    .await
}

/// The part of a box that lies in the image, with its axes as they run in memory.
fn block([k, j, i]: [[f64; 2]; 3], shape: [usize; 3]) -> Answer<Block> {
    let mut block = [i, j, k].map(|ends| ends.map(|end| end.round().clamp(0.0, 1e9) as usize));
    for (ends, side) in block.iter_mut().zip(shape) {
        ends[1] = ends[1].min(side);
        if ends[0] >= ends[1] {
            return Err(bad(format!("A box lies in the image, and not at {k:?}, {j:?}, {i:?}.")));
        }
    }
    Ok(block)
}

async fn lasso(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Sent {
        interaction_bbox: Option<[[f64; 2]; 3]>,
        #[serde(flatten)]
        prompted: Prompted,
    }
    let (parts, body) = request.into_parts();
    let bytes = whole(body, MASK).await?;
    let Sent { interaction_bbox, prompted } = meta(&parts.headers)?;
    let how = prompted.how();
    working(door, parts.headers, move |turn| {
        let shape = turn.session.shape();
        let array = Array::read(&bytes, turn.session.voxels()).map_err(bad)?;
        let whole = shape.map(|side| [0, side]);
        let asked = interaction_bbox.map(|asked| block(asked, shape)).transpose()?.unwrap_or(whole);
        let [x, y, z] = asked.map(|[from, to]| to - from);
        if array.shape != [z, y, x] {
            let shape = &array.shape;
            return Err(bad(format!(
                "The outline has the sides of its box, {z}, {y}, {x}, and not {shape:?}."
            )));
        }
        let Some((tight, inside)) = tight(&asked, &array.truths()) else {
            return Ok(prediction(turn, how.follows));
        };
        turn.lasso(&tight, &inside, how)?;
        Ok(prediction(turn, how.follows))
    })
    .await
}

/// The smallest block that holds all of a mask of a block, and the mask in it; nothing of one that is empty.
fn tight(block: &Block, inside: &[bool]) -> Option<(Block, Vec<bool>)> {
    let sides = block.map(|[from, to]| to - from);
    let place = |at: usize| [at % sides[0], at / sides[0] % sides[1], at / sides[0] / sides[1]];
    let mut ends: Option<Block> = None;
    for place in (0..inside.len()).filter(|&at| inside[at]).map(place) {
        let own = ends.get_or_insert(place.map(|at| [at, at + 1]));
        for (ends, at) in own.iter_mut().zip(place) {
            *ends = [ends[0].min(at), ends[1].max(at + 1)];
        }
    }
    let ends = ends?;
    let holds = |at: &usize| ends.iter().zip(place(*at)).all(|(ends, at)| (ends[0]..ends[1]).contains(&at));
    let kept = (0..inside.len()).filter(holds).map(|at| inside[at]).collect();
    Some(([0, 1, 2].map(|axis| ends[axis].map(|end| block[axis][0] + end)), kept))
}

/// Scribbles are not advertised: the network has learnt boxes.
async fn scribble(_: Bytes) -> Refusal {
    Refusal::senseless("no_scribbles", "Scribbles are of no use to this network.")
        .hint("draw a lasso or a box instead")
}

async fn seed(State(door): Shared, request: Request) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Sent {
        #[serde(default)]
        run_prediction: bool,
    }
    let (parts, body) = request.into_parts();
    let bytes = whole(body, MASK).await?;
    let Sent { run_prediction } = meta(&parts.headers)?;
    working(door, parts.headers, move |turn| {
        let array = Array::read(&bytes, turn.session.voxels()).map_err(bad)?;
        let [x, y, z] = turn.session.shape();
        if array.shape != [z, y, x] {
            let shape = &array.shape;
            return Err(bad(format!("A mask has the sides of its image, {z}, {y}, {x}, and not {shape:?}.")));
        }
        turn.halt();
        turn.can_go_back();
        turn.seed(array.truths())?;
        Ok(prediction(turn, run_prediction))
    })
    .await
}

/// What has come of a propagation that goes on.
async fn predict(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    working(door, headers, |turn| {
        turn.catch_up()?;
        Ok(prediction(turn, true))
    })
    .await
}

async fn undo(State(door): Shared, headers: HeaderMap, _: Bytes) -> Answer<Response> {
    working(door, headers, |turn| {
        let undone = turn.go_back()?;
        Ok(prediction(turn, undone))
    })
    .await
}
