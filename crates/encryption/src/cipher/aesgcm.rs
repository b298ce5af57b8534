//! AES-GCM: a nonce, then the text and its tag, bound to the place in the store.

use aes_gcm::Nonce;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, AeadCore, Payload};

use super::random;

const NONCE: usize = 12;

pub(super) fn seal<C: Aead + AeadCore<NonceSize = U12>>(cipher: &C, place: &str, plain: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE] = random();
    let sealed = cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: place.as_bytes() }).ok()?;
    Some([&nonce[..], &sealed].concat())
}

pub(super) fn open<C: Aead + AeadCore<NonceSize = U12>>(cipher: &C, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg: text, aad: place.as_bytes() }).ok()
}
