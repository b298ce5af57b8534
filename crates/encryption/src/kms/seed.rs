//! The keys of values: one for all of them, or one each, from a seed. (upstream: aes_extended_nonce.go)

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::messages::Source;
use crate::cipher::Cipher;

const SEED: usize = 32;
/// What is stored with a value to make its key from the seed.
const INFO: usize = 32;

pub(super) enum Key {
    Plain(Cipher),
    Seed([u8; SEED]),
}

impl Key {
    pub fn new(source: Source, plain: &[u8]) -> Option<Self> {
        match source {
            Source::Key => Cipher::gcm(plain).map(Self::Plain),
            Source::Seed => plain.try_into().ok().map(Self::Seed),
        }
    }

    pub fn seal(&self, place: &str, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Plain(cipher) => cipher.seal(place, plain),
            Self::Seed(seed) => {
                let mut info = [0; INFO];
                clock::fill_random(&mut info);
                let sealed = derived(seed, &info)?.seal(place, plain)?;
                Some([&info[..], &sealed].concat())
            }
        }
    }

    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Plain(cipher) => cipher.open(place, sealed),
            Self::Seed(seed) => {
                let (info, sealed) = sealed.split_at_checked(INFO)?;
                derived(seed, info)?.open(place, sealed)
            }
        }
    }
}

/// The first block of HKDF's expansion by SHA-256, which is as long as a key.
fn derived(seed: &[u8], info: &[u8]) -> Option<Cipher> {
    let mut block = Hmac::<Sha256>::new_from_slice(seed).ok()?;
    block.update(info);
    block.update(&[1]);
    Cipher::gcm(&block.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_key_of_its_own() {
        let key = Key::new(Source::Seed, &[7; SEED]).unwrap();
        let (one, two) = (key.seal("/a", b"text").unwrap(), key.seal("/a", b"text").unwrap());
        assert_ne!(one[..INFO], two[..INFO]);
        assert_eq!(key.open("/a", &one).as_deref(), Some(&b"text"[..]));
        assert_eq!(key.open("/b", &one), None);
        assert_eq!(key.open("/a", &one[..INFO]), None);
    }

    /// Known answer: the expansion of test case 3 of RFC 5869 uses an empty `info`.
    #[test]
    fn keys_are_expanded_as_hkdf_does() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
        let expanded = hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
        let sealed = derived(&seed, b"").unwrap().seal("/a", b"text").unwrap();
        assert_eq!(Cipher::gcm(&expanded).unwrap().open("/a", &sealed).as_deref(), Some(&b"text"[..]));
    }
}
