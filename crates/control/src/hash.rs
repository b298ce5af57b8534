//! Short, stable hashes for labels and names.

use serde::Serialize;

/// Upstream's alphabet for generated parts of names.
const SAFE_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// 32 bit FNV-1a.
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Replaces each byte of `text` by one of the safe alphabet, as upstream's rand.SafeEncodeString.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(SAFE_ALPHABET[usize::from(byte) % SAFE_ALPHABET.len()])).collect()
}

/// The hash of `value`'s JSON; `collision_count` moves it away from a name that is taken.
///
/// It is stable while the value is, and at most ten characters long.
pub fn object_hash(value: &impl Serialize, collision_count: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(value).expect("API types have string keys, so they can be printed as JSON");
    if let Some(count) = collision_count {
        bytes.extend(count.to_le_bytes());
    }
    safe_encode(&fnv32a(&bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_letters_that_spell_nothing() {
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        assert!(safe_encode("4294967295").bytes().all(|byte| SAFE_ALPHABET.contains(&byte)));
        assert_eq!(fnv32a(b"a"), 0xe40c_292c);
    }

    #[test]
    fn a_collision_changes_the_hash() {
        let template = serde_json::json!({"image": "web"});
        assert_eq!(object_hash(&template, None), object_hash(&template, None));
        assert_ne!(object_hash(&template, None), object_hash(&template, Some(1)));
    }
}
