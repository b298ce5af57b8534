//! NaCl's secretbox: a nonce, then the tag and the text under XSalsa20 and Poly1305.
//!
//! The first 32 bytes of the key stream are the key of the tag; the text begins behind them.

use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};

use super::random;

const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;

#[derive(Clone)]
pub(crate) struct SecretBox([u8; KEY]);

impl SecretBox {
    pub fn new(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self)
    }

    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce = random();
        let (text, tag) = self.seal_with(&nonce, plain);
        [&nonce[..], &tag, &text].concat()
    }

    fn seal_with(&self, nonce: &[u8; NONCE], plain: &[u8]) -> (Vec<u8>, [u8; TAG]) {
        let (mut stream, tag_key) = self.streams(nonce);
        let mut text = plain.to_vec();
        stream.apply_keystream(&mut text);
        let tag = tag(&tag_key, &text);
        (text, tag)
    }

    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk()?;
        let (stored_tag, text) = rest.split_first_chunk::<TAG>()?;
        let (mut stream, tag_key) = self.streams(nonce);
        if !same(&tag(&tag_key, text), stored_tag) {
            return None;
        }
        let mut plain = text.to_vec();
        stream.apply_keystream(&mut plain);
        Some(plain)
    }

    /// The key stream where the text begins, and the tag's key.
    fn streams(&self, nonce: &[u8; NONCE]) -> (XSalsa20, [u8; 32]) {
        let mut stream = XSalsa20::new(&self.0.into(), &(*nonce).into());
        let mut tag_key = [0; 32];
        stream.apply_keystream(&mut tag_key);
        (stream, tag_key)
    }
}

fn tag(key: &[u8; 32], text: &[u8]) -> [u8; TAG] {
    Poly1305::new(&(*key).into()).compute_unpadded(text).into()
}

/// Takes the same time wherever the difference is.
fn same(one: &[u8; TAG], other: &[u8; TAG]) -> bool {
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// The example of NaCl's own test.
    #[test]
    fn a_box_is_what_nacl_makes_of_it() {
        let key = bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let plain = bytes("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc");
        let (text, _) = SecretBox::new(&key).unwrap().seal_with(&nonce.try_into().unwrap(), &plain);
        assert_eq!(text, bytes("8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"));
    }

    /// The whole text of the same example, of which the tag is known.
    #[test]
    fn a_tag_is_what_nacl_makes_of_it() {
        let key = bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let plain = bytes(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01\
             233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd\
             4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
        );
        let (_, tag) = SecretBox::new(&key).unwrap().seal_with(&nonce.try_into().unwrap(), &plain);
        assert_eq!(tag.to_vec(), bytes("f3ffc7703f9400e52a7dfb4b3d3305d9"));
    }
}
