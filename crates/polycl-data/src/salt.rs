//! Names for patients that say nothing of who they are.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, hex, lock};
use sha2::{Digest, Sha256};

/// Bytes of a salt: with as many, nobody can try all patients of a hospital against a name.
const BYTES: usize = 32;

/// A secret of whoever imports, kept in a file apart from all data sets, so that a patient has the same
/// name in each of them, and so that a data set can be passed on without telling who is in it.
#[derive(Debug, Clone)]
pub struct Salt(PathBuf);

impl Salt {
    /// The file is made when it is first needed.
    pub fn at(file: &Path) -> Self {
        Self(file.to_path_buf())
    }

    /// `P` and 12 hex digits of SHA-256 over the salt and what identifies a patient.
    ///
    /// # Errors
    /// [`Kind::Io`] where the salt's file can be neither read nor made, [`Kind::Format`] where it is none.
    pub fn patient(&self, identity: &str) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(self.bytes()?);
        hash.update(identity.trim().as_bytes());
        Ok(format!("P{}", hex(&hash.finalize()[..6])))
    }

    fn bytes(&self) -> Result<[u8; BYTES]> {
        if !self.0.exists() {
            let _lock = lock::wait(self.folder())?;
            // Another process may have been first.
            if !self.0.exists() {
                self.make()?;
            }
        }
        let text = fs::read(&self.0).map_err(|e| Error::io(&self.0, "read it", &e))?;
        <[u8; BYTES]>::try_from(text.as_slice()).map_err(|_| {
            let expected = format!("a secret of {BYTES} bytes");
            Error::new(&self.0, Kind::Format, expected, format!("{} bytes", text.len()))
                .hint("put the file back; a new one gives all patients new names")
        })
    }

    fn make(&self) -> Result<()> {
        let made = || {
            let mut salt = [0; BYTES];
            getrandom::fill(&mut salt)?;
            // Nobody else may read what is made so, unlike other outputs.
            let mut file = tempfile::NamedTempFile::new_in(self.folder())?;
            file.write_all(&salt)?;
            file.as_file().sync_all()?;
            file.persist(&self.0)?;
            std::io::Result::Ok(())
        };
        made().map_err(|e| Error::io(&self.0, "make the secret that patient IDs are hashed with", &e))
    }

    fn folder(&self) -> &Path {
        self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}
