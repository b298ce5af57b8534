//! What happens to values on their way to the store and back: encryption at rest.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Starts every value that is encrypted by AES-GCM; the key's name and a colon follow.
const PREFIX: &str = "k8s:enc:aesgcm:v1:";
const NONCE: usize = 12;
const KEY: usize = 32;

/// Changes values between the registry and the store. Must be cheap and pure.
#[allow(clippy::wrong_self_convention, reason = "upstream's names of the two directions")]
pub trait Transformer: Send + Sync {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError>;
    fn from_storage(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError>;

    /// Whether `stored` is not what `to_storage` would make today, but by an older key.
    fn is_outdated(&self, _key: &str, _stored: &[u8]) -> bool {
        false
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// No key at hand opens the value, or it was tampered with.
    #[error("{key} can not be decrypted: {why}")]
    Decrypt { key: String, why: &'static str },
    #[error("{key} can not be encrypted")]
    Encrypt { key: String },
    #[error("encryption keys: {0}")]
    Keys(String),
}

/// Stores values as they are.
pub struct Identity;

impl Transformer for Identity {
    fn to_storage(&self, _key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        Ok(value)
    }

    fn from_storage(&self, _key: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        Ok(stored)
    }
}

/// Encrypts Secrets and leaves the rest as it is. The first key writes; all of them read.
///
/// Values are bound to their place in the store: one that was moved does not open.
pub struct Encryption {
    keys: Vec<Key>,
}

struct Key {
    name: String,
    cipher: Aes256Gcm,
}

/// What lies under these is encrypted.
const ENCRYPTED: &[&str] = &["/registry/secrets/"];

impl Encryption {
    /// Reads the keys file, or makes one with a first key. A line is `NAME:BASE64`, the key that writes
    /// first. To rotate, put a new line on top and start again: the registry stores everything anew by it,
    /// after which the other lines can go.
    pub fn load_or_create(path: &Path) -> Result<Self, TransformError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(unusable(path, &error)),
        };
        private(path)?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, TransformError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<Key> = lines.map(parse_key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(TransformError::Keys("there are none".to_owned())) } else { Ok(Self { keys }) }
    }

    fn decrypt(&self, key: &str, sealed: &[u8]) -> Result<Bytes, TransformError> {
        let failed = |why| TransformError::Decrypt { key: key.to_owned(), why };
        let colon = sealed.iter().position(|byte| *byte == b':').ok_or_else(|| failed("it names no key"))?;
        let (name, body) = (&sealed[..colon], &sealed[colon + 1..]);
        let with =
            self.keys.iter().find(|key| key.name.as_bytes() == name).ok_or_else(|| failed("its key is unknown"))?;
        let (nonce, text) = body.split_at_checked(NONCE).ok_or_else(|| failed("it is cut short"))?;
        let nonce = Nonce::try_from(nonce).map_err(|_| failed("it is cut short"))?;
        let opened = with.cipher.decrypt(&nonce, Payload { msg: text, aad: key.as_bytes() });
        opened.map(Bytes::from).map_err(|_| failed("it was changed, or its key is another"))
    }
}

impl Transformer for Encryption {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        if !is_encrypted(key) {
            return Ok(value);
        }
        let with = &self.keys[0];
        let mut nonce = [0; NONCE];
        clock::fill_random(&mut nonce);
        let sealed = with.cipher.encrypt(&Nonce::from(nonce), Payload { msg: &value, aad: key.as_bytes() });
        let sealed = sealed.map_err(|_| TransformError::Encrypt { key: key.to_owned() })?;
        Ok([PREFIX.as_bytes(), with.name.as_bytes(), b":", &nonce, &sealed].concat().into())
    }

    fn from_storage(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        match stored.strip_prefix(PREFIX.as_bytes()) {
            Some(sealed) => self.decrypt(key, sealed),
            None => Ok(stored),
        }
    }

    fn is_outdated(&self, key: &str, stored: &[u8]) -> bool {
        let by =
            stored.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.strip_prefix(self.keys[0].name.as_bytes()));
        is_encrypted(key) && !by.is_some_and(|rest| rest.starts_with(b":"))
    }
}

fn is_encrypted(key: &str) -> bool {
    ENCRYPTED.iter().any(|prefix| key.starts_with(prefix))
}

fn parse_key(line: &str) -> Result<Key, TransformError> {
    let invalid = || TransformError::Keys(format!("a line is not NAME:BASE64 with {KEY} bytes"));
    let (name, secret) = line.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?;
    let secret = STANDARD.decode(secret).map_err(|_| invalid())?;
    let cipher = Aes256Gcm::new_from_slice(&secret).map_err(|_| invalid())?;
    Ok(Key { name: name.to_owned(), cipher })
}

fn create(path: &Path) -> Result<String, TransformError> {
    let mut secret = [0; KEY];
    clock::fill_random(&mut secret);
    let text = format!("key1:{}\n", STANDARD.encode(secret));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| unusable(path, &error))?;
    Ok(text)
}

/// Refuses a file that others may read.
fn private(path: &Path) -> Result<(), TransformError> {
    let mode = std::fs::metadata(path).map_err(|error| unusable(path, &error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(TransformError::Keys(format!("{} may be read by others: chmod 600 it", path.display())))
}

fn unusable(path: &Path, error: &std::io::Error) -> TransformError {
    TransformError::Keys(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "/registry/secrets/default/a";

    fn sealed(with: &Encryption) -> Bytes {
        with.to_storage(AT, Bytes::from_static(b"plain")).unwrap()
    }

    fn keys(text: &str) -> Encryption {
        Encryption::parse(text).unwrap()
    }

    fn line(name: &str, byte: u8) -> String {
        format!("{name}:{}\n", STANDARD.encode([byte; KEY]))
    }

    #[test]
    fn secrets_are_encrypted_and_the_rest_is_not() {
        let with = keys(&line("one", 1));
        let stored = sealed(&with);
        assert!(stored.starts_with(b"k8s:enc:aesgcm:v1:one:") && !stored.ends_with(b"plain"));
        assert_ne!(stored, sealed(&with), "each write has a nonce of its own");
        assert_eq!(with.from_storage(AT, stored).unwrap(), "plain");
        let map = "/registry/configmaps/default/a";
        assert_eq!(with.to_storage(map, Bytes::from_static(b"plain")).unwrap(), "plain");
        assert_eq!(with.from_storage(AT, Bytes::from_static(b"{}")).unwrap(), "{}", "what was plain still reads");
    }

    #[test]
    fn keys_rotate_and_moved_values_do_not_open() {
        let old = keys(&line("one", 1));
        let both = keys(&(line("two", 2) + &line("one", 1)));
        assert_eq!(both.from_storage(AT, sealed(&old)).unwrap(), "plain");
        assert!(sealed(&both).starts_with(b"k8s:enc:aesgcm:v1:two:"));
        assert!(old.from_storage(AT, sealed(&both)).is_err());
        assert!(old.from_storage("/registry/secrets/default/b", sealed(&old)).is_err());
        assert!(keys(&line("one", 9)).from_storage(AT, sealed(&old)).is_err());
    }

    #[test]
    fn the_keys_file_is_made_once_and_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let first = Encryption::load_or_create(&path).unwrap();
        let again = Encryption::load_or_create(&path).unwrap();
        assert_eq!(again.from_storage(AT, sealed(&first)).unwrap(), "plain");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Encryption::load_or_create(&path).is_err());
    }
}
