//! UIDs of our own, hashes of what they stand for.

use sha2::{Digest, Sha256};

/// A UID that follows from `content`: a UUID of version 8, which is for hashes of one's own, as a
/// number under the root that the standard keeps for UUIDs.
pub(in crate::dicom) fn uid(content: &[u8], purpose: &str) -> String {
    let hash = Sha256::new().chain_update(content).chain_update(purpose).finalize();
    let bits = hash.iter().take(16).fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
    let version = bits & !(0xf << 76) | 0x8 << 76;
    let variant = version & !(0b11 << 62) | 0b10 << 62;
    format!("2.25.{variant}")
}
