//! A report as one HTML file that needs no network, tables, curves and pictures in a column; and in Markdown.

use std::io::Write;
use std::path::Path;

use polycl_base::output;

pub struct Report {
    title: String,
    blocks: Vec<Block>,
}

const STYLE: &str = "
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
  table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: right }
  th:first-child, td:first-child { text-align: left } thead { border-bottom: 2px solid #444 }
  tbody tr { border-bottom: 1px solid #ddd } figure { display: inline-block; margin: .5rem; vertical-align: top }
  figcaption { font-size: .85rem; max-width: 20rem } img { image-rendering: pixelated; display: block }
  pre { background: #f4f4f4; padding: .8rem; overflow-x: auto } svg { width: 29rem; max-width: 100%; height: auto }
  @media print { figure { break-inside: avoid } }";

/// The parts of a report, in order.
enum Block {
    Heading(String),
    Paragraph(String),
    Code(String),
    Table { head: Vec<String>, rows: Vec<Vec<String>> },
    Svg(String),
    Picture { address: String, caption: String },
}

impl Report {
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), blocks: Vec::new() }
    }

    pub fn heading(&mut self, text: &str) {
        self.blocks.push(Block::Heading(text.to_owned()));
    }

    pub fn paragraph(&mut self, text: &str) {
        self.blocks.push(Block::Paragraph(text.to_owned()));
    }

    pub fn code(&mut self, text: &str) {
        self.blocks.push(Block::Code(text.to_owned()));
    }

    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let head = head.iter().map(|&cell| cell.to_owned()).collect();
        self.blocks.push(Block::Table { head, rows: rows.to_vec() });
    }

    /// An SVG picture, as it is.
    pub fn svg(&mut self, svg: &str) {
        self.blocks.push(Block::Svg(svg.to_owned()));
    }

    /// A picture by its `data:` address.
    pub fn picture(&mut self, address: &str, caption: &str) {
        self.blocks.push(Block::Picture { address: address.to_owned(), caption: caption.to_owned() });
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let title = escape(&self.title);
        let body: String = self.blocks.iter().map(Block::html).collect();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}</body></html>\n"
        );
        Ok(output::atomically(path, |file| file.write_all(page.as_bytes()))?)
    }

    /// The same in Markdown, without its pictures.
    pub fn write_markdown(&self, path: &Path) -> anyhow::Result<()> {
        let body: String = self.blocks.iter().map(Block::markdown).collect();
        Ok(output::atomically(path, |file| write!(file, "# {}\n{body}", self.title))?)
    }
}

impl Block {
    fn html(&self) -> String {
        let html = match self {
            Self::Heading(text) => format!("<h2>{}</h2>", escape(text)),
            Self::Paragraph(text) => format!("<p>{}</p>", escape(text)),
            Self::Code(text) => format!("<pre>{}</pre>", escape(text)),
            Self::Svg(svg) => format!("<figure>{svg}</figure>"),
            Self::Table { head, rows } => {
                let cells = |tag: &str, cells: &[String]| {
                    let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
                    format!("<tr>{}</tr>", cells.collect::<String>())
                };
                let (head, rows) =
                    (cells("th", head), rows.iter().map(|row| cells("td", row)).collect::<String>());
                format!("<table><thead>{head}</thead><tbody>{rows}</tbody></table>")
            }
            Self::Picture { address, caption } => {
                let caption = escape(caption);
                format!(
                    r#"<figure><img src="{address}" alt="{caption}"><figcaption>{caption}</figcaption></figure>"#
                )
            }
        };
        html + "\n"
    }

    fn markdown(&self) -> String {
        match self {
            Self::Heading(text) => format!("\n## {text}\n"),
            Self::Paragraph(text) => format!("\n{text}\n"),
            Self::Code(text) => format!("\n```\n{}\n```\n", text.trim_end()),
            Self::Table { head, rows } => {
                let whole = |cell: &String| cell.replace('|', "\\|");
                let line = |cells: &[String]| {
                    format!("| {} |\n", cells.iter().map(whole).collect::<Vec<_>>().join(" | "))
                };
                let rule = vec!["---".to_owned(); head.len()];
                let rows: String = rows.iter().map(|row| line(row)).collect();
                format!("\n{}{}{rows}", line(head), line(&rule))
            }
            Self::Svg(_) | Self::Picture { .. } => String::new(),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
