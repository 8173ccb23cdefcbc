//! Any bytes as a form with files are taken apart or refused, within the memory of a list of parts; what is written comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polycl_fuzz::proportionate;
use polycl_serve::multipart;

const LIST: usize = 8 << 10;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(parts) = proportionate(LIST, || multipart::parts(bytes)) {
        assert!(parts.iter().map(|part| part.bytes.len() + part.name.len()).sum::<usize>() < bytes.len().max(1));
    }
    let line = "0123456789abcdef0123456789abcdef";
    if !bytes.windows(line.len()).any(|own| own == line.as_bytes()) {
        let form = multipart::write(line, "{}", "mask.nrrd", bytes);
        let parts = multipart::parts(&form).expect("what is written is a form");
        assert_eq!((parts.len(), parts[1].name, parts[1].bytes), (2, "image", bytes));
    }
});
