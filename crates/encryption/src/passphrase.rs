//! Bytes sealed by a secret that people carry from machine to machine, such as the token of a cluster.

use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;

use crate::cipher::Cipher;

const SALT: usize = 16;
/// What a guess at the secret costs. Secrets that we make need none of it; those that people make do.
const ROUNDS: u32 = 100_000;

/// Binds what is sealed to its `place`. Takes some 50 ms.
pub fn seal(secret: &str, place: &str, plain: &[u8]) -> Vec<u8> {
    let mut salt = [0; SALT];
    clock::fill_random(&mut salt);
    let sealed = cipher(secret, &salt).seal(place, plain).expect("a short text is sealed");
    [&salt[..], &sealed].concat()
}

/// Nothing for another secret or place, and for what was changed.
pub fn open(secret: &str, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (salt, sealed) = sealed.split_at_checked(SALT)?;
    cipher(secret, salt).open(place, sealed)
}

fn cipher(secret: &str, salt: &[u8]) -> Cipher {
    let mut key = [0; 32];
    pbkdf2_hmac::<Sha256>(secret.as_bytes(), salt, ROUNDS, &mut key);
    Cipher::gcm(&key).expect("the key has the right length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_opens_what_it_sealed_in_its_place() {
        let sealed = seal("secret", "place", b"plain");
        assert_eq!(open("secret", "place", &sealed).as_deref(), Some(&b"plain"[..]));
        assert_eq!(open("Secret", "place", &sealed), None);
        assert_eq!(open("secret", "other", &sealed), None);
        assert_eq!(open("secret", "place", &sealed[1..]), None);
        assert_eq!(open("secret", "place", b"short"), None);
        assert_ne!(sealed, seal("secret", "place", b"plain"));
    }
}
