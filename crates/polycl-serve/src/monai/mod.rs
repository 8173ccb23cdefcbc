//! MONAI Label's protocol, as the plug-in of 3D Slicer speaks it.

mod form;
mod image;
mod infer;
mod info;
mod login;
mod nrrd;
mod numbers;
mod sample;
mod seen;
mod submit;
mod train;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::guard::{Guard, random, same, sealed};
use crate::multipart;
use crate::refusal::{Answer, Refusal, detailed};
use crate::routes::{NAME, apart, json, whole};
use form::Form;
use login::{Kind, Login, Logins, Sent};
use seen::Seen;
#[cfg(test)]
pub use seen::squared;

/// Bytes of a body without files, and of one with an image or a label map.
const SMALL: usize = 16 << 10;
const LARGE: usize = 2 << 30;
/// Characters of a client's name for an image.
const NAMED: usize = 256;
/// The time that a wrong token or password takes: guesses must not be fast.
const PAUSE: Duration = Duration::from_millis(300);

/// What is served to clients.
pub struct Door {
    desk: Arc<Desk>,
    guard: Guard,
    logins: Logins,
}

type Shared = State<Arc<Door>>;
type Fields = Query<BTreeMap<String, String>>;
type User = Extension<Arc<Login>>;

impl Door {
    pub fn new(desk: &Arc<Desk>, guard: Guard) -> Arc<Self> {
        let door = Self { desk: Arc::clone(desk), guard, logins: Logins::default() };
        // Files that a kill has left.
        let _ = std::fs::remove_dir_all(door.desk.work().join(INCOMING));
        image::take_in_kept(desk);
        Arc::new(door)
    }

    /// The folder of files that are being received.
    fn incoming(&self) -> PathBuf {
        let folder = self.desk.work().join(INCOMING);
        // What is written there says if it is not.
        let _ = std::fs::create_dir_all(&folder);
        folder
    }

    /// Opens a scan for a user, who writes to it.
    fn enter(&self, login: &Login, scan: &str, sent: Option<Sent>) -> Answer<Seen> {
        let tab = &login.author.tab;
        let scan = self.desk.enter(scan, tab, false)?;
        scan.check_writer(tab, &self.desk.hub)?;
        Ok(Seen::new(scan, sent.map(|sent| sent.view)))
    }

    /// Opens the scan that a client means: of a session, of a file that it sends, or by an id or name of its own.
    fn named(&self, login: &Login, fields: &BTreeMap<String, String>, form: &Form<'_>) -> Answer<Seen> {
        let sent = match (fields.get("session_id"), form.file(&["file"])) {
            (Some(session), _) => Some(login.session(session).ok_or_else(no_session)?),
            (None, Some(file)) => Some(image::receive(self, &file)?),
            (None, None) => None,
        };
        let name = fields.get("image").map_or("", String::as_str);
        match sent.or_else(|| login.image(name)) {
            Some(sent) => self.enter(login, &sent.scan.clone(), Some(sent)),
            None => self.enter(login, &login.scan(name).ok_or_else(no_image)?, None),
        }
    }
}

const INCOMING: &str = "incoming";

fn no_image() -> Refusal {
    Refusal::missing("no_such_image", "The image is not known, or the server was started again.")
        .hint("take the next sample, or upload the volume")
}

fn no_session() -> Refusal {
    Refusal::missing("no_such_session", "The session is over.")
}

/// All routes, for users who have logged in.
pub fn routes(door: Arc<Door>) -> Router {
    Router::new()
        .route("/auth/", get(|| async { json(&json!({"enabled": true})) }))
        .route("/auth/token", post(sign_in))
        .route("/auth/token/valid", get(|| async { json(&json!({})) }))
        .route("/info/", get(info))
        .route("/activelearning/{strategy}", post(next_sample))
        .route("/datastore/", get(objects).put(upload))
        .route("/datastore/image", get(download_image).put(upload))
        .route("/datastore/label", get(download_label).put(submitted))
        .route("/session/", put(begin_session))
        .route("/session/{id}", get(session).delete(end_session))
        .route("/infer/{model}", post(infer_model))
        .route("/train/", get(training).post(begin_training).delete(end_training))
        .route("/train/{model}", post(begin_training))
        .fallback(|| async { Refusal::missing("no_such_route", "There is no such route.") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The route takes another method.")
        })
        .with_state(Arc::clone(&door))
        .layer(middleware::from_fn_with_state(door, check))
        .layer(middleware::map_response(detailed))
        .layer(middleware::map_response(|response: Response| async { sealed(response) }))
}

/// Lets a request through, or says why not. Files are fetched without a token, by an id that is good for that once.
async fn check(State(door): Shared, mut request: Request, next: Next) -> Response {
    let (method, uri) = (request.method(), request.uri());
    if let Err(refusal) = door.guard.check_origin(method, uri, request.headers()) {
        return refusal.into_response();
    }
    let is_open = matches!(uri.path(), "/auth/" | "/auth/token");
    let is_file = *method == Method::GET && matches!(uri.path(), "/datastore/image" | "/datastore/label");
    match door.logins.of(request.headers()) {
        Some(login) => drop(request.extensions_mut().insert(login)),
        None if is_open || is_file => {}
        None => return no_token().await.into_response(),
    }
    next.run(request).await
}

async fn no_token() -> Refusal {
    tokio::time::sleep(PAUSE).await;
    let message = "Log in first: the password is the token in the address that `polycl serve` printed.";
    Refusal::new(StatusCode::UNAUTHORIZED, "token", message)
}

/// Lets a user in who knows the token; the name is the annotator's.
async fn sign_in(State(door): Shared, body: Body) -> Answer<Response> {
    let body = whole(body, SMALL).await?;
    let fields = std::str::from_utf8(&body).ok().and_then(|text| format!("/?{text}").parse::<Uri>().ok());
    let fields = fields.and_then(|uri| Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok());
    let fields = fields.map(|Query(fields)| fields).unwrap_or_default();
    let field = |name: &str| fields.get(name).map(|text| text.trim()).unwrap_or_default();
    if !same(field("password"), door.guard.token()) {
        return Err(no_token().await);
    }
    let user = field("username");
    if user.is_empty() || user.chars().count() > NAME || user.chars().any(char::is_control) {
        return Err(Refusal::senseless("who", format!("A name has 1 to {NAME} characters.")));
    }
    let login = door.logins.begin(user)?;
    Ok(json(&json!({"access_token": login.token, "token_type": "bearer"})))
}

async fn info(State(door): Shared) -> Answer<Response> {
    apart(Arc::clone(&door.desk), |desk| Ok(json(&info::told(desk)))).await
}

async fn next_sample(
    State(door): Shared,
    Extension(login): User,
    Path(strategy): Path<String>,
) -> Answer<Response> {
    apart(Arc::clone(&door.desk), move |_| Ok(json(&sample::next(&door, &login, &strategy)?))).await
}

async fn objects(State(door): Shared, Extension(login): User) -> Answer<Response> {
    apart(Arc::clone(&door.desk), move |_| Ok(json(&sample::objects(&door, &login)?))).await
}

async fn download_image(door: Shared, login: Option<User>, fields: Fields) -> Answer<Response> {
    download(door, login, fields.get("image"), Kind::Image).await
}

async fn download_label(door: Shared, login: Option<User>, fields: Fields) -> Answer<Response> {
    download(door, login, fields.get("label"), Kind::Label).await
}

/// Sends a file of a scan; without a login, once.
async fn download(
    State(door): Shared,
    login: Option<User>,
    id: Option<&String>,
    kind: Kind,
) -> Answer<Response> {
    let id = id.map_or("", String::as_str);
    let scan = match login {
        Some(Extension(login)) => {
            Some(login.image(id).map(|sent| sent.scan).or_else(|| login.scan(id)).ok_or_else(no_image)?)
        }
        None => door.logins.use_up(id, kind),
    };
    let Some(scan) = scan else { return Err(no_token().await) };
    let (name, file) = apart(Arc::clone(&door.desk), move |desk| match kind {
        Kind::Image => sample::image(desk, &scan),
        Kind::Label => sample::label(desk, &scan),
    })
    .await?;
    // A name that is no header's text goes without.
    let plain: String =
        name.chars().map(|c| if c == ' ' || c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"");
    let kind = "application/octet-stream".to_owned();
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, disposition)], file).into_response())
}

/// Does something with a form that is sent, in a thread for such work.
async fn with_form(
    desk: Arc<Desk>,
    body: Body,
    work: impl FnOnce(&Form<'_>) -> Answer<Response> + Send + 'static,
) -> Answer<Response> {
    let body = whole(body, LARGE).await?;
    apart(desk, move |_| work(&Form::read(&body)?)).await
}

async fn upload(State(door): Shared, Extension(login): User, fields: Fields, body: Body) -> Answer<Response> {
    with_form(Arc::clone(&door.desk), body, move |form| {
        let sent = image::receive(&door, &form.needed_file(&["file", "files"])?)?;
        let id = login.id(&sent.scan, false)?;
        // 3D Slicer goes on with the name of its volume.
        if let Some(name) = fields.get("image").filter(|name| name.chars().count() <= NAMED) {
            login.name_image(name, sent.clone());
        }
        login.name_image(&id, sent);
        Ok(json(&json!({"image": id})))
    })
    .await
}

async fn begin_session(State(door): Shared, Extension(login): User, body: Body) -> Answer<Response> {
    with_form(Arc::clone(&door.desk), body, move |form| {
        let sent = image::receive(&door, &form.needed_file(&["files", "file"])?)?;
        let id = login.begin_session(sent)?;
        Ok(json(&json!({"session_id": id})))
    })
    .await
}

async fn session(Extension(login): User, Path(id): Path<String>) -> Answer<Response> {
    login.session(&id).ok_or_else(no_session)?;
    Ok(json(&json!({"session_id": id})))
}

async fn end_session(Extension(login): User, Path(id): Path<String>) -> Answer<Response> {
    if login.end_session(&id) { Ok(json(&json!({}))) } else { Err(no_session()) }
}

async fn infer_model(
    State(door): Shared,
    Extension(login): User,
    Path(model): Path<String>,
    fields: Fields,
    body: Body,
) -> Answer<Response> {
    with_form(Arc::clone(&door.desk), body, move |form| {
        let seen = door.named(&login, &fields, form)?;
        let inferred = infer::infer(&door, &login, &model, seen, form)?;
        let line = random()?;
        let params = Value::from(inferred.params).to_string();
        let form = multipart::write(&line, &params, "mask.nrrd", &inferred.mask);
        Ok(([(CONTENT_TYPE, format!("multipart/form-data; boundary={line}"))], form).into_response())
    })
    .await
}

async fn submitted(
    State(door): Shared,
    Extension(login): User,
    fields: Fields,
    body: Body,
) -> Answer<Response> {
    with_form(Arc::clone(&door.desk), body, move |form| {
        let seen = door.named(&login, &fields, form)?;
        Ok(json(&submit::submit(&door, &login, &seen, form)?))
    })
    .await
}

async fn training(State(door): Shared, fields: Fields) -> Answer<Response> {
    let if_running = fields.get("check_if_running").is_some_and(|text| text == "true");
    apart(Arc::clone(&door.desk), move |desk| Ok(json(&train::status(desk, if_running)?))).await
}

async fn begin_training(State(door): Shared, trainer: Option<Path<String>>, body: Body) -> Answer<Response> {
    let body = whole(body, SMALL).await?;
    let trainer = trainer.map(|Path(name)| name);
    apart(Arc::clone(&door.desk), move |desk| Ok(json(&train::start(desk, trainer.as_deref(), &body)?))).await
}

async fn end_training(State(door): Shared) -> Answer<Response> {
    apart(Arc::clone(&door.desk), move |desk| Ok(json(&train::stop(desk)?))).await
}
