use std::fmt;
use std::path::PathBuf;

/// An address, cut as far as indexes of packages need it. Its login is kept apart and never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// Host and port.
    pub host: String,
    /// From the slash after the host on, without fragment.
    path: String,
    login: Option<String>,
}

impl Url {
    /// `None` for what is no http, https or file address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().split('#').next()?;
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login.to_owned()), host),
            None => (None, authority),
        };
        let known = match scheme.as_str() {
            "http" | "https" => !host.is_empty(),
            scheme => scheme == "file" && (host.is_empty() || host == "localhost"),
        };
        // What a header would not survive is in no address.
        let clean = text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        (known && clean).then(|| Self { scheme, host: host.to_ascii_lowercase(), path, login })
    }

    /// The address of the folder `name` within this one.
    pub fn folder(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}/", self.path.trim_end_matches('/')), ..self.clone() }
    }

    /// The target of a link on the page at this address (RFC 3986, section 5). The login goes along
    /// to the same host only.
    pub fn join(&self, link: &str) -> Option<Self> {
        let link = link.trim().split('#').next()?;
        if let Some(mut url) = Self::parse(link) {
            // A page from elsewhere has no business with files of this machine.
            let allowed = url.scheme != "file" || self.scheme == "file";
            if url.login.is_none() && url.scheme == self.scheme && url.host == self.host {
                url.login.clone_from(&self.login);
            }
            return allowed.then_some(url);
        }
        if link.starts_with("//") {
            return self.join(&format!("{}:{link}", self.scheme));
        }
        if link.contains("://") {
            return None;
        }
        let folder = self.path.split('?').next()?.rsplit_once('/')?.0;
        let whole = if link.starts_with('/') { link.to_owned() } else { format!("{folder}/{link}") };
        let (path, query) = whole.split_at(whole.find('?').unwrap_or(whole.len()));
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/').skip(1) {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Some(Self { path: format!("/{}{query}", parts.join("/")), ..self.clone() })
    }

    /// The name of the file that the address ends in.
    pub fn file_name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        decoded(path.rsplit('/').next().unwrap_or_default())
    }

    /// The path on this machine that a file address means.
    pub fn local(&self) -> Option<PathBuf> {
        let path = decoded(&self.path);
        // file:///C:/folder
        let drive = cfg!(windows) && path.as_bytes().get(2) == Some(&b':');
        (self.scheme == "file").then(|| PathBuf::from(&path[usize::from(drive)..]))
    }

    /// User and password.
    pub fn login(&self) -> Option<(String, String)> {
        let (user, password) = self.login.as_deref()?.split_once(':').unwrap_or((self.login.as_deref()?, ""));
        Some((decoded(user), decoded(password)))
    }

    /// True if it is on this machine, whatever proxies there are.
    pub fn is_loopback(&self) -> bool {
        let name = self.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        matches!(name.map_or(self.host.as_str(), |(name, _)| name), "localhost" | "127.0.0.1" | "[::1]")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.host, self.path)
    }
}

/// Text with its %XX read.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|code| !code.starts_with('+')).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved() {
        let page = Url::parse("https://user:pa%40ss@Host.example:8443/root/simple/tool/").unwrap();
        let joined = |link| page.join(link).map(|url| url.to_string());
        let on_host = |path: &str| Some(format!("https://host.example:8443{path}"));
        assert_eq!(joined("../../files/a%2Bb.whl#sha256=00"), on_host("/root/files/a%2Bb.whl"));
        assert_eq!(joined("a.whl?x=1/2"), on_host("/root/simple/tool/a.whl?x=1/2"));
        assert_eq!(joined("/a.whl"), on_host("/a.whl"));
        assert_eq!(joined("../../../../../../a.whl"), on_host("/a.whl"));
        assert_eq!(joined("//other.example/a.whl").as_deref(), Some("https://other.example/a.whl"));
        assert_eq!(joined("http://other.example/a.whl").as_deref(), Some("http://other.example/a.whl"));
        assert_eq!(joined("file:///etc/passwd"), None);
        assert_eq!(joined("ftp://host.example/a.whl"), None);
        assert_eq!(page.join("x/a%2Bb.whl?q").unwrap().file_name(), "a+b.whl");
    }

    #[test]
    fn logins_stay_with_their_host_and_out_of_sight() {
        let page = Url::parse("https://user:pa%40ss@host.example/simple").unwrap();
        let login = Some(("user".to_owned(), "pa@ss".to_owned()));
        assert_eq!(page.login(), login);
        assert_eq!(page.join("a.whl").unwrap().login(), login);
        assert_eq!(page.join("https://host.example/a.whl").unwrap().login(), login);
        assert_eq!(page.join("http://host.example/a.whl").unwrap().login(), None);
        assert_eq!(page.join("https://other.example/a.whl").unwrap().login(), None);
        assert_eq!(page.to_string(), "https://host.example/simple");
        assert_eq!(page.folder("tool").to_string(), "https://host.example/simple/tool/");
    }

    #[test]
    fn odd_addresses() {
        assert_eq!(Url::parse("host/simple"), None);
        assert_eq!(Url::parse("ssh://host/x"), None);
        assert_eq!(Url::parse("http://host/a\r\nEvil: 1"), None);
        assert_eq!(Url::parse("file:///a%20b/c").unwrap().local(), Some(PathBuf::from("/a b/c")));
        assert!(Url::parse("http://[::1]:80/").unwrap().is_loopback());
        assert!(!Url::parse("http://localhost.example/").unwrap().is_loopback());
    }
}
