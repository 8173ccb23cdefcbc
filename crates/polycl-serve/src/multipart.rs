//! Forms with files, `multipart/form-data`: taken apart where they lie, and written. Public for fuzzing.

/// Parts of a form, and bytes of a part's header and of the line between two parts.
const PARTS: usize = 16;
const HEAD: usize = 8 << 10;
const LINE: usize = 256;

/// A field or a file of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    pub name: &'a str,
    /// The name of a file, as the client calls it.
    pub file: Option<&'a str>,
    pub bytes: &'a [u8],
}

/// The parts of a form. The line that stands between them is the body's first one: clients are known to send one header for
/// another body.
///
/// # Errors
/// What is wrong, in words.
pub fn parts(body: &[u8]) -> Result<Vec<Part<'_>>, &'static str> {
    let line = find(&body[..body.len().min(LINE)], b"\r\n").ok_or("no line at the start of the form")?;
    let line = &body[..line];
    if line.len() < 3 || !line.starts_with(b"--") {
        return Err("a form that begins with something else than its boundary");
    }
    let between = [b"\r\n", line].concat();
    let (mut parts, mut rest) = (Vec::new(), &body[line.len()..]);
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or("a boundary with something behind it")?;
        if parts.len() == PARTS {
            return Err("too many parts");
        }
        let head = find(&rest[..rest.len().min(HEAD)], b"\r\n\r\n").ok_or("a part without a header")?;
        let (head, content) = (&rest[..head], &rest[head + 4..]);
        let end = find(content, &between).ok_or("a part without an end")?;
        let (name, file) = named(head)?;
        parts.push(Part { name, file, bytes: &content[..end] });
        rest = &content[end + between.len()..];
    }
}

/// The first place of some bytes, which begin with a carriage return.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == wanted[0]) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The name of a part and of its file, by its header.
fn named(head: &[u8]) -> Result<(&str, Option<&str>), &'static str> {
    let head = std::str::from_utf8(head).map_err(|_| "a header that is not UTF-8")?;
    let mut disposition = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let mut rest = disposition.next().ok_or("a part without a name")?;
    let (mut name, mut file) = (None, None);
    while let Some((_, parameter)) = rest.split_once(';') {
        let Some((key, value)) = parameter.split_once('=') else { break };
        // Programs on Windows send backslashes as they are: they escape nothing.
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a name without an end")?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        match key.trim() {
            "name" => name = Some(value),
            "filename" | "filename*" => file = Some(value),
            _ => {}
        }
        rest = behind;
    }
    Ok((name.ok_or("a part without a name")?, file))
}

/// Writes a form with a field of JSON and a file, between whose parts a line stands that neither has in it.
pub fn write(line: &str, json: &str, file: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{line}\r\nContent-Disposition: form-data; name=\"params\"\r\nContent-Type: application/json\r\n\r\n{json}\r\n\
         --{line}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{file}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), bytes, format!("\r\n--{line}--\r\n").as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_of_the_real_client_are_taken_apart() {
        let line = "----------lImIt_of_THE_fIle_eW_$";
        let body = format!(
            "--{line}\r\nContent-Disposition: form-data; name=\"params\"\r\n\r\n{{\"a\": 1}}\r\n--{line}\r\n\
             Content-Disposition: form-data; name=\"label\"; filename=\"C:\\Users\\;x\\t.nii.gz\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n--{line}x\r\nbytes\r\n\r\n--{line}--\r\n\r\n"
        );
        // A line that begins like the boundary ends the part; what is behind it is no form then.
        assert_eq!(parts(body.as_bytes()), Err("a boundary with something behind it"));
        let body = body.replace(&format!("--{line}x"), "--other");
        let found = parts(body.as_bytes()).unwrap();
        assert_eq!(found[0], Part { name: "params", file: None, bytes: b"{\"a\": 1}" });
        assert_eq!((found[1].name, found[1].file), ("label", Some("C:\\Users\\;x\\t.nii.gz")));
        assert_eq!(found[1].bytes, b"\r\n--other\r\nbytes\r\n");
    }

    #[test]
    fn broken_forms_are_told() {
        let of = |body: &str| parts(body.as_bytes()).unwrap_err();
        assert_eq!(of(""), "no line at the start of the form");
        assert_eq!(of("x\r\n"), "a form that begins with something else than its boundary");
        assert_eq!(of("--a\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny"), "a part without an end");
        assert_eq!(of("--a\r\nX: y\r\n\r\n\r\n--a--"), "a part without a name");
        assert_eq!(of("--a\r\nContent-Disposition: form-data; name=\"x"), "a part without a header");
        let many = "--a\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n".repeat(PARTS + 1);
        assert_eq!(of(&format!("{many}--a--")), "too many parts");
        assert_eq!(of(&format!("--a\r\n{}", "x".repeat(2 * HEAD))), "a part without a header");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_written_is_taken_apart(json in "[ -~]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let form = write("0123456789abcdef", &json, "mask.nrrd", &bytes);
            let found = parts(&form).unwrap();
            prop_assert_eq!(found.len(), 2);
            prop_assert_eq!(found[0], Part { name: "params", file: None, bytes: json.as_bytes() });
            prop_assert_eq!(found[1], Part { name: "image", file: Some("mask.nrrd"), bytes: &bytes });
        }

        #[test]
        fn no_bytes_are_fatal(start in "(--a\r\n)?[-a:;=\" \r\nCnotedispi]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let body = [start.as_bytes(), &bytes].concat();
            if let Ok(found) = parts(&body) {
                prop_assert!(found.iter().map(|part| part.bytes.len()).sum::<usize>() < body.len());
            }
        }

        #[test]
        fn a_form_that_is_cut_off_is_told(cut in 1_usize..200) {
            let form = write("0123456789abcdef", "{}", "mask.nrrd", &[7; 100]);
            let end = form.len() - cut.min(form.len());
            // But for the end of line behind it, and the end of the last boundary.
            prop_assert_eq!(parts(&form[..end]).is_ok(), cut <= 2);
        }
    }
}
