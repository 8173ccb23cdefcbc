//! A report as one HTML file that needs no network: tables, curves and pictures in a column.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use polycl_volume::output;

pub struct Report {
    title: String,
    body: String,
}

const STYLE: &str = "
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
  table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: right }
  th:first-child, td:first-child { text-align: left } thead { border-bottom: 2px solid #444 }
  tbody tr { border-bottom: 1px solid #ddd } figure { display: inline-block; margin: .5rem; vertical-align: top }
  figcaption { font-size: .85rem; max-width: 20rem } img { image-rendering: pixelated; display: block }
  pre { background: #f4f4f4; padding: .8rem; overflow-x: auto } svg { width: 29rem; max-width: 100%; height: auto }
  @media print { figure { break-inside: avoid } }";

impl Report {
    pub fn new(title: &str) -> Self {
        Self { title: escape(title), body: String::new() }
    }

    pub fn heading(&mut self, text: &str) {
        self.add(&format!("<h2>{}</h2>", escape(text)));
    }

    pub fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>", escape(text)));
    }

    pub fn code(&mut self, text: &str) {
        self.add(&format!("<pre>{}</pre>", escape(text)));
    }

    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
            format!("<tr>{}</tr>", cells.collect::<String>())
        };
        let head = cells("th", &mut head.iter().copied());
        let rows: String = rows.iter().map(|row| cells("td", &mut row.iter().map(String::as_str))).collect();
        self.add(&format!("<table><thead>{head}</thead><tbody>{rows}</tbody></table>"));
    }

    /// An SVG picture, as it is.
    pub fn svg(&mut self, svg: &str) {
        self.add(&format!("<figure>{svg}</figure>"));
    }

    /// A picture by its `data:` address.
    pub fn picture(&mut self, address: &str, caption: &str) {
        let caption = escape(caption);
        self.add(&format!(
            r#"<figure><img src="{address}" alt="{caption}"><figcaption>{caption}</figcaption></figure>"#
        ));
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let Self { title, body } = self;
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}</body></html>\n"
        );
        Ok(output::atomically(path, |file| file.write_all(page.as_bytes()))?)
    }

    fn add(&mut self, html: &str) {
        writeln!(self.body, "{html}").expect("a string takes what is written to it");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
