//! Names for contents.

use machinery::strconv;
use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal digits, upper case as upstream's tags are.
pub fn hex(bytes: &[u8]) -> String {
    strconv::hex(&Sha256::digest(bytes)).to_uppercase()
}
