//! The container of arrays, against files of the official client and against garbage.

use proptest::prelude::*;

use crate::nninteractive::nnia::{Array, write};

const SHAPE: [usize; 4] = [1, 20, 64, 65];
const COUNT: usize = 20 * 64 * 65;

fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/nnia").join(name);
    std::fs::read(path).unwrap()
}

fn ramp(at: usize) -> f32 {
    (at / 7 % 2003) as f32 - 1000.0
}

#[test]
fn arrays_of_the_official_client_are_read() {
    let quarter = |at: usize| ramp(at) / 4.0;
    type Rule<'a> = &'a dyn Fn(usize) -> f32;
    let cases: [(&str, Rule<'_>); 10] = [
        ("int16", &ramp),
        ("int16_plain", &ramp),
        ("int32_threads", &ramp),
        ("float32", &quarter),
        ("float64", &quarter),
        ("float16", &|at| ramp(at).rem_euclid(50.0) / 4.0),
        ("uint8", &|at| (at % 251) as f32),
        ("zeros", &|_| 0.0),
        ("ones", &|_| 1.0),
        ("air", &|_| -1000.0),
    ];
    for (name, rule) in cases {
        let array =
            Array::read(&golden(&format!("{name}.nnia")), COUNT).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(array.shape, SHAPE, "{name}");
        let numbers = array.numbers();
        let other = (0..COUNT).find(|&at| numbers[at] != rule(at));
        assert_eq!(other, None, "{name}");
        assert!(
            array.truths().iter().zip(&numbers).all(|(truth, number)| *truth == (*number != 0.0)),
            "{name}"
        );
    }
    let noise = Array::read(&golden("noise.nnia"), 231).unwrap();
    assert_eq!(
        (noise.shape.as_slice(), noise.numbers()),
        (&[1, 3, 7, 11][..], golden("noise.raw").into_iter().map(f32::from).collect())
    );
    assert_eq!(Array::read(&golden("one.nnia"), 1).unwrap().truths(), [true]);
}

#[test]
fn what_is_written_is_read() {
    let values: Vec<u8> = (0..2 * 3 * 5).collect();
    let array = Array::read(&write([2, 3, 5], &values), 30).unwrap();
    assert_eq!(
        (array.shape.as_slice(), array.numbers()),
        (&[2, 3, 5][..], values.into_iter().map(f32::from).collect())
    );
}

#[test]
fn claims_are_checked_before_anything_is_allocated() {
    let refused = |bytes: &[u8], most: usize| Array::read(bytes, most).unwrap_err().to_string();
    let good = golden("int16.nnia");
    let said = refused(&golden("lz4.nnia"), COUNT);
    assert!(said.contains("zstd") && said.contains("codec 1"), "{said}");
    assert!(refused(&good, COUNT - 1).contains("[1, 20, 64, 65]"));
    // Sides that multiply to nothing that a computer has, and that overflow.
    for side in [u64::MAX, 1 << 62, 1 << 40, 0] {
        let mut bytes = good.clone();
        bytes[13..21].copy_from_slice(&side.to_le_bytes());
        assert!(refused(&bytes, 1 << 30).contains("values"), "{side}");
    }
    // More chunks than there are bytes for; bytes behind the last one.
    let mut bytes = good.clone();
    bytes[45..49].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&bytes, COUNT).contains("chunks"));
    assert!(refused(&[&good[..], &[0]].concat(), COUNT).contains("1 behind"));
    for cut in 0..good.len() {
        refused(&good[..cut], COUNT);
    }
}

proptest! {
    /// Bytes that were changed anywhere, or cut, are read or refused.
    #[test]
    fn garbage_is_refused(
        file in prop::sample::select(vec!["int16", "int16_plain", "float32", "uint8", "zeros", "ones", "air", "noise"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        near in prop::collection::vec((0_usize..120, any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = golden(&format!("{file}.nnia"));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        near.into_iter().for_each(|(at, byte)| if let Some(own) = bytes.get_mut(at) { *own = byte });
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(array) = Array::read(&bytes, COUNT) {
            prop_assert!(array.numbers().len() <= COUNT);
        }
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Array::read(&[b"NNIA\x01\x01\x01\x05uint8", &bytes[..]].concat(), 4096);
    }
}
