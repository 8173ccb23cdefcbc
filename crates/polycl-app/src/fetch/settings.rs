use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Result};

use super::environment::Environment;
use super::url::Url;

/// The places and the manner in which pip looks for packages, as its environment and files have them
/// (pip's documentation, "Configuration").
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Folders and pages of links, before any index.
    pub links: Vec<Place>,
    pub indexes: Vec<Url>,
    /// A file of certificates to trust instead of the system's.
    pub certificates: Option<PathBuf>,
    /// A proxy instead of those that the environment names for all programs.
    pub proxy: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Folder(PathBuf),
    Page(Url),
}

impl Settings {
    pub fn read(environment: &Environment) -> Result<Self> {
        let values = values(environment)?;
        let value = |key: &str| values.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let list = |key| value(key).unwrap_or_default().split_whitespace();
        let none = value("no-index").is_some_and(|on| ["1", "true", "yes", "on"].contains(&on));
        let indexes = value("index-url").into_iter().chain(list("extra-index-url")).filter(|_| !none);
        let bundle = || environment.path("REQUESTS_CA_BUNDLE").or_else(|| environment.path("CURL_CA_BUNDLE"));
        Ok(Self {
            links: list("find-links").map(place).collect(),
            indexes: indexes.filter_map(index).collect(),
            certificates: value("cert").map(PathBuf::from).or_else(bundle),
            proxy: value("proxy").map(str::to_owned),
        })
    }
}

fn place(text: &str) -> Place {
    match Url::parse(text) {
        Some(url) => url.local().map_or(Place::Page(url), Place::Folder),
        None => Place::Folder(PathBuf::from(text)),
    }
}

/// An index's address; pip takes a folder's path, too.
fn index(text: &str) -> Option<Url> {
    Url::parse(text).or_else(|| Url::parse(&format!("file://{}", std::path::absolute(text).ok()?.to_str()?)))
}

/// pip's options, by their long names. A section of a later one overrides the same of earlier ones in
/// all files, a later file an earlier one, the environment all.
fn values(environment: &Environment) -> Result<BTreeMap<String, String>> {
    let mut files = Vec::new();
    for path in files_of(environment) {
        match std::fs::read(&path) {
            Ok(bytes) => files.push(sections(&String::from_utf8_lossy(&bytes))),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(Error::io(path, "read it", &error)),
        }
    }
    let mut values = BTreeMap::new();
    for section in ["global", "install", "download"] {
        let of_section = files.iter().flatten().filter(|(name, ..)| name == section);
        values.extend(of_section.map(|(_, key, value)| (key.clone(), value.clone())));
    }
    for (name, value) in &environment.0 {
        let name = name.to_str().and_then(|name| name.strip_prefix("PIP_"));
        if let (Some(name), Some(value)) = (name, value.to_str())
            && !value.is_empty()
        {
            values.insert(normal(name), value.to_owned());
        }
    }
    Ok(values)
}

/// pip's files in the order in which they override each other.
fn files_of(environment: &Environment) -> Vec<PathBuf> {
    let name = if cfg!(windows) { "pip.ini" } else { "pip.conf" };
    let named = environment.path("PIP_CONFIG_FILE");
    if named.as_deref() == Some(Path::new(if cfg!(windows) { "nul" } else { "/dev/null" })) {
        return Vec::new();
    }
    let mut files = machine(environment);
    // A file that is named takes the place of the user's.
    if !named.as_ref().is_some_and(|path| path.exists()) {
        files.extend(user(environment, name));
    }
    let site = environment.path("VIRTUAL_ENV").or_else(|| environment.path("CONDA_PREFIX"));
    files.extend(site.map(|site| site.join(name)));
    files.extend(named);
    files
}

fn machine(environment: &Environment) -> Vec<PathBuf> {
    if cfg!(windows) {
        return environment.path("PROGRAMDATA").map(|data| data.join("pip/pip.ini")).into_iter().collect();
    }
    if cfg!(target_os = "macos") {
        return vec!["/Library/Application Support/pip/pip.conf".into()];
    }
    let folders = environment.text("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
    let xdg = folders.split(':').map(|folder| Path::new(folder).join("pip/pip.conf"));
    xdg.chain(["/etc/pip.conf".into()]).collect()
}

fn user(environment: &Environment, name: &str) -> Vec<PathBuf> {
    let Some(home) = environment.home() else { return Vec::new() };
    if cfg!(windows) {
        let roaming = environment.path("APPDATA").map(|data| data.join("pip").join(name));
        return [home.join("pip").join(name)].into_iter().chain(roaming).collect();
    }
    let library = home.join("Library/Application Support/pip");
    let config = environment.path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("pip");
    let folder = if cfg!(target_os = "macos") && library.is_dir() { library } else { config };
    vec![home.join(".pip").join(name), folder.join(name)]
}

/// Section, key and value of each entry of a file in the manner of Python's `configparser`.
fn sections(text: &str) -> Vec<(String, String, String)> {
    let mut entries: Vec<(String, String, String)> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace)
            && let Some((.., value)) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(content);
        } else if let Some(name) = content.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = content.split_once(['=', ':']) {
            entries.push((section.clone(), normal(key.trim()), value.trim().to_owned()));
        }
    }
    entries
}

/// An option's name as the command line has it.
fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-").trim_start_matches("--").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[(&str, &str)]) -> Environment {
        Environment(entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
    }

    fn indexes(entries: &[(&str, &str)]) -> Vec<String> {
        let settings = Settings::read(&environment(entries)).unwrap();
        settings.indexes.iter().map(ToString::to_string).collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_override_each_other_as_in_pip() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let home = folder.path().to_str().unwrap();
        let machine = folder.path().join("xdg");
        let base = [("HOME", home), ("XDG_CONFIG_DIRS", machine.to_str().unwrap())];
        let with = |more: &[(&'static str, &str)]| indexes(&[&base, more].concat());
        write("xdg/pip/pip.conf", "# of the machine\n[global]\nindex_url = http://machine/simple\n");
        assert_eq!(with(&[]), ["http://machine/simple"]);
        write(".pip/pip.conf", "[global]\nindex-url: http://old/simple\n");
        assert_eq!(with(&[]), ["http://old/simple"]);
        write(
            ".config/pip/pip.conf",
            "[global]\nindex-url = http://user/simple\nextra-index-url =\n  http://b/s\n  # not this\n  http://c/s\n",
        );
        assert_eq!(with(&[]), ["http://user/simple", "http://b/s", "http://c/s"]);
        write("venv/pip.conf", "[global]\nindex-url = http://site/simple\nextra-index-url=\n");
        let venv = folder.path().join("venv");
        let site = ("VIRTUAL_ENV", venv.to_str().unwrap());
        assert_eq!(with(&[site]), ["http://site/simple"]);
        let named = write("named.conf", "[global]\nindex-url = http://named/simple\n");
        let named = ("PIP_CONFIG_FILE", named.as_str());
        // The user's extra indexes are gone with the user's file.
        assert_eq!(with(&[named]), ["http://named/simple"]);
        write("venv/pip.conf", "[download]\nindex-url = http://download/simple\n");
        assert_eq!(with(&[site, named]), ["http://download/simple"]);
        assert_eq!(with(&[site, named, ("PIP_INDEX_URL", "http://shell/simple")]), ["http://shell/simple"]);
        assert_eq!(with(&[("PIP_CONFIG_FILE", "/dev/null")]), Vec::<String>::new());
        assert_eq!(with(&[site, ("PIP_NO_INDEX", "1")]), Vec::<String>::new());
    }

    #[test]
    fn places_of_links() {
        let off = if cfg!(windows) { "nul" } else { "/dev/null" };
        let settings = Settings::read(&environment(&[
            ("PIP_CONFIG_FILE", off),
            ("PIP_FIND_LINKS", "/wheels http://host/links"),
            ("PIP_CERT", "/ca.pem"),
        ]));
        let settings = settings.unwrap();
        let page = Place::Page(Url::parse("http://host/links").unwrap());
        assert_eq!(settings.links, [Place::Folder("/wheels".into()), page]);
        assert_eq!(settings.certificates, Some("/ca.pem".into()));
        assert!(settings.indexes.is_empty());
    }
}
