//! Names for contents.

use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal digits, upper case as upstream's tags are.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}
