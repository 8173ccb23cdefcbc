use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use polycl_base::{Error, Kind, Result, Subject, Watch};
use ureq::ResponseExt;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use super::catalogue::Item;
use super::page::{self, Link};
use super::settings::Settings;
use super::url::Url;

/// Most bytes of an index's page about one package.
const PAGE: u64 = 32 << 20;
const AGAIN: &str = "run the same command again to resume the download";

/// An HTTP client that trusts and goes through what pip would.
pub struct Client<'a> {
    near: Agent,
    far: Agent,
    watch: &'a dyn Watch,
}

impl<'a> Client<'a> {
    pub fn new(settings: &Settings, watch: &'a dyn Watch) -> Result<Self> {
        let roots = settings.certificates.as_deref().map_or(Ok(RootCerts::PlatformVerifier), certificates)?;
        let config = || {
            Agent::config_builder()
                .user_agent(concat!("polycl/", env!("CARGO_PKG_VERSION")))
                .http_status_as_error(false)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
                .timeout_connect(Some(Duration::from_secs(30)))
                .timeout_recv_response(Some(Duration::from_secs(60)))
                .timeout_per_read(Some(Duration::from_secs(60)))
        };
        let far = match settings.proxy.as_deref() {
            Some(proxy) => config().proxy(Some(through(proxy)?)),
            None => config(),
        };
        // No proxy has a way to this machine's own servers.
        Ok(Self { near: config().proxy(None).build().new_agent(), far: far.build().new_agent(), watch })
    }

    fn get(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Response<Body>> {
        let agent = if url.is_loopback() { &self.near } else { &self.far };
        let mut request = agent.get(url.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((user, password)) = url.login() {
            let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
            request = request.header("Authorization", format!("Basic {login}"));
        }
        request.call().map_err(|e| failed(url, &e.to_string()))
    }

    /// Looks for an item's wheel on a page of links; `None` where it is not there, or no page is.
    pub fn find(&self, url: &Url, item: &Item) -> Result<Option<Link>> {
        // Either form of an index's page, and pages that are none of an index.
        const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1";
        let mut response = self.get(url, &[("Accept", ACCEPT)])?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Ok(None),
            _ => return Err(refused(url, &response)),
        }
        let json = response.body().mime_type().is_some_and(|mime| mime.ends_with("json"));
        let at = url.join(&response.get_uri().to_string()).unwrap_or_else(|| url.clone());
        let body = response.body_mut().with_config().limit(PAGE).read_to_vec();
        let text = body.map_err(|e| failed(url, &e.to_string()))?;
        Ok(page::find(&at, &String::from_utf8_lossy(&text), json, item.wheel))
    }

    /// Downloads to `partial`, on from what is there already.
    ///
    /// The file is whole in length then, and no more is known of it.
    pub fn download(&self, url: &Url, item: &Item, partial: &Path) -> Result<()> {
        let io = |e: std::io::Error| Error::io(partial, "write it", &e);
        let file = File::options().create(true).truncate(false).write(true).open(partial).map_err(io)?;
        let there = file.metadata().map_err(io)?.len();
        if there == item.bytes {
            return Ok(());
        }
        let (mut response, have) = self.rest(url, if there > item.bytes { 0 } else { there })?;
        if there > have {
            file.set_len(have).map_err(io)?;
        }
        (&file).seek(SeekFrom::Start(have)).map_err(io)?;
        copy(url, item, response.body_mut().as_reader(), (&file, partial), have, self.watch)?;
        file.sync_all().map_err(io)
    }

    /// A file from its byte `have` on, or from the start where the server has no notion of parts or
    /// none that begins there; and which of these it is.
    fn rest(&self, url: &Url, have: u64) -> Result<(Response<Body>, u64)> {
        if have > 0 {
            let range = format!("bytes={have}-");
            let response = self.get(url, &[("Range", range.as_str())])?;
            match response.status().as_u16() {
                206 if starts_at(&response, have) => return Ok((response, have)),
                200 => return Ok((response, 0)),
                206 | 416 => {}
                _ => return Err(refused(url, &response)),
            }
        }
        let response = self.get(url, &[])?;
        if response.status().as_u16() == 200 { Ok((response, 0)) } else { Err(refused(url, &response)) }
    }
}

/// Takes what comes until all is there, and not a byte more.
fn copy(
    url: &Url,
    item: &Item,
    mut from: impl Read,
    (mut to, path): (&File, &Path),
    mut have: u64,
    watch: &dyn Watch,
) -> Result<()> {
    watch.task(item.wheel);
    let mut buffer = vec![0; 1 << 16];
    loop {
        watch.step(have as usize, item.bytes as usize);
        let n = match from.read(&mut buffer) {
            Ok(n) => n,
            Err(error) => return Err(broke_off(url, item, have, &error.to_string())),
        };
        have += n as u64;
        if have > item.bytes {
            let expected = format!("{} of {} bytes", item.wheel, item.bytes);
            return Err(Error::new(
                Subject::Address(url.to_string().into()),
                Kind::Format,
                expected,
                "a longer file",
            ));
        }
        if n == 0 {
            break;
        }
        to.write_all(&buffer[..n]).map_err(|e| Error::io(path, "write it", &e))?;
    }
    if have < item.bytes { Err(broke_off(url, item, have, "the connection ended")) } else { Ok(()) }
}

fn broke_off(url: &Url, item: &Item, have: u64, why: &str) -> Error {
    let found = format!("{have} before it broke off: {why}");
    Error::new(
        Subject::Address(url.to_string().into()),
        Kind::Truncated,
        format!("{} bytes", item.bytes),
        found,
    )
    .hint(AGAIN)
}

fn starts_at(response: &Response<Body>, have: u64) -> bool {
    let range = response.headers().get("Content-Range").and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.trim().starts_with(&format!("bytes {have}-")))
}

fn certificates(path: &Path) -> Result<RootCerts> {
    let pem = std::fs::read(path).map_err(|e| Error::io(path, "read pip's certificates", &e))?;
    let found = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Error::new(path, Kind::Format, "a certificate in PEM", "no certificate")
            .hint("check pip's setting `cert` or $PIP_CERT, which names this file"));
    }
    Ok(RootCerts::from(found))
}

fn through(proxy: &str) -> Result<Proxy> {
    // Its login, if it has one, is not for showing.
    let shown = proxy.rsplit('@').next().unwrap_or_default();
    Proxy::new(proxy).map_err(|e| {
        Error::new(Subject::Address(shown.into()), Kind::Request, "a proxy's address", e.to_string())
            .hint("check pip's setting `proxy` or $PIP_PROXY, which names the proxy")
    })
}

fn failed(url: &Url, why: &str) -> Error {
    Error::new(Subject::Address(url.to_string().into()), Kind::Request, "an answer", why)
}

fn refused(url: &Url, response: &Response<Body>) -> Error {
    let error = Error::new(
        Subject::Address(url.to_string().into()),
        Kind::Request,
        "an answer",
        response.status().to_string(),
    );
    match response.status().as_u16() {
        401 | 403 | 407 => {
            error.hint("check the login in the address that pip is set up with: user:password@host")
        }
        _ => error,
    }
}
