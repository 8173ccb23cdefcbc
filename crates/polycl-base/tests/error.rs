use std::error::Error as _;
use std::io;
use std::path::Path;

use polycl_base::{Error, Kind, Subject, only, told};

/// An error of somebody else's, around one of ours.
#[derive(Debug)]
struct Around(Error);

impl std::fmt::Display for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reading the scan")
    }
}

impl std::error::Error for Around {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_systems_error_is_kept_and_told_once() {
    let missing = io::Error::from_raw_os_error(2);
    let error = Error::io(Path::new("a.nii"), "read it", &missing);
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    assert_eq!(error.to_string(), format!("a.nii: could not read it: {missing}"));
    assert_eq!(told(&Around(error)), format!("reading the scan: a.nii: could not read it: {missing}"));
}

#[test]
fn what_the_system_has_no_code_for_keeps_its_kind_and_text() {
    for cause in [io::Error::new(io::ErrorKind::InvalidData, "damaged"), io::ErrorKind::StorageFull.into()] {
        let error = Error::io(Path::new("a"), "write it", &cause);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
        assert_eq!((source.kind(), source.to_string()), (cause.kind(), cause.to_string()));
        assert_eq!(error.hint.is_some(), cause.kind() == io::ErrorKind::StorageFull);
    }
}

#[test]
fn an_error_is_about_a_file_or_names_what_else() {
    let file = Error::new(Path::new("dir/a"), Kind::Format, "text", "bytes");
    assert_eq!(file.file(), Some(Path::new("dir/a")));
    let flag = file.about(Subject::Flag("--model".into())).hint("name one");
    assert_eq!((flag.file(), flag.to_string().as_str()), (None, "--model: expected text, found bytes"));
    assert_eq!(
        serde_json::to_string(&flag).unwrap(),
        r#"{"about":{"flag":"--model"},"kind":"format","expected":"text","found":"bytes","hint":"name one"}"#
    );
}

/// JSON holds no other bytes, and an outcome must not be lost for the name of a file.
#[test]
#[cfg(unix)]
fn a_path_that_is_no_text_is_serialized_all_the_same() {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"a\xff"));
    assert_eq!(serde_json::to_string(&Subject::from(path)).unwrap(), "{\"file\":\"a\u{fffd}\"}");
}

#[test]
fn names_that_there_are_are_listed_and_their_lack_is_told() {
    assert_eq!(only(["liver", "spleen"], "organ"), "only liver, spleen");
    assert_eq!(only(Vec::<String>::new(), "organ"), "no organ");
}
