//! Who may ask: a browser that opened the printed address, on this computer, from the page itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION,
    ORIGIN, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use polycl_base::{Error, Kind, Result, Subject, hex};
use sha2::{Digest, Sha256};

use crate::locked::locked;
use crate::refusal::{Answer, Refusal};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Characters of a token that a person chooses.
pub const SHORTEST: usize = 16;

/// The port that addresses leave out.
const PLAIN: u16 = 80;

pub struct Guard {
    token: String,
    /// Tokens that open the page once, for the browser that is started with one on its command line.
    once: Mutex<Vec<String>>,
    cookie: String,
    /// Hosts, with the port, that the page may be reached by.
    hosts: Vec<String>,
    /// Any number is fine as a host: only names can be made to point elsewhere.
    numbers: bool,
    port: u16,
}

impl Guard {
    /// `listen` is where others reach the server, with the token that a person chose.
    ///
    /// # Errors
    /// [`Kind::Request`] for a token that is too short; [`Kind::Io`] where the system gives no random bytes.
    pub fn new(address: SocketAddr, listen: Option<&(IpAddr, String)>, names: &[String]) -> Result<Self> {
        let token = match listen {
            Some((_, token))
                if token.len() < SHORTEST
                    || !token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') =>
            {
                let expected = format!("at least {SHORTEST} letters, digits and dashes");
                let found = format!("{} characters", token.len());
                return Err(Error::new(Subject::Flag("--token".into()), Kind::Request, expected, found));
            }
            Some((_, token)) => token.clone(),
            None => random()?,
        };
        Ok(Self::at(address.port(), token, listen.is_some(), names))
    }

    fn at(port: u16, token: String, numbers: bool, names: &[String]) -> Self {
        let names =
            ["127.0.0.1", "localhost", "[::1]"].into_iter().map(str::to_owned).chain(names.iter().cloned());
        Self {
            token,
            once: Mutex::default(),
            cookie: format!("polycl-{port}"),
            hosts: names.flat_map(|name| hosts(&name.to_ascii_lowercase(), port)).collect(),
            numbers,
            port,
        }
    }

    /// The guard of another port of the same server, with the same token.
    pub fn beside(&self, address: SocketAddr, names: &[String]) -> Self {
        Self::at(address.port(), self.token.clone(), self.numbers, names)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// A token that opens the page once.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn token_for_once(&self) -> Result<String> {
        let token = random()?;
        locked(&self.once).push(token.clone());
        Ok(token)
    }

    /// The cookie's value: whoever sees it does not know the token.
    fn pass(&self) -> String {
        hex(&Sha256::digest(format!("polycl cookie {}", self.token)))
    }

    fn knows_host(&self, headers: &HeaderMap, uri: &Uri) -> Option<String> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()))?.to_ascii_lowercase();
        let is_number = || match host.parse::<SocketAddr>() {
            Ok(address) => address.port() == self.port,
            Err(_) => self.port == PLAIN && host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok(),
        };
        (self.hosts.contains(&host) || self.numbers && is_number()).then_some(host)
    }

    /// True if a request comes from the page, or from no page at all.
    fn comes_from_us(&self, method: &Method, headers: &HeaderMap, host: &str) -> bool {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let origin = text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
        let site = match text(HeaderName::from_static("sec-fetch-site")) {
            None | Some("same-origin" | "none") => true,
            // A link to the page may stand anywhere.
            Some(_) => {
                method == Method::GET && text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
            }
        };
        origin && site
    }

    /// Refuses a request to another host, or from another page.
    ///
    /// # Errors
    /// `host`, `origin`.
    pub fn check_origin(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer<()> {
        let refuse = |code, message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, code, message));
        match self.knows_host(headers, uri) {
            None => refuse(
                "host",
                "This server answers to its own address alone, and was asked under another name.",
            ),
            Some(host) if !self.comes_from_us(method, headers, &host) => {
                refuse("origin", "The request comes from another page.")
            }
            Some(_) => Ok(()),
        }
    }

    fn has_pass(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let pass = self.pass();
        let by_cookie = cookies.any(|(name, value)| name == self.cookie && same(value, &pass));
        let bearer =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        by_cookie || bearer.is_some_and(|token| same(token, &self.token))
    }

    /// True for a token in an address; one for once is used up.
    fn lets_in(&self, token: &str) -> bool {
        let mut once = locked(&self.once);
        let before = once.len();
        once.retain(|own| !same(own, token));
        before > once.len() || same(&self.token, token)
    }
}

/// A host as browsers name it: without the port where it is the one of plain http.
fn hosts(name: &str, port: u16) -> Vec<String> {
    let with_port = format!("{name}:{port}");
    if port == PLAIN { vec![with_port, name.to_owned()] } else { vec![with_port] }
}

/// Lets a request through, or says why not.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if let Err(refusal) = guard.check_origin(method, uri, headers) {
        return sealed(refusal.into_response());
    }
    if let Some(token) = token_of(uri).filter(|_| method == Method::GET && uri.path() == "/") {
        if guard.lets_in(token) {
            let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", guard.cookie, guard.pass());
            return sealed(
                (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response(),
            );
        }
        return sealed(refused(&uri.clone()).await);
    }
    if !guard.has_pass(headers) {
        return sealed(refused(&uri.clone()).await);
    }
    sealed(next.run(request).await)
}

fn token_of(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// The answer to a wrong token or none, after a while: guesses must not be fast.
async fn refused(uri: &Uri) -> Response {
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let message = "Open the address that `polycl serve` printed: it holds a token.";
    if uri.path() == "/" {
        return (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "text/plain; charset=utf-8")], message)
            .into_response();
    }
    Refusal::new(StatusCode::UNAUTHORIZED, "token", message).into_response()
}

/// The response with what browsers are told to be careful about.
pub fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Compares in a time that does not depend on where they differ.
pub fn same(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| Sha256::digest(text.as_bytes()));
    one.iter().zip(&other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// A random token.
///
/// # Errors
/// [`Kind::Request`] where the system gives no random bytes.
pub fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::caused(Subject::Work("a random token"), Kind::Request, "random bytes from the system", e)
    })?;
    Ok(hex(&bytes))
}
