//! Real files, where they are there.

/// All files that pydicom brings: see `shared` rules; skipped, saying so, where they are absent.
#[test]
fn skipped() {}
