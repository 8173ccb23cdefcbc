use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use polycl_data::Salt;

/// The environment's variables, to be handed on, so that tests need not change those of the process.
#[derive(Debug, Default, Clone)]
pub struct Environment(pub BTreeMap<OsString, OsString>);

impl Environment {
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable that is set to something.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The same, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(std::ffi::OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    pub fn home(&self) -> Option<PathBuf> {
        self.path(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
    }

    /// The secret that patients are named by.
    pub fn salt(&self) -> Salt {
        let settings = || {
            if cfg!(windows) {
                return self.path("APPDATA");
            }
            let xdg = self.path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
            xdg.or_else(|| Some(self.home()?.join(".config")))
        };
        let file = self.path("POLYCL_SALT").or_else(|| Some(settings()?.join("polycl/salt")));
        Salt::at(&file.unwrap_or_else(|| "polycl-salt".into()))
    }

    /// The folder for things that PolyCL can fetch again.
    pub fn cache(&self) -> Option<PathBuf> {
        let system = || {
            if cfg!(windows) {
                return self.path("LOCALAPPDATA");
            }
            let xdg = self.path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
            let mac =
                self.home().filter(|_| cfg!(target_os = "macos")).map(|home| home.join("Library/Caches"));
            xdg.or(mac).or_else(|| Some(self.home()?.join(".cache")))
        };
        self.path("POLYCL_CACHE").or_else(|| Some(system()?.join("polycl")))
    }
}
