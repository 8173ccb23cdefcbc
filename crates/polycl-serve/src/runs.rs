//! Runs of equal labels: u32 length and u16 label, little endian.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BYTES: usize = 6;

pub fn encode(labels: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut run: Option<(u32, u16)> = None;
    let mut write = |(length, label): (u32, u16)| {
        bytes.extend(length.to_le_bytes());
        bytes.extend(label.to_le_bytes());
    };
    for label in labels {
        match &mut run {
            Some((length, own)) if *own == label && *length < u32::MAX => *length += 1,
            _ => {
                if let Some(run) = run.replace((1, label)) {
                    write(run);
                }
            }
        }
    }
    run.into_iter().for_each(&mut write);
    bytes
}

/// The labels of runs that are `count` long together; nothing where they are not.
pub fn decode(bytes: &[u8], count: usize) -> Option<Vec<u16>> {
    if !bytes.len().is_multiple_of(BYTES) {
        return None;
    }
    let mut labels = Vec::with_capacity(count);
    for run in bytes.chunks_exact(BYTES) {
        let length = u32::from_le_bytes([run[0], run[1], run[2], run[3]]) as usize;
        let label = u16::from_le_bytes([run[4], run[5]]);
        if length > count - labels.len() {
            return None;
        }
        labels.resize(labels.len() + length, label);
    }
    (labels.len() == count).then_some(labels)
}

pub fn text(labels: impl IntoIterator<Item = u16>) -> String {
    STANDARD.encode(encode(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_lies_do_not() {
        let labels = [0, 0, 7, 7, 7, 300, 0];
        let bytes = encode(labels);
        assert_eq!(bytes.len(), 4 * BYTES);
        assert_eq!(decode(&bytes, 7), Some(labels.to_vec()));
        assert_eq!(decode(&bytes, 8), None);
        assert_eq!(decode(&bytes, 6), None);
        assert_eq!(decode(&bytes[1..], 7), None);
        assert_eq!(decode(&[255, 255, 255, 255, 1, 0], 7), None);
        assert_eq!(decode(&encode([]), 0), Some(Vec::new()));
    }
}
