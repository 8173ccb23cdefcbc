//! The routes of API.md. Whatever reads a disk or computes is done in a thread for such work.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use polycl_image::Plane;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::change;
use crate::desk::Desk;
use crate::document::{Act, Author, Label, Review, now};
use crate::edit::{Edit, removal};
use crate::export;
use crate::locked::locked;
use crate::page;
use crate::publish;
use crate::queue;
use crate::refusal::{Answer, Refusal};
use crate::rounds;
use crate::runs;
use crate::scan::{Focus, Scan};
use crate::work;

/// Bytes of a request's body, and of one with the pixels of an edit.
const SMALL: usize = 256 << 10;
const LARGE: usize = 8 << 20;
/// Axial planes in an answer.
const PLANES: usize = 64;
/// Characters of a name and of a note.
pub const NAME: usize = 80;
const NOTE: usize = 4000;
/// Seconds after which a stream says that it is there.
const ALIVE: u64 = 15;

type Shared = State<Arc<Desk>>;

pub fn all(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(|| async { page_file("") }))
        .route("/page/{name}", get(|Path(name): Path<String>| async move { page_file(&name) }))
        .route("/api/session", get(session).post(sign))
        .route("/api/scans", get(scans))
        .route("/api/events", get(events))
        .route("/api/export", post(export_masks))
        .route("/api/rounds", get(all_rounds).post(start_round))
        .route("/api/rounds/stop", post(stop_round))
        .route("/api/rounds/resume", post(resume_round))
        .route("/api/scans/{id}", get(scan))
        .route("/api/scans/{id}/open", post(open))
        .route("/api/scans/{id}/close", post(close))
        .route("/api/scans/{id}/thumbnail", get(thumbnail))
        .route("/api/scans/{id}/plane/{plane}/{k}", get(plane))
        .route("/api/scans/{id}/volume", get(volume))
        .route("/api/scans/{id}/mask", get(mask))
        .route("/api/scans/{id}/mask/{plane}/{k}", get(mask_plane))
        .route("/api/scans/{id}/surface", get(surface))
        .route("/api/scans/{id}/edits", post(edit).layer(DefaultBodyLimit::max(LARGE)))
        .route("/api/scans/{id}/undo", post(undo))
        .route("/api/scans/{id}/redo", post(redo))
        .route("/api/scans/{id}/interpolate", post(interpolate))
        .route("/api/scans/{id}/prompt", post(prompt))
        .route("/api/scans/{id}/propagate", post(propagate))
        .route("/api/scans/{id}/predict", post(predict))
        .route("/api/scans/{id}/stop", post(stop))
        .route("/api/scans/{id}/labels", post(labels))
        .route("/api/scans/{id}/remove", post(remove))
        .route("/api/scans/{id}/viewed", post(viewed))
        .route("/api/scans/{id}/focus", post(focus))
        .route("/api/scans/{id}/note", post(note))
        .route("/api/scans/{id}/review", post(review))
        .fallback(|| async { Refusal::missing("no_such_route", "There is no such route.") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The route takes another method.")
        })
        .layer(DefaultBodyLimit::max(SMALL))
        .with_state(desk)
}

fn page_file(name: &str) -> Response {
    match page::file(name) {
        Some(file) => ([(CONTENT_TYPE, file.kind)], file.bytes).into_response(),
        None => Refusal::missing("no_such_page", "There is no such page.").into_response(),
    }
}

/// A body, of so many bytes at most. Doors read all bodies before anything is answered, wanted or not: a connection that ends with
/// unread bytes is reset, and the client never sees the answer.
///
/// # Errors
/// `too_large`
pub async fn whole(body: Body, most: usize) -> Answer<Bytes> {
    to_bytes(body, most).await.map_err(|_| {
        let message = format!("The body did not arrive whole, or has more than {most} bytes.");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    })
}

/// Does work that may take a while in a thread for it.
pub async fn apart<T: Send + 'static>(
    desk: Arc<Desk>,
    work: impl FnOnce(&Arc<Desk>) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let done = tokio::task::spawn_blocking(move || work(&desk)).await;
    done.unwrap_or_else(|_| {
        Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "Something failed in a way that nobody foresaw.",
        ))
    })
}

/// A request's body, not read yet.
struct Sent {
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let headers = request.headers().clone();
        Ok(Self { headers, bytes: Bytes::from_request(request, state).await })
    }
}

impl Sent {
    /// The JSON in it.
    fn read<T: DeserializeOwned>(self) -> Answer<T> {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != "application/json" {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::new(status, "not_json", "The body must be of the type application/json."));
        }
        let bytes = self.bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is larger than the route takes.",
            ),
            _ => Refusal::new(StatusCode::BAD_REQUEST, "cut_off", "The body did not arrive whole."),
        })?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Refusal::new(StatusCode::BAD_REQUEST, "not_json", format!("The body is not as API.md says: {e}"))
        })
    }
}

/// Does something on a scan that the tab writes, in a thread for it.
async fn writing(
    desk: Arc<Desk>,
    id: String,
    tab: String,
    work: impl FnOnce(&Arc<Desk>, &Arc<Scan>, &Author) -> Answer<Response> + Send + 'static,
) -> Answer<Response> {
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        scan.check_writer(&tab, &desk.hub)?;
        work(desk, &scan, &desk.author(&tab))
    })
    .await
}

pub fn json(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn bytes(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
}

fn png(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "image/png")], bytes).into_response()
}

async fn session(State(desk): Shared, query: Query<BTreeMap<String, String>>) -> Response {
    json(&desk.session(query.get("tab").map_or("", String::as_str)))
}

async fn sign(State(desk): Shared, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Name {
        who: String,
        tab: Option<String>,
    }
    let Name { who, tab } = sent.read()?;
    tab.as_deref().map_or(Ok(()), check_tab)?;
    let who = who.trim().to_owned();
    if who.is_empty() || who.chars().count() > NAME || who.chars().any(char::is_control) {
        return Err(Refusal::senseless("who", format!("A name has 1 to {NAME} characters.")));
    }
    apart(desk, move |desk| {
        desk.set_who(tab.as_deref(), &who)?;
        Ok(json(&desk.session(tab.as_deref().unwrap_or_default())))
    })
    .await
}

async fn scans(State(desk): Shared) -> Answer<Response> {
    apart(desk, |desk| {
        let rows: Vec<Value> = queue::ordered(desk.entries()).iter().map(|entry| entry.row()).collect();
        Ok(json(&json!({"scans": rows, "listing": !desk.is_listed()})))
    })
    .await
}

#[derive(Deserialize)]
struct Listen {
    tab: String,
    scan: Option<String>,
}

async fn events(
    State(desk): Shared,
    asked: Result<Query<Listen>, axum::extract::rejection::QueryRejection>,
) -> Answer<Response> {
    let Ok(Query(Listen { tab, scan })) = asked else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no_tab", "The query names a tab."));
    };
    check_tab(&tab)?;
    let events = desk
        .hub
        .listen(&tab, scan.as_deref())
        .ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many pages listen."))?;
    // Only what is open is asked: reading a scan takes a while.
    let open = scan.as_deref().and_then(|id| desk.opened(id));
    let state =
        open.map(|scan| scan.peek(|sheet| (sheet.document.facts.revision, sheet.document.last_seq(&tab))));
    let (revision, seq) = state.unzip();
    events.greet("hello", &json!({"revision": revision, "last_seq": seq.flatten().unwrap_or(0)}));
    let alive = KeepAlive::new().interval(std::time::Duration::from_secs(ALIVE));
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

fn check_tab(tab: &str) -> Answer<()> {
    if tab.is_empty() || tab.len() > 64 {
        return Err(Refusal::senseless("no_tab", "A tab is named by 1 to 64 characters."));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Tab {
    tab: String,
}

async fn scan(
    State(desk): Shared,
    Path(id): Path<String>,
    query: Query<BTreeMap<String, String>>,
) -> Answer<Response> {
    let tab = query.get("tab").cloned();
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        Ok(json(&change::scan(desk, &scan, tab.as_deref())))
    })
    .await
}

async fn open(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Open {
        tab: String,
        #[serde(default)]
        take: bool,
    }
    let Open { tab, take } = sent.read()?;
    check_tab(&tab)?;
    apart(desk, move |desk| {
        let scan = desk.enter(&id, &tab, take)?;
        Ok(json(&change::scan(desk, &scan, Some(&tab))))
    })
    .await
}

async fn close(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    let Tab { tab } = sent.read()?;
    apart(desk, move |desk| {
        desk.entry(&id)?;
        desk.leave(&id, &tab)?;
        Ok(json(&json!({})))
    })
    .await
}

async fn thumbnail(State(desk): Shared, Path(id): Path<String>) -> Answer<Response> {
    apart(desk, move |desk| {
        let picture = std::fs::read(desk.entry(&id)?.thumbnail());
        picture.map(png).map_err(|_| Refusal::missing("no_thumbnail", "The picture is not made yet."))
    })
    .await
}

/// A plane that a path names.
fn place(plane: &str, k: &str, scan: &Scan) -> Answer<(Plane, usize)> {
    let missing = || Refusal::missing("no_such_slice", "The scan has no such plane.");
    let plane: Plane = plane.parse().map_err(|_| missing())?;
    let k = k.parse().ok().filter(|&k| k < scan.canonical.shape[plane as usize]).ok_or_else(missing)?;
    Ok((plane, k))
}

async fn plane(
    State(desk): Shared,
    Path((id, plane, k)): Path<(String, String, String)>,
) -> Answer<Response> {
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        let (plane, k) = place(&plane, &k, &scan)?;
        Ok(bytes(scan.stored.put(plane.order(&scan.image.space).plane(&scan.image, k))))
    })
    .await
}

async fn volume(
    State(desk): Shared,
    Path(id): Path<String>,
    query: Query<BTreeMap<String, String>>,
) -> Answer<Response> {
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    let Some((from, to)) = number("from").zip(number("to")) else {
        return Err(Refusal::senseless("no_range", "The query names the first and the last plane."));
    };
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        if from > to || to >= scan.canonical.shape[2] {
            return Err(Refusal::missing("no_such_slice", "The scan has no such planes."));
        }
        if to - from >= PLANES {
            return Err(Refusal::senseless("too_many", format!("At most {PLANES} planes are in an answer.")));
        }
        let planes = (from..=to).flat_map(|k| scan.order.plane(&scan.image, k));
        Ok(bytes(scan.stored.put(planes)))
    })
    .await
}

async fn mask(State(desk): Shared, Path(id): Path<String>) -> Answer<Response> {
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        let (revision, all) = scan
            .with(|sheet| (sheet.document.facts.revision, runs::encode(sheet.document.mask.iter().copied())));
        let revision = (HeaderName::from_static("x-revision"), revision.to_string());
        Ok(([(CONTENT_TYPE, "application/octet-stream".to_owned()), revision], all).into_response())
    })
    .await
}

async fn mask_plane(
    State(desk): Shared,
    Path((id, plane, k)): Path<(String, String, String)>,
) -> Answer<Response> {
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        let (plane, k) = place(&plane, &k, &scan)?;
        Ok(bytes(scan.with(|sheet| runs::encode(sheet.document.view(plane).cut(&sheet.document.mask, k)))))
    })
    .await
}

async fn surface(
    State(desk): Shared,
    Path(id): Path<String>,
    query: Query<BTreeMap<String, String>>,
) -> Answer<Response> {
    let labels = query.get("labels").or(query.get("label")).map_or("", String::as_str);
    let labels: BTreeSet<u16> = labels.split(',').filter_map(|text| text.parse().ok()).collect();
    let turn = query
        .get("turn")
        .and_then(|text| text.parse::<f32>().ok())
        .filter(|turn| turn.is_finite())
        .unwrap_or(0.0);
    apart(desk, move |desk| {
        let scan = desk.scan(&id)?;
        Ok(work::surface(&scan, &labels, turn)?.map_or_else(|| StatusCode::NO_CONTENT.into_response(), png))
    })
    .await
}

async fn edit(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        seq: u64,
        #[serde(default)]
        quiet: bool,
        #[serde(flatten)]
        edit: Edit,
    }
    let Asked { tab, seq, quiet, edit } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        scan.with(|sheet| {
            if sheet.document.last_seq(&author.tab).is_some_and(|last| seq <= last) {
                let mut again = change::unchanged(&sheet.document);
                again["again"] = json!(true);
                return Ok(json(&again));
            }
            let (step, as_asked) = edit.step(&sheet.document)?;
            let Some(step) = step else { return Ok(json(&change::unchanged(&sheet.document))) };
            let mut answer = change::store(desk, scan, sheet, author, Some(seq), Act::Step(step))?;
            if quiet && as_asked {
                answer["patches"] = json!([]);
            }
            Ok(json(&answer))
        })
    })
    .await
}

async fn undo(state: Shared, id: Path<String>, sent: Sent) -> Answer<Response> {
    go(state, id, sent, true).await
}

async fn redo(state: Shared, id: Path<String>, sent: Sent) -> Answer<Response> {
    go(state, id, sent, false).await
}

/// Goes a step back or forth.
async fn go(State(desk): Shared, Path(id): Path<String>, sent: Sent, back: bool) -> Answer<Response> {
    let Tab { tab } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        scan.with(|sheet| {
            let steps = if back { &sheet.document.undo } else { &sheet.document.redo };
            if steps.is_empty() {
                return Err(Refusal::conflict("nothing_to_undo", "There is no further step."));
            }
            let act = if back { Act::Undo } else { Act::Redo };
            Ok(json(&change::store(desk, scan, sheet, author, None, act)?))
        })
    })
    .await
}

async fn interpolate(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        label: u16,
        #[serde(default)]
        plane: Plane,
    }
    let Asked { tab, label, plane } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        Ok(json(&work::interpolate(desk, scan, author, label, plane)?))
    })
    .await
}

async fn prompt(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    let asked: work::Prompt = sent.read()?;
    writing(desk, id, asked.tab.clone(), move |desk, scan, author| {
        Ok(json(&work::prompt(desk, scan, author, &asked)?))
    })
    .await
}

async fn propagate(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    let asked: work::Propagate = sent.read()?;
    writing(desk, id, asked.tab.clone(), move |desk, scan, author| {
        Ok(json(&work::propagate(desk, scan, author, &asked)?))
    })
    .await
}

async fn predict(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    let Tab { tab } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| Ok(json(&work::predict(desk, scan, author)?))).await
}

async fn stop(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    let Tab { tab } = sent.read()?;
    apart(desk, move |desk| {
        desk.entry(&id)?;
        if let Some(scan) = desk.opened(&id) {
            scan.check_writer(&tab, &desk.hub)?;
            work::stop(&scan);
        }
        Ok(json(&json!({})))
    })
    .await
}

async fn labels(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        labels: Vec<Wanted>,
    }
    let Asked { tab, labels } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        scan.with(|sheet| {
            let labels = table(labels, sheet)?;
            change::relabel(desk, scan, sheet, author, labels)
        })?;
        Ok(json(&change::scan(desk, scan, Some(&author.tab))))
    })
    .await
}

/// A label as a page wants it; a new one has no value yet.
#[derive(Deserialize)]
struct Wanted {
    value: Option<u16>,
    name: String,
    color: Option<String>,
    #[serde(default = "yes")]
    visible: bool,
    #[serde(default)]
    locked: bool,
    window: Option<[f32; 2]>,
}

fn yes() -> bool {
    true
}

/// The table of labels that a page wants, checked against what is drawn.
fn table(wanted: Vec<Wanted>, sheet: &crate::scan::Sheet) -> Answer<Vec<Label>> {
    let document = &sheet.document;
    let wrong = |text: String| Refusal::senseless("bad_labels", text);
    let mut taken = document.taken();
    taken.extend(wanted.iter().filter_map(|label| label.value));
    let (mut labels, mut names): (Vec<Label>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for (number, Wanted { value, name, color, visible, locked, window }) in wanted.into_iter().enumerate() {
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(wrong(format!("The name of a label has 1 to {NAME} characters.")));
        }
        if !names.insert(name.to_lowercase()) {
            return Err(wrong(format!("Two labels have the name {name}.")));
        }
        let known = value.map(|value| {
            document.label(value).cloned().ok_or_else(|| wrong(format!("No label has the value {value}.")))
        });
        let mut label = match known.transpose()? {
            Some(label) if labels.iter().any(|own| own.value == label.value) => {
                return Err(wrong(format!("Two labels have the value {}.", label.value)));
            }
            Some(label) => label,
            None => {
                let free = (1..u16::MAX).find(|value| !taken.contains(value));
                let value = free.ok_or_else(|| wrong("No label value is left.".to_owned()))?;
                taken.insert(value);
                crate::scan::label(value, &name, number)
            }
        };
        let is_color = |text: &str| {
            text.len() == 7 && text.starts_with('#') && text[1..].bytes().all(|b| b.is_ascii_hexdigit())
        };
        if let Some(color) = color {
            if !is_color(&color) {
                return Err(wrong(format!("A colour is written as #rrggbb, not as {color}.")));
            }
            label.color = color;
        }
        if let Some([centre, width]) = window {
            if !centre.is_finite() || !width.is_finite() || width <= 0.0 {
                return Err(wrong("A window has a centre, and a width above 0.".to_owned()));
            }
            label.window = [centre, width];
        }
        (label.name, label.visible, label.locked) = (name, visible, locked);
        labels.push(label);
    }
    let gone = document.facts.labels.iter().filter(|old| labels.iter().all(|label| label.value != old.value));
    for label in gone {
        let mut steps = document.undo.iter().chain(&document.redo);
        let held = steps.any(|step| step.marks.contains_key(&label.value));
        if held || document.has(label.value) {
            return Err(Refusal::conflict("in_use", format!("The label {} is in use.", label.name))
                .hint("remove it with all its pixels"));
        }
    }
    Ok(labels)
}

/// Takes a label out of the table with all its pixels, as one step.
async fn remove(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        label: u16,
    }
    let Asked { tab, label } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        scan.with(|sheet| {
            let step = removal(&sheet.document, label)?;
            Ok(json(&change::store(desk, scan, sheet, author, None, Act::Step(step))?))
        })
    })
    .await
}

async fn viewed(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        z: BTreeSet<usize>,
    }
    let Asked { tab, z } = sent.read()?;
    writing(desk, id, tab, move |_, scan, author| {
        if z.last().is_some_and(|z| *z >= scan.canonical.shape[2]) {
            return Err(Refusal::senseless("no_such_slice", "The scan has no such slice."));
        }
        scan.with(|sheet| {
            let news = sheet.document.facts.labels.iter().any(|label| {
                let marks = sheet.document.marks(label.value);
                z.iter().any(|&z| marks.slices[z] != marks.slices[z].viewed())
            });
            if news {
                sheet.act(author, None, Act::Viewed(z))?;
            }
            let [(_, slices), ..] = change::marks(&sheet.document);
            Ok(json(&json!({"slices": slices, "revision": sheet.document.facts.revision})))
        })
    })
    .await
}

async fn focus(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        label: Option<u16>,
        #[serde(default)]
        plane: Plane,
        k: usize,
    }
    let Asked { label, plane, k } = sent.read()?;
    let scan =
        desk.opened(&id).ok_or_else(|| Refusal::missing("no_such_scan", "There is no such open scan."))?;
    *locked(&scan.focus) = Focus { label, plane, k };
    Ok(json(&json!({})))
}

async fn note(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        note: String,
    }
    let Asked { tab, note } = sent.read()?;
    if note.chars().count() > NOTE {
        return Err(Refusal::senseless("note", format!("A note has at most {NOTE} characters.")));
    }
    writing(desk, id, tab, move |desk, scan, author| {
        scan.with(|sheet| {
            sheet.act(author, None, Act::Note(note))?;
            change::tell_row(desk, scan, &sheet.document);
            Ok(json(&json!({})))
        })
    })
    .await
}

async fn review(State(desk): Shared, Path(id): Path<String>, sent: Sent) -> Answer<Response> {
    #[derive(Deserialize)]
    struct Asked {
        tab: String,
        reviewed: bool,
    }
    let Asked { tab, reviewed } = sent.read()?;
    writing(desk, id, tab, move |desk, scan, author| {
        let who = author.who.clone().ok_or_else(|| {
            Refusal::conflict("who", "Nobody has said who reviews.").hint("give your name first")
        })?;
        scan.with(|sheet| {
            let empty = sheet.document.mask.iter().all(|label| *label == 0);
            let review = reviewed.then(|| Review { who, when: now(), empty });
            sheet.act(author, None, Act::Review(review))?;
            change::tell_row(desk, scan, &sheet.document);
            Answer::Ok(())
        })?;
        publish::put_away(desk, scan)?;
        Ok(json(&json!({"row": scan.entry.row()})))
    })
    .await
}

async fn export_masks(State(desk): Shared, sent: Sent) -> Answer<Response> {
    let asked: export::Export = sent.read()?;
    apart(desk, move |desk| Ok(json(&export::export(desk, &asked)?))).await
}

async fn all_rounds(State(desk): Shared) -> Answer<Response> {
    apart(desk, |desk| Ok(json(&rounds::table(desk)))).await
}

async fn start_round(State(desk): Shared, sent: Sent) -> Answer<Response> {
    let asked: rounds::Asked = sent.read()?;
    apart(desk, move |desk| Ok(json(&json!({"now": rounds::start(desk, asked)?})))).await
}

async fn stop_round(State(desk): Shared, sent: Sent) -> Answer<Response> {
    let _: Value = sent.read()?;
    apart(desk, |desk| Ok(json(&json!({"now": rounds::stop(desk).map(|()| rounds::state(desk))?})))).await
}

async fn resume_round(State(desk): Shared, sent: Sent) -> Answer<Response> {
    let _: Value = sent.read()?;
    apart(desk, |desk| Ok(json(&json!({"now": rounds::resume(desk)?})))).await
}
