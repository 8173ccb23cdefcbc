//! The page, whose files are part of the program.

/// A file of the page: its name, its kind, its bytes.
pub struct File {
    pub name: &'static str,
    pub kind: &'static str,
    pub bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal: $kind:expr,)*) => {
        &[$(File { name: $name, kind: $kind, bytes: include_bytes!(concat!("../page/", $name)) },)*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

const FILES: &[File] = files! {
    "api.js": SCRIPT,
    "bench.js": SCRIPT,
    "brush.js": SCRIPT,
    "bus.js": SCRIPT,
    "curve.js": SCRIPT,
    "dialogs.js": SCRIPT,
    "dom.js": SCRIPT,
    "drawing.js": SCRIPT,
    "export.js": SCRIPT,
    "fill.js": SCRIPT,
    "geometry.js": SCRIPT,
    "icon.svg": PICTURE,
    "index.html": HTML,
    "keys.js": SCRIPT,
    "labels.js": SCRIPT,
    "legend.js": SCRIPT,
    "main.js": SCRIPT,
    "memory.js": SCRIPT,
    "navigate.js": SCRIPT,
    "outbox.js": SCRIPT,
    "outline.js": SCRIPT,
    "overlay.js": SCRIPT,
    "preview.js": SCRIPT,
    "prompt.js": SCRIPT,
    "propagate.js": SCRIPT,
    "queue.js": SCRIPT,
    "raster.js": SCRIPT,
    "review.js": SCRIPT,
    "runs.js": SCRIPT,
    "scan.js": SCRIPT,
    "slider.js": SCRIPT,
    "stroke.js": SCRIPT,
    "style.css": STYLE,
    "surface.js": SCRIPT,
    "tables.js": SCRIPT,
    "tools.js": SCRIPT,
    "train.js": SCRIPT,
    "view.js": SCRIPT,
    "views.js": SCRIPT,
    "voxels.js": SCRIPT,
};

/// A file by its name; the page itself by none.
pub fn file(name: &str) -> Option<&'static File> {
    let name = if name.is_empty() { "index.html" } else { name };
    FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of the folder is served, as what it is.
    #[test]
    fn the_page_is_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
                Some("html") => HTML,
                Some("css") => STYLE,
                Some("js") => SCRIPT,
                Some("svg") => PICTURE,
                _ => continue,
            };
            assert_eq!(file(&name).map(|file| file.kind), Some(kind), "{name}");
        }
        assert!(file("../API.md").is_none());
    }
}
