//! Damaged files must be read or refused within their memory, never bring the program down. The
//! fuzzer in `fuzz/` goes further; these few thousand run with every test.

use polycl_base::Kind;
use polycl_base::rng::{Purpose, rng};
use polycl_fixtures::zip::{Scratch, checkpoint};
use polycl_weights::torch;
use rand::RngExt;

use crate::memory::peak;
use crate::reference;

/// Reads bytes as a file, within twice their number and a MiB.
fn read(scratch: &Scratch, bytes: &[u8]) -> Option<Kind> {
    let path = scratch.write(bytes);
    let (result, peak) = peak(|| torch::read(&path));
    assert!(peak <= 2 * bytes.len() + (1 << 20), "{peak} bytes for a file of {}", bytes.len());
    result.map_err(|error| error.kind).err()
}

#[test]
fn every_cut_is_told() {
    let scratch = Scratch::default();
    for file in ["state_dict.pth", "shared.pth"] {
        let bytes = std::fs::read(reference().join(file)).unwrap();
        for len in 0..bytes.len() {
            let kind = read(&scratch, &bytes[..len]).expect("a cut file is not whole");
            let expected = if len < 4 { Kind::Checkpoint } else { Kind::Truncated };
            assert_eq!(kind, expected, "{file} cut after {len} bytes");
        }
    }
}

#[test]
fn mutated_files_do_not_panic() {
    let files = ["state_dict.pth", "strides.pth", "types.pth", "training.pth", "protocol4.pth"];
    let files = files.map(|file| std::fs::read(reference().join(file)).unwrap());
    let scratch = Scratch::default();
    let mut outcomes = [0; 2];
    for round in 0..5000 {
        let mut random = rng(1, Purpose::Phantom, [round, 1]);
        let mut bytes = files[round as usize % files.len()].clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random.random()][random.random_range(0..6)];
        }
        outcomes[usize::from(read(&scratch, &bytes).is_some())] += 1;
    }
    assert!(outcomes.iter().all(|&n| n > 500), "the mutations are too tame or too wild: {outcomes:?}");
}

/// Past the checksum of the zip file.
#[test]
fn mutated_pickles_do_not_panic() {
    let pickles = ["state_dict.pth", "strides.pth", "types.pth", "protocol4.pth"].map(|file| {
        let bytes = std::fs::read(reference().join(file)).unwrap();
        let start = bytes.windows(2).position(|two| two == b"\x80\x02" || two == b"\x80\x04").unwrap();
        let stop = bytes[start..].windows(3).position(|three| three == b".PK").unwrap();
        bytes[start..=start + stop].to_vec()
    });
    let scratch = Scratch::default();
    let mut outcomes = [0; 2];
    for round in 0..5000 {
        let mut random = rng(2, Purpose::Phantom, [round, 1]);
        let mut pickle = pickles[round as usize % pickles.len()].clone();
        for _ in 0..random.random_range(1..3) {
            let at = random.random_range(0..pickle.len());
            pickle[at] = [0, 1, 0x7f, 0x80, 0xff, random.random()][random.random_range(0..6)];
        }
        // Every storage but the first is missing, so that few of these are read: it is the parsing.
        outcomes[usize::from(read(&scratch, &checkpoint(&pickle, 600)).is_some())] += 1;
    }
    assert!(outcomes[1] > 500, "{outcomes:?}");
}
