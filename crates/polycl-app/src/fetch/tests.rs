//! A package index on this machine, wheels made here, and what becomes of both. No test reaches for
//! the network.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::Crc;
use polycl_data::{Origin, Records};
use polycl_image::names;
use sha2::{Digest, Sha256};

use super::catalogue::Member;
use super::unpack::hex;
use super::*;

const WHEEL: &str = "tiny_tool-1.0-py3-none-any.whl";
const MEMBER: &str = "tiny_tool/asset/weights.bin";

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn hash(bytes: &[u8]) -> &'static str {
    leaked(hex(Sha256::new_with_prefix(bytes)))
}

/// An item of one member, as if it had been published in `wheel`.
fn item_of(wheel: &[u8], path: &'static str, content: &[u8]) -> Item {
    let member = Member { path, file: "weights.bin", sha256: hash(content) };
    Item {
        name: "tiny",
        about: "a test",
        package: "tiny-tool",
        version: "1.0",
        wheel: WHEEL,
        bytes: wheel.len() as u64,
        sha256: hash(wheel),
        members: Box::leak(Box::new([member])),
        converted: None,
        sample: None,
    }
}

/// A wheel, that is a zip file, of stored files.
fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut wheel, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut crc = Crc::new();
        crc.update(content);
        let (start, size) = ((wheel.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes());
        let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0], &crc.sum().to_le_bytes()[..], &size, &size].concat();
        let name_len = (name.len() as u32).to_le_bytes();
        wheel.extend([b"PK\x03\x04", &fields[..], &name_len, name.as_bytes(), content].concat());
        let line = [b"PK\x01\x02\x14\x00", &fields[..], &name_len, &[0; 10], &start, name.as_bytes()];
        directory.extend(line.concat());
    }
    let (at, size) = ((wheel.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    let count = (files.len() as u16).to_le_bytes();
    [&wheel[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &at, &[0, 0]].concat()
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn tiny() -> (Item, Vec<u8>) {
    let wheel = wheel(&[("tiny_tool/__init__.py", b"raise SystemExit"), (MEMBER, &content())]);
    (item_of(&wheel, MEMBER, &content()), wheel)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A folder with a cache in it, and an environment of nothing but these.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let cache = self.0.path().join("cache");
        let off = if cfg!(windows) { "nul" } else { "/dev/null" };
        let base = [("POLYCL_CACHE", cache.to_str().unwrap()), ("PIP_CONFIG_FILE", off)];
        Environment(base.iter().chain(more).map(|(key, value)| (key.into(), value.into())).collect())
    }

    fn fetch(&self, item: &Item, from: Option<&Path>, more: &[(&str, &str)]) -> Result<(PathBuf, bool)> {
        fetch(item, from, &self.environment(more), &())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The files in the cache.
    fn cached(&self) -> Vec<String> {
        let cache = self.0.path().join("cache");
        let mut names: Vec<_> = files(&cache)
            .iter()
            .map(|file| file.strip_prefix(&cache).unwrap().to_str().unwrap().replace('\\', "/"))
            .collect();
        names.sort();
        names
    }

    fn assert_right(&self) {
        assert_eq!(self.cached(), ["tiny/weights.bin"]);
        assert!(std::fs::read(self.0.path().join("cache/tiny/weights.bin")).unwrap() == content());
    }
}

/// The server's response to a download.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    /// Hangs up after so many bytes, the first time.
    Drops(usize),
    /// The same, and has no notion of ranges.
    DropsWithoutRanges(usize),
    /// Sends a byte that is none of the file's, the first time.
    Damages,
    /// Knows of no part that begins after so many bytes.
    Ends(usize),
}

/// A server of pages and files on the loopback interface, for as long as the test lives.
struct Server {
    address: String,
    /// The first line, range and login of each request.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(pages: &[(&str, &[u8])], manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let pages: BTreeMap<String, Vec<u8>> =
            pages.iter().map(|(path, body)| ((*path).to_owned(), body.to_vec())).collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut manner = manner;
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no matter for the server.
                let _ = answer(stream, &pages, &mut manner, &log);
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    pages: &BTreeMap<String, Vec<u8>>,
    manner: &mut Manner,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let headers: Vec<String> = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
    let header = |name: &str| {
        headers
            .iter()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
    };
    let path = first.split(' ').nth(1).unwrap_or_default();
    let range = header("range").map_or("", |(_, value)| value);
    let login = header("authorization").map_or("", |(_, value)| value);
    log.lock().unwrap().push(format!("{path} {range} {login}").trim().to_owned());
    let Some(body) = pages.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if path.ends_with("/moved/") {
        let head = format!("HTTP/1.1 301 Moved\r\nLocation: {}\r\n", String::from_utf8_lossy(body));
        return stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
    }
    let from =
        range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    if matches!(manner, Manner::Ends(after) if from >= *after) {
        let head = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head.as_bytes());
    }
    let ranges = !matches!(manner, Manner::DropsWithoutRanges(_)) && from > 0;
    let body = if ranges { &body[from..] } else { &body[..] };
    let status = if ranges {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            from + body.len() - 1,
            from + body.len()
        )
    } else {
        "200 OK".into()
    };
    let kind = if body.starts_with(b"{") { "application/vnd.pypi.simple.v1+json" } else { "text/html" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    match *manner {
        Manner::Drops(after) | Manner::DropsWithoutRanges(after)
            if path.ends_with(".whl") && range.is_empty() =>
        {
            *manner = if matches!(manner, Manner::Drops(_)) {
                Manner::Whole
            } else {
                Manner::DropsWithoutRanges(usize::MAX)
            };
            stream.write_all(&body[..after.min(body.len())])
        }
        Manner::Damages if path.ends_with(".whl") => {
            *manner = Manner::Whole;
            stream.write_all(&[&[body[0] ^ 1], &body[1..]].concat())
        }
        _ => stream.write_all(body),
    }
}

/// A server with one index, of one wheel, and the setting that leads to it.
fn serve(item: &Item, wheel: &[u8], manner: Manner) -> (Server, String) {
    let files = format!("/files/{WHEEL}");
    let server = Server::new(&[("/simple/tiny-tool/", &index(item.sha256)), (&files, wheel)], manner);
    let address = format!("http://{}/simple", server.address);
    (server, address)
}

fn index(hash: &str) -> Vec<u8> {
    format!("<!DOCTYPE html><a href=\"../../files/{WHEEL}#sha256={hash}\">{WHEEL}</a>").into_bytes()
}

#[test]
fn a_wheel_comes_from_an_index_once() {
    let (item, wheel) = tiny();
    let page = index(item.sha256);
    let files = format!("/files/{WHEEL}");
    let server = Server::new(&[("/simple/tiny-tool/", &page), (&files, &wheel)], Manner::Whole);
    let place = Place::new();
    // The login goes along, and a slash at the end of the address makes no difference.
    let address = format!("http://user:pa%20ss@{}/simple/", server.address);
    let (path, news) = place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
    assert!(news && path.ends_with("cache/tiny"));
    place.assert_right();
    let login = "Basic dXNlcjpwYSBzcw==";
    assert_eq!(server.seen(), [format!("/simple/tiny-tool/  {login}"), format!("{files}  {login}")]);
    let (_, news) = place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
    assert!(!news && server.seen().len() == 2);
    // A damaged file is fetched again.
    place.write("cache/tiny/weights.bin", b"damaged");
    assert!(place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap().1);
    place.assert_right();
}

#[test]
fn indexes_of_json_moved_ones_and_the_second_of_two() {
    let (item, wheel) = tiny();
    let files = format!("/files/{WHEEL}");
    let page =
        format!(r#"{{"files": [{{"url": "/files/{WHEEL}", "hashes": {{"sha256": "{}"}}}}]}}"#, item.sha256);
    let pages: [(&str, &[u8]); 3] =
        [("/json/tiny-tool/", page.as_bytes()), ("/old/tiny-tool/", b"<a href=x>"), (&files, &wheel)];
    let server = Server::new(&pages, Manner::Whole);
    let [empty, json] = ["old", "json"].map(|name| format!("http://{}/{name}", server.address));
    let place = Place::new();
    place.fetch(&item, None, &[("PIP_INDEX_URL", &empty), ("PIP_EXTRA_INDEX_URL", &json)]).unwrap();
    place.assert_right();
    // A page of links at another address than it was asked for.
    let (links, page) = (format!("http://{}/moved/", server.address), format!("<a href='{WHEEL}'>"));
    let pages: [(&str, &[u8]); 3] = [("/moved/", b"/files/"), ("/files/", page.as_bytes()), (&files, &wheel)];
    let server = Server::new(&pages, Manner::Whole);
    let links = links.replace(&links[7..links.len() - 7], &server.address);
    let place = Place::new();
    place.fetch(&item, None, &[("PIP_FIND_LINKS", &links)]).unwrap();
    place.assert_right();
}

#[test]
fn a_download_that_broke_off_goes_on() {
    for manner in [Manner::Drops(500_000), Manner::DropsWithoutRanges(500_000)] {
        let (item, wheel) = tiny();
        let files = format!("/files/{WHEEL}");
        let page = index(item.sha256);
        let server = Server::new(&[("/simple/tiny-tool/", &page), (&files, &wheel)], manner);
        let place = Place::new();
        let address = format!("http://{}/simple", server.address);
        let error = place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap_err();
        assert_eq!(error.kind, Kind::Truncated, "{error}");
        assert!(error.hint.as_ref().unwrap().contains("resume the download"), "{error:?}");
        assert_eq!(place.cached(), [format!("{WHEEL}.partial")]);
        place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
        place.assert_right();
        assert_eq!(server.seen().last().unwrap(), &format!("{files} bytes=500000-"));
    }
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let (item, wheel) = tiny();
    let page = index(item.sha256);
    let files = format!("/files/{WHEEL}");
    let server = Server::new(&[("/simple/tiny-tool/", &page), (&files, &wheel)], Manner::Whole);
    let address = format!("http://{}/simple", server.address);
    for stale in [1000, wheel.len(), wheel.len() + 1] {
        let place = Place::new();
        place.write(&format!("cache/{WHEEL}.partial"), &vec![7; stale]);
        place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
        place.assert_right();
    }
}

#[test]
fn what_was_damaged_on_its_way_is_got_once_more() {
    let (item, wheel) = tiny();
    let (server, address) = serve(&item, &wheel, Manner::Damages);
    let place = Place::new();
    place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
    place.assert_right();
    assert_eq!(server.seen().iter().filter(|line| line.ends_with(".whl")).count(), 2);
}

#[test]
fn a_part_that_the_server_cannot_go_on_from_is_thrown_away() {
    let (item, wheel) = tiny();
    let (server, address) = serve(&item, &wheel, Manner::Ends(1000));
    let place = Place::new();
    place.write(&format!("cache/{WHEEL}.partial"), &wheel[..1000]);
    place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
    place.assert_right();
    assert_eq!(server.seen()[1..], [format!("/files/{WHEEL} bytes=1000-"), format!("/files/{WHEEL}")]);
}

#[test]
fn what_killed_attempts_have_left_does_no_harm() {
    let (item, wheel) = tiny();
    let (_server, address) = serve(&item, &wheel, Manner::Whole);
    let place = Place::new();
    // A lock, half an item at work, a damaged one in place, and a download that had come whole.
    place.write("cache/.polycl.lock", b"");
    place.write("cache/.tiny.new/files/weights.bin", b"half");
    place.write("cache/.tiny.new/old/weights.bin", b"old");
    place.write("cache/tiny/weights.bin", b"damaged");
    place.write(&format!("cache/{WHEEL}.partial"), &wheel);
    assert!(place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap().1);
    place.assert_right();
    // Killed just after it had landed.
    std::fs::create_dir(place.0.path().join("cache/.tiny.new")).unwrap();
    assert!(!place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap().1);
    place.assert_right();
}

#[test]
fn two_at_once_download_once() {
    let (item, wheel) = tiny();
    let (server, address) = serve(&item, &wheel, Manner::Whole);
    let place = Place::new();
    let news: Vec<bool> = std::thread::scope(|scope| {
        let fetch = || place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap().1;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(news.iter().filter(|news| **news).count(), 1);
    assert_eq!(server.seen().len(), 2);
    place.assert_right();
}

/// A disk that is always full stands where the download goes to.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_nothing_comes_to_be() {
    let (item, wheel) = tiny();
    let (server, address) = serve(&item, &wheel, Manner::Whole);
    let place = Place::new();
    std::fs::create_dir(place.0.path().join("cache")).unwrap();
    let partial = place.0.path().join(format!("cache/{WHEEL}.partial"));
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    // A second index does not help, and is not asked.
    let more = [("PIP_INDEX_URL", address.as_str()), ("PIP_EXTRA_INDEX_URL", &address)];
    let error = place.fetch(&item, None, &more).unwrap_err();
    assert_eq!((error.kind, error.file()), (Kind::Io, Some(&*partial)));
    assert!(error.found.contains("No space left"), "{}", error.found);
    assert!(error.hint.unwrap().contains("POLYCL_CACHE"));
    assert_eq!(server.seen().len(), 2);
    assert_eq!(place.cached(), [format!("{WHEEL}.partial")]);
}

#[test]
fn a_proxy_that_pip_is_set_up_with_is_gone_through() {
    let (item, wheel) = tiny();
    let (server, address) = serve(&item, &wheel, Manner::Whole);
    let proxy = address.trim_end_matches("/simple");
    let index = "http://index.invalid/simple";
    Place::new().fetch(&item, None, &[("PIP_INDEX_URL", index), ("PIP_PROXY", proxy)]).unwrap_err();
    assert!(server.seen()[0].contains("index.invalid"), "{:?}", server.seen());
    let error = Place::new()
        .fetch(&item, None, &[("PIP_INDEX_URL", index), ("PIP_PROXY", "://me:pass@")])
        .unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("PIP_PROXY") && !format!("{error:?}").contains("pass"));
}

/// A wheel with a scan, its mask and names, as one of the catalogue has them.
fn sampled(csv: &'static [u8]) -> (Item, Vec<u8>) {
    const PATHS: [&str; 3] = ["images/a.nii.gz", "labels/a.nii.gz", "structures.csv"];
    let contents: [&[u8]; 3] = [b"scan", b"mask", csv];
    let wheel = wheel(&std::array::from_fn::<_, 3, _>(|i| (PATHS[i], contents[i])));
    let member = |i: usize| Member { path: PATHS[i], file: PATHS[i], sha256: hash(contents[i]) };
    let sample = Sample { case: "a", names: PATHS[2], made_by: "a network" };
    let members = Box::leak(Box::new([0, 1, 2].map(member)));
    (Item { members, sample: Some(sample), ..item_of(&wheel, MEMBER, b"") }, wheel)
}

#[test]
fn a_sample_is_marked_as_what_a_network_made() {
    let (item, wheel) = sampled(b"group,structure,id\norgans,spleen,1\norgans,liver,5\n");
    let place = Place::new();
    let file = place.write(WHEEL, &wheel);
    let (path, news) = place.fetch(&item, Some(&file), &[]).unwrap();
    assert!(news && path.ends_with("cache/tiny"));
    let all =
        ["images/a.nii.gz", "labels/a.nii.gz", "labels/labels.json", "labels/polycl.json", "structures.csv"];
    assert_eq!(place.cached(), all.map(|name| format!("tiny/{name}")));
    let mask = path.join("labels/a.nii.gz");
    assert_eq!(Records::default().maker(&mask).unwrap().unwrap().origin, Origin::Predicted);
    let named: Vec<_> = names::beside(&mask).unwrap().names.into_iter().collect();
    assert_eq!(named, [(1, "spleen".to_owned()), (5, "liver".to_owned())]);
    assert!(!place.fetch(&item, None, &[]).unwrap().1);
    // Without its mark the mask would pass for a person's.
    for lost in ["labels/polycl.json", "labels/labels.json"] {
        std::fs::remove_file(path.join(lost)).unwrap();
        assert!(place.fetch(&item, Some(&file), &[]).unwrap().1);
        assert_eq!(place.cached(), all.map(|name| format!("tiny/{name}")));
    }
}

#[test]
fn all_files_come_to_be_or_none() {
    let (item, wheel) = sampled(b"these are no names");
    let place = Place::new();
    let file = place.write(WHEEL, &wheel);
    let error = place.fetch(&item, Some(&file), &[]).unwrap_err();
    assert_eq!(error.kind, Kind::Labels);
    assert_eq!(place.cached(), Vec::<String>::new());
}

#[test]
fn what_was_not_published_is_refused_and_nothing_left() {
    let (item, wheel) = tiny();
    let files = format!("/files/{WHEEL}");
    let mut damaged = wheel.clone();
    damaged[1000] ^= 1;
    let longer = [&wheel[..], b"x"].concat();
    let cases: [(&str, &[u8], &str); 4] = [
        (item.sha256, &damaged, "found a file of another sha256"),
        ("", &damaged, "found a file of another sha256"),
        // The index says beforehand that it is another one.
        (hash(b"another"), &wheel, "found a file of another sha256"),
        ("", &longer, "found a longer file"),
    ];
    for (hash, served, message) in cases {
        let page =
            if hash.is_empty() { format!("<a href='/files/{WHEEL}'>").into_bytes() } else { index(hash) };
        let server = Server::new(&[("/simple/tiny-tool/", &page), (&files, served)], Manner::Whole);
        let place = Place::new();
        let address = format!("http://secret:word@{}/simple", server.address);
        let error = place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap_err();
        assert_eq!(error.kind, Kind::Format);
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains(&server.address) && !format!("{error:?}").contains("secret"));
        assert_eq!(place.cached(), Vec::<String>::new());
    }
}

#[test]
fn an_index_without_it_says_what_to_do() {
    let (item, _) = tiny();
    let server = Server::new(&[], Manner::Whole);
    let place = Place::new();
    let address = format!("http://{}/simple", server.address);
    let error = place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap_err();
    assert_eq!(error.kind, Kind::Request);
    assert!(error.hint.unwrap().contains("polycl fetch tiny --from"));
    // A server that is gone.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = place.fetch(&item, None, &[("PIP_INDEX_URL", &format!("http://{gone}/simple"))]).unwrap_err();
    assert!(error.hint.unwrap().contains("polycl fetch tiny --from"));
    assert_eq!(place.cached(), Vec::<String>::new());
}

#[test]
fn folders_serve_as_well() {
    let (item, wheel) = tiny();
    let place = Place::new();
    let folder = place.write(&format!("wheels/{WHEEL}"), &wheel).parent().unwrap().to_owned();
    place.fetch(&item, None, &[("PIP_FIND_LINKS", folder.to_str().unwrap())]).unwrap();
    place.assert_right();
    let place = Place::new();
    place.write("simple/tiny-tool/index.html", &index(item.sha256));
    place.write(&format!("files/{WHEEL}"), &wheel);
    let address = format!("file://{}", place.0.path().join("simple").display());
    place.fetch(&item, None, &[("PIP_INDEX_URL", &address)]).unwrap();
    place.assert_right();
}

#[test]
fn files_that_were_got_by_hand() {
    let (item, wheel) = tiny();
    for (name, bytes) in [("got.whl", wheel.clone()), ("renamed.bin", content())] {
        let place = Place::new();
        let file = place.write(name, &bytes);
        assert!(place.fetch(&item, Some(&file), &[]).unwrap().1);
        place.assert_right();
        assert!(!place.fetch(&item, Some(&file), &[]).unwrap().1);
    }
    let place = Place::new();
    let refused = |name: &str, bytes: &[u8]| {
        let error = place.fetch(&item, Some(&place.write(name, bytes)), &[]).unwrap_err();
        assert_eq!(place.cached(), Vec::<String>::new());
        assert!(error.hint.as_ref().unwrap().contains("pip download --no-deps"), "{error:?}");
        (error.kind, error.found)
    };
    assert_eq!(refused(WHEEL, &wheel[..9999]), (Kind::Truncated, format!("9999 of {} bytes", wheel.len())));
    assert_eq!(refused("a.bin", &content()[1..]).0, Kind::Format);
    assert_eq!(refused("cut.whl", &wheel[..9999]).0, Kind::Format);
    assert_eq!(place.fetch(&item, Some(Path::new("/nowhere.whl")), &[]).unwrap_err().kind, Kind::Io);
}

#[test]
fn wheels_that_are_not_what_the_catalogue_says() {
    let refused = |wheel: &[u8], path: &'static str, content: &[u8]| {
        let place = Place::new();
        let file = place.write("a.whl", wheel);
        let error = place.fetch(&item_of(wheel, path, content), Some(&file), &[]).unwrap_err();
        assert_eq!(place.cached(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 2, "a file beside the cache");
        error
    };
    let error = refused(&wheel(&[("other", b"x")]), MEMBER, b"x");
    assert!(error.to_string().contains("found no entry of that name"), "{error}");
    let error = refused(&wheel(&[(MEMBER, b"y")]), MEMBER, b"x");
    assert!(error.to_string().contains("found a file of another sha256"), "{error}");
    for path in ["../../evil", "/evil", "a/../../evil", "..\\evil"] {
        let error = refused(&wheel(&[(path, b"x")]), path, b"x");
        assert!(error.to_string().contains("expected files within the wheel"), "{error}");
    }
    let whole = wheel(&[(MEMBER, b"x")]);
    assert_eq!(refused(&whole[..whole.len() - 3], MEMBER, b"x").kind, Kind::Truncated);
    refused(b"no wheel at all", MEMBER, b"x");
    let mut damaged = whole.clone();
    let at = damaged.windows(2).position(|two| two == b"nx").unwrap() + 1;
    damaged[at] = b'z';
    let error = refused(&damaged, MEMBER, b"x");
    assert!(error.to_string().contains("another checksum"), "{error}");
}

#[test]
fn without_index_and_pip_the_command_is_said() {
    let (item, _) = tiny();
    let place = Place::new();
    for path in ["", place.0.path().to_str().unwrap()] {
        let error = place.fetch(&item, None, &[("PATH", path)]).unwrap_err();
        assert_eq!(error.kind, Kind::Request);
        let hint = error.hint.as_deref().unwrap();
        let pip = "pip download --no-deps --only-binary=:all: --ignore-requires-python tiny-tool==1.0";
        assert!(hint.contains(pip) && hint.contains(&format!("polycl fetch tiny --from {WHEEL}")), "{hint}");
        assert_eq!(place.cached(), Vec::<String>::new());
    }
}

/// A stand-in for pip, which is asked in the end.
#[test]
#[cfg(unix)]
fn pip_is_asked_where_no_index_is_set_up() {
    use std::os::unix::fs::PermissionsExt;
    let (item, wheel) = tiny();
    let place = Place::new();
    let source = place.write("source.whl", &wheel);
    let script = |last: &str| {
        let path = place
            .write("bin/pip3", format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{last}").as_bytes());
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let path = place.0.path().join("bin");
    let path = path.to_str().unwrap();
    script("echo 'ERROR: no such package' >&2; exit 1");
    let error = place.fetch(&item, None, &[("PATH", path)]).unwrap_err();
    assert!(error.to_string().ends_with("found ERROR: no such package"), "{error}");
    script("echo 'ERROR: Exception:\n  File x\nOSError: No space left' >&2; exit 2");
    let error = place.fetch(&item, None, &[("PATH", path)]).unwrap_err();
    assert!(error.to_string().ends_with("found OSError: No space left"), "{error}");
    assert_eq!(place.cached(), Vec::<String>::new());
    script(&format!("for last; do :; done\n/bin/cp {} \"$last/{WHEEL}\"", source.display()));
    place.fetch(&item, None, &[("PATH", path)]).unwrap();
    place.assert_right();
}

#[test]
fn weights_are_converted_once() {
    let pth = Path::new(env!("CARGO_MANIFEST_DIR")).join("../polycl-weights/tests/reference/torch/types.pth");
    let bytes = std::fs::read(&pth).unwrap();
    let item = Item { converted: Some("tiny.safetensors"), ..item_of(b"", MEMBER, &bytes) };
    let place = Place::new();
    let (path, news) = place.fetch(&item, Some(&pth), &[]).unwrap();
    assert!(news && path.ends_with("cache/tiny/tiny.safetensors") && path.is_file());
    assert_eq!(place.cached(), ["tiny/tiny.safetensors", "tiny/weights.bin"]);
    assert!(!place.fetch(&item, None, &[]).unwrap().1);
    std::fs::write(&path, b"damaged").unwrap();
    assert!(place.fetch(&item, None, &[]).unwrap().1);
    assert_eq!(converted_from(&path).as_deref(), Some(hash(&bytes)));
}

#[test]
fn the_catalogue_is_sound() {
    for item in CATALOGUE {
        assert!(item.converted.is_none() || item.members.len() == 1, "{}", item.name);
        for hash in item.members.iter().map(|member| member.sha256).chain([item.sha256]) {
            assert!(
                hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            );
        }
        let inside = |part| matches!(part, std::path::Component::Normal(_));
        assert!(item.members.iter().all(|member| Path::new(member.file).components().all(inside)));
        assert!(item.sample.as_ref().is_none_or(|sample| {
            item.members.iter().any(|member| member.file == format!("labels/{}.nii.gz", sample.case))
        }));
    }
}
