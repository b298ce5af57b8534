//! AES-CBC: an initialization vector, then the text padded as PKCS #7 says. Nothing shows that it was changed.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use cbc::{Decryptor, Encryptor};

use super::random;

const BLOCK: usize = 16;

#[derive(Clone)]
pub(crate) struct AesCbc(Vec<u8>);

impl AesCbc {
    pub fn new(key: &[u8]) -> Option<Self> {
        [16, 24, 32].contains(&key.len()).then(|| Self(key.to_vec()))
    }

    pub fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let vector: [u8; BLOCK] = random();
        let key = &self.0;
        let sealed = match key.len() {
            16 => Encryptor::<aes::Aes128>::new_from_slices(key, &vector).ok()?.encrypt_padded_vec::<Pkcs7>(plain),
            24 => Encryptor::<aes::Aes192>::new_from_slices(key, &vector).ok()?.encrypt_padded_vec::<Pkcs7>(plain),
            _ => Encryptor::<aes::Aes256>::new_from_slices(key, &vector).ok()?.encrypt_padded_vec::<Pkcs7>(plain),
        };
        Some([&vector[..], &sealed].concat())
    }

    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (vector, text) = sealed.split_at_checked(BLOCK)?;
        let key = &self.0;
        match key.len() {
            16 => Decryptor::<aes::Aes128>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(text).ok(),
            24 => Decryptor::<aes::Aes192>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(text).ok(),
            _ => Decryptor::<aes::Aes256>::new_from_slices(key, vector).ok()?.decrypt_padded_vec::<Pkcs7>(text).ok(),
        }
    }
}
