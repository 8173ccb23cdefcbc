use super::url::Url;

/// A link to a file, and the hash that the page gives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    pub url: Url,
    pub sha256: Option<String>,
}

/// Looks for a file of the name `wheel` on an index's page of a package: JSON (PEP 691), or else
/// HTML (PEP 503), whose only other use is a list of links.
pub fn find(page: &Url, text: &str, json: bool, wheel: &str) -> Option<Link> {
    let links = if json { links_of_json(text) } else { links_of_html(text) };
    links.iter().find_map(|(target, sha256)| {
        let url = page.join(target).filter(|url| url.file_name() == wheel)?;
        let fragment = target.split_once("#sha256=").map(|(_, hash)| hash.split('&').next().unwrap_or(hash));
        let sha256 = sha256.as_deref().or(fragment).map(str::to_ascii_lowercase);
        Some(Link { url, sha256 })
    })
}

type Target = (String, Option<String>);

fn links_of_json(text: &str) -> Vec<Target> {
    let page: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let files = page["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let link = |file: &serde_json::Value| {
        let hash = file["hashes"]["sha256"].as_str().map(str::to_owned);
        Some((file["url"].as_str()?.to_owned(), hash))
    };
    files.iter().filter_map(link).collect()
}

fn links_of_html(text: &str) -> Vec<Target> {
    let mut links = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let is_anchor = rest.starts_with(['a', 'A']) && rest[1..].starts_with(char::is_whitespace);
        if is_anchor && let Some(target) = target(&rest[1..]) {
            links.push((unescaped(target), None));
        }
    }
    links
}

/// The `href` among a tag's attributes.
fn target(mut rest: &str) -> Option<&str> {
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>'))?;
        let name = &rest[..end];
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let inner = &after[quote.map_or(0, |_| 1)..];
            let stop =
                inner.find(|c: char| quote.map_or(c.is_whitespace() || c == '>', |quote| c == quote))?;
            value = &inner[..stop];
            rest = &inner[stop + quote.map_or(0, |_| 1)..];
        } else if name.is_empty() {
            return None; // The tag's end.
        }
        if name.eq_ignore_ascii_case("href") {
            return Some(value);
        }
    }
}

/// Text without HTML's names for characters that addresses may hold.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out += &rest[..start];
        rest = &rest[start..];
        let entity = rest.find(';').map(|end| &rest[1..end]);
        let character = entity.and_then(|entity| match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => numbered(entity),
        });
        match (character, entity) {
            (Some(character), Some(entity)) => {
                out.push(character);
                rest = &rest[entity.len() + 2..];
            }
            _ => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// `#38`, `#x26`.
fn numbered(entity: &str) -> Option<char> {
    let digits = entity.strip_prefix('#')?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    char::from_u32(code.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHEEL: &str = "tool-1.0-py3-none-any.whl";

    fn found(text: &str, json: bool) -> Option<(String, Option<String>)> {
        let page = Url::parse("http://host/simple/tool/").unwrap();
        find(&page, text, json, WHEEL).map(|link| (link.url.to_string(), link.sha256))
    }

    #[test]
    fn a_wheel_is_found_on_pages_of_every_manner() {
        let address = "http://host/files/tool-1.0-py3-none-any.whl";
        let plain = format!("<!DOCTYPE html><a href=\"/files/{WHEEL}#sha256=AB&amp;x\">{WHEEL}</a>");
        assert_eq!(found(&plain, false), Some((address.into(), Some("ab".into()))));
        let odd =
            "<A\n data-x='a>b' disabled HREF = '../../files/tool-1.0-py3&#45;none-any.whl?a=1&amp;b=2' >";
        assert_eq!(found(odd, false), Some((format!("{address}?a=1&b=2"), None)));
        let bare = format!("<abbr href=/no/{WHEEL}><a name=x><a href=/files/{WHEEL}>");
        assert_eq!(found(&bare, false), Some((address.into(), None)));
        let json = format!(
            r#"{{"files": [{{"url": "no.whl"}}, {{"url": "/files/{WHEEL}", "hashes": {{"sha256": "cd"}}}}]}}"#
        );
        assert_eq!(found(&json, true), Some((address.into(), Some("cd".into()))));
    }

    #[test]
    fn pages_without_it() {
        for text in [
            "",
            "<a",
            "<a href",
            "<a href=",
            "<a href='x",
            "<a =>",
            "<a >",
            "&&;&#xffffffff;",
            "<é a href=x>",
        ] {
            assert_eq!(found(text, false), None, "{text}");
        }
        // A file that only begins or ends like it.
        assert_eq!(found(&format!("<a href='{WHEEL}.metadata'><a href='my{WHEEL}'>"), false), None);
        assert_eq!(found("{", true), None);
        assert_eq!(found(r#"{"files": 3}"#, true), None);
    }
}
