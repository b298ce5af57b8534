//! The ciphers that keys of a configuration are for. What they make is laid out as upstream's.

mod aescbc;
mod aesgcm;
mod secretbox;

use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, KeyInit as _};

pub(crate) use aescbc::AesCbc;
use aesgcm::{open as open_gcm, seal as seal_gcm};
pub(crate) use secretbox::SecretBox;

type Gcm<A> = AesGcm<A, U12>;

/// A cipher with its key. Only AES-GCM binds a value to its place in the store.
#[derive(Clone)]
pub(crate) enum Cipher {
    Gcm128(Box<Gcm<aes::Aes128>>),
    Gcm192(Box<Gcm<aes::Aes192>>),
    Gcm256(Box<Gcm<aes::Aes256>>),
    Cbc(AesCbc),
    SecretBox(SecretBox),
}

impl Cipher {
    /// Nothing for a key of a wrong length.
    pub fn gcm(key: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Gcm128(Box::new(Gcm::new_from_slice(key).ok()?)),
            24 => Self::Gcm192(Box::new(Gcm::new_from_slice(key).ok()?)),
            32 => Self::Gcm256(Box::new(Gcm::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    pub fn seal(&self, place: &str, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gcm128(cipher) => seal_gcm(&**cipher, place, plain),
            Self::Gcm192(cipher) => seal_gcm(&**cipher, place, plain),
            Self::Gcm256(cipher) => seal_gcm(&**cipher, place, plain),
            Self::Cbc(cipher) => cipher.seal(plain),
            Self::SecretBox(cipher) => Some(cipher.seal(plain)),
        }
    }

    /// Nothing for what was changed, moved, or sealed by another key.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gcm128(cipher) => open_gcm(&**cipher, place, sealed),
            Self::Gcm192(cipher) => open_gcm(&**cipher, place, sealed),
            Self::Gcm256(cipher) => open_gcm(&**cipher, place, sealed),
            Self::Cbc(cipher) => cipher.open(sealed),
            Self::SecretBox(cipher) => cipher.open(sealed),
        }
    }
}

/// Bytes that are never the same twice.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    clock::fill_random(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/registry/secrets/default/a";

    fn all() -> Vec<(&'static str, Cipher)> {
        let key = [7; 32];
        vec![
            ("gcm 128", Cipher::gcm(&key[..16]).unwrap()),
            ("gcm 192", Cipher::gcm(&key[..24]).unwrap()),
            ("gcm 256", Cipher::gcm(&key).unwrap()),
            ("cbc 128", Cipher::Cbc(AesCbc::new(&key[..16]).unwrap())),
            ("cbc 192", Cipher::Cbc(AesCbc::new(&key[..24]).unwrap())),
            ("cbc 256", Cipher::Cbc(AesCbc::new(&key).unwrap())),
            ("secretbox", Cipher::SecretBox(SecretBox::new(&key).unwrap())),
        ]
    }

    #[test]
    fn what_is_sealed_opens_and_no_two_seals_are_alike() {
        for (name, cipher) in all() {
            for plain in [&b""[..], b"x", &[b'y'; 16], &[b'z'; 1000]] {
                let sealed = cipher.seal(PLACE, plain).unwrap();
                assert_eq!(cipher.open(PLACE, &sealed).as_deref(), Some(plain), "{name}");
                assert_ne!(cipher.seal(PLACE, plain).unwrap(), sealed, "{name}");
            }
        }
    }

    #[test]
    fn what_was_cut_does_not_open() {
        for (name, cipher) in all() {
            let sealed = cipher.seal(PLACE, b"some text").unwrap();
            for length in 0..sealed.len() {
                assert_eq!(cipher.open(PLACE, &sealed[..length]), None, "{name} {length}");
            }
        }
    }

    #[test]
    fn what_was_changed_does_not_open_where_the_cipher_can_tell() {
        for (name, cipher) in all().into_iter().filter(|(name, _)| !name.starts_with("cbc")) {
            let mut sealed = cipher.seal(PLACE, b"some text").unwrap();
            *sealed.last_mut().unwrap() ^= 1;
            assert_eq!(cipher.open(PLACE, &sealed), None, "{name}");
        }
    }

    #[test]
    fn a_value_that_was_moved_does_not_open() {
        let cipher = Cipher::gcm(&[7; 32]).unwrap();
        let sealed = cipher.seal(PLACE, b"some text").unwrap();
        assert_eq!(cipher.open("/registry/secrets/default/b", &sealed), None);
    }

    #[test]
    fn keys_have_the_length_that_their_cipher_wants() {
        assert!(
            Cipher::gcm(&[0; 31]).is_none() && AesCbc::new(&[0; 8]).is_none() && SecretBox::new(&[0; 16]).is_none()
        );
    }
}
